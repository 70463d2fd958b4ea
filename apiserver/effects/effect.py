"""The interface of an effect, and the write it sees."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from apiserver.auth.user import User
from apiserver.registry.resource import Resource
from apiserver.storage import Transaction

CREATE = "create"
UPDATE = "update"
DELETE = "delete"


class Write(msgspec.Struct, kw_only=True):
    """One attempt at a write, after admission and validation. `obj` is None for a deletion, `old` for a creation.

    An effect may change server-owned fields of `obj` and add to `transaction`. When a comparison fails the whole
    attempt is made anew from what is there then, at most `ATTEMPTS_MAX` times.
    """

    resource: Resource
    verb: str
    namespace: str
    name: str
    obj: Any | None
    old: Any | None
    transaction: Transaction
    user: User
    subresource: str = ""
    attempt: int = 0
    dry_run: bool = False


class Effect(Protocol):
    """Must be safe to run again. Raises ApiError to refuse the write."""

    async def plan(self, write: Write) -> None: ...
