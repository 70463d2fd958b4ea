"""So many at a time; and of those who did not prove who they are only so many, so that the others always find a place.

When there is no place, the stranger makes room that came first and waits for nothing of ours. Who is there stays if
there is none such.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Guest = TypeVar("Guest")


class Places(Generic[Guest]):
    """`is_idle`: nothing is lost when this one goes."""

    def __init__(self, most: int, strangers_most: int, is_idle: Callable[[Guest], bool]) -> None:
        self.most = most
        self.strangers_most = strangers_most
        self._is_idle = is_idle
        self._known: set[Guest] = set()
        self._strangers: dict[Guest, None] = {}  # in the order in which they came

    def __len__(self) -> int:
        return len(self._known) + len(self._strangers)

    def __iter__(self) -> Iterator[Guest]:
        yield from self._known
        yield from self._strangers

    def enter(self, guest: Guest, *, known: bool) -> Guest | None:
        """Who must go for it, and has no place any more: maybe `guest` itself, maybe nobody."""
        if known:
            self._known.add(guest)
        else:
            self._strangers[guest] = None
        if len(self) <= self.most and len(self._strangers) <= self.strangers_most:
            return None
        goes = next((each for each in self._strangers if each is not guest and self._is_idle(each)), guest)
        self.leave(goes)
        return goes

    def leave(self, guest: Guest) -> None:
        """No error when it has no place."""
        self._known.discard(guest)
        self._strangers.pop(guest, None)
