"""The interface of an admission plug-in, and what it gets to see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from apiserver.api.errors import Forbidden
from apiserver.api.meta import StatusCause
from apiserver.auth.user import User
from apiserver.registry.resource import Resource


class Admission(msgspec.Struct, kw_only=True):
    """One write on its way. `obj` is the stored form and may be changed by `admit`; None for a deletion."""

    user: User
    resource: Resource  # row of the stored form
    operation: str  # CREATE, UPDATE, DELETE or CONNECT
    namespace: str
    name: str
    obj: Any | None
    old: Any | None = None
    subresource: str = ""
    dry_run: bool = False
    warn: Callable[[str], None] = lambda text: None


class Lookup(Protocol):
    """What plug-ins and authorizers may read. `key` is `Resource.key`: `pods`, `rbac.authorization.k8s.io/roles`.

    Objects are shared with others: do not change them.
    """

    async def get(self, key: str, namespace: str, name: str, *, linearizable: bool = False) -> Any | None:
        """The decoded stored form, or None. Without `linearizable` what this replica has applied."""

    async def list(self, key: str, namespace: str = "") -> Sequence[Any]:
        """All objects of a small kind, as this replica has applied them."""


class Plugin(Protocol):
    """Raise an ApiError (Forbidden, Invalid, ...) to refuse. All `admit`s run in order, then all `check`s."""

    name: str

    async def admit(self, request: Admission, lookup: Lookup) -> None:
        """May change `request.obj`."""

    async def check(self, request: Admission, lookup: Lookup) -> None:
        """Must change nothing."""


class Base:
    """A plug-in that lets everything pass: override what you need."""

    name = ""

    async def admit(self, request: Admission, lookup: Lookup) -> None:
        return

    async def check(self, request: Admission, lookup: Lookup) -> None:
        return


async def find(lookup: Lookup, key: str, namespace: str, name: str) -> Any | None:
    """An object for a decision that would refuse without it: what is here first, then what the whole cluster knows.

    Raises ServiceUnavailable when it is not here and nobody can be asked.
    """
    found = await lookup.get(key, namespace, name)
    return found if found is not None else await lookup.get(key, namespace, name, linearizable=True)


def forbidden(request: Admission, why: str, *, causes: Sequence[StatusCause] = ()) -> Forbidden:
    """The refusal of a plug-in: `pods "x" is forbidden: why`."""
    resource = request.resource
    return Forbidden(
        f'{resource.group_resource} "{request.name or "Unknown"}" is forbidden: {why}',
        kind=resource.plural,
        group=resource.group,
        name=request.name,
        causes=causes,
    )
