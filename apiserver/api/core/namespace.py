"""core/v1 Namespace: a room of names of its own."""

from __future__ import annotations

from typing import Annotated

import msgspec

from apiserver.api.base import Object, Time, always, merge_by
from apiserver.api.meta import TopObject


class NamespaceSpec(Object):
    """Who must be done before the namespace goes.

    finalizers: Must be empty before the namespace is removed; written through the finalize subresource.
    """

    finalizers: list[str] = []


class NamespaceCondition(Object):
    """One aspect of a namespace's end.

    type: Name of the aspect.
    status: True, False or Unknown.
    last_transition_time: When the status changed last.
    reason: One word for programs.
    message: A sentence for people.
    """

    type: str = always("")
    status: str = always("")
    last_transition_time: Time | None = None
    reason: str = ""
    message: str = ""


class NamespaceStatus(Object):
    """Where the namespace is in its life.

    phase: Active, or Terminating once deletion was asked for.
    conditions: What still keeps the namespace from going.
    """

    phase: str = ""
    conditions: Annotated[list[NamespaceCondition], merge_by("type")] = []


class Namespace(TopObject):
    """A room in which names are unique, and that is deleted with all that is in it.

    spec: Who must be done before the namespace goes.
    status: Where the namespace is in its life.
    """

    spec: NamespaceSpec = msgspec.field(default_factory=NamespaceSpec)
    status: NamespaceStatus = msgspec.field(default_factory=NamespaceStatus)
