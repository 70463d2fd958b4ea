"""core/v1 ServiceAccount: who a pod is to the API."""

from __future__ import annotations

from typing import Annotated

from apiserver.api.base import merge_by
from apiserver.api.meta import TopObject

from .references import LocalObjectReference, ObjectReference


class ServiceAccount(TopObject):
    """Who a pod is when it talks to the API.

    secrets: Secrets that pods of this account may mount, when the account is told to enforce it.
    image_pull_secrets: Secrets with which images are pulled for pods of this account.
    automount_service_account_token: False keeps the token out of pods that do not ask for it.
    """

    secrets: Annotated[list[ObjectReference], merge_by("name")] = []
    image_pull_secrets: list[LocalObjectReference] = []
    automount_service_account_token: bool | None = None
