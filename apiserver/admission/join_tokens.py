"""Who may make a token that a server joins with: it gives away every key of the cluster, so only who may do everything.

Without this, whoever may write Secrets in kube-system could make one and be given the CA's key.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from apiserver.auth.join_token import ROLE_GROUPS, SECRET_TYPE
from apiserver.auth.user import GROUP_MASTERS

from .plugin import Admission, Base, Lookup, forbidden

GROUPS_FIELD = "auth-extra-groups"


class JoinTokens(Base):
    name = "JoinTokens"

    async def check(self, request: Admission, lookup: Lookup) -> None:
        if request.resource.key != "secrets" or request.obj is None or GROUP_MASTERS in request.user.groups:
            return
        if ROLE_GROUPS["server"] in _groups_of(request.obj):
            raise forbidden(request, f"a token that servers join with takes a user of group {GROUP_MASTERS}")


def _groups_of(secret: Any) -> list[str]:
    if secret.type != SECRET_TYPE:
        return []
    try:
        text = base64.b64decode(secret.data.get(GROUPS_FIELD, "")).decode()
    except (binascii.Error, ValueError):
        return []
    return [group.strip() for group in text.split(",")]
