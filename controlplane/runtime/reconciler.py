"""What a controller is: one method that looks at an object's present state and moves the world one step towards it.

A request is a name and nothing else. What woke the reconciler up is not told, so nothing can depend on it: events may
be lost, come twice or late, and the outcome is the same (level-based, as controller-runtime has it).
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import msgspec

from apiserver.api.meta import TopObject


class Request(NamedTuple):
    """`namespace` is empty for kinds of cluster scope."""

    namespace: str
    name: str

    @classmethod
    def of(cls, obj: TopObject) -> Request:
        return cls(obj.metadata.namespace, obj.metadata.name)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class Result(msgspec.Struct, frozen=True):
    """`requeue_after_s`: look again then, whatever happens before."""

    requeue_after_s: float | None = None


DONE = Result()


class Reconciler(Protocol):
    async def reconcile(self, request: Request) -> Result:
        """Whatever it raises is retried with back-off, but for Fenced, which ends the term: another one leads."""
        ...


class Part(Protocol):
    """Something that runs for one term of leadership."""

    @property
    def name(self) -> str: ...

    async def run(self) -> None:
        """Until it is cancelled. What it raises ends the term."""
        ...
