"""ReadIndex rounds (thesis §6.4): many readers share one confirmation of leadership.

One round is in flight at a time. A reader that asks meanwhile joins the next one, never the one already
sent: the index of a flying round was taken before the reader asked and may miss a write that was
acknowledged in between. Pure: the node sends the pings.
"""

from __future__ import annotations

from collections.abc import Callable

from ..errors import TooManyRequests
from ..limits import READERS_MAX

Done = Callable[[int | None], None]


class ReadRounds:
    def __init__(self) -> None:
        self.number = 0
        self.index = 0
        self.flying = False
        self.confirmed: set[int] = set()
        self._aboard: list[Done] = []
        self._waiting: list[Done] = []

    @property
    def wanted(self) -> bool:
        """Readers wait and no round flies."""
        return bool(self._waiting) and not self.flying

    def join(self, done: Done, *, flying_round: bool = False) -> None:
        if len(self._waiting) >= READERS_MAX:
            raise TooManyRequests(f"{READERS_MAX} readers wait for a read index already")
        (self._aboard if flying_round and self.flying else self._waiting).append(done)

    def depart(self, index: int, self_id: int) -> None:
        """Send off a round for all who wait; `index` must be what is committed now."""
        self.number += 1
        self.index = index
        self.flying = True
        self.confirmed = {self_id}
        self._aboard, self._waiting = self._waiting, []

    def arrive(self) -> tuple[int, list[Done]]:
        """The flying round is confirmed: its index and its readers."""
        aboard, self._aboard = self._aboard, []
        self.flying = False
        return self.index, aboard

    def abandon(self) -> list[Done]:
        """Leadership is gone: everybody who waits, aboard or not."""
        everyone = self._aboard + self._waiting
        self._aboard, self._waiting, self.flying = [], [], False
        return everyone
