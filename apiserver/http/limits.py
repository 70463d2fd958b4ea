"""How many requests run at a time, in three classes, so that none starves another: system, writes, reads.

The system class is for what keeps a cluster alive: leader election, nodes and their leases, and whoever is in
system:masters or system:nodes. A class that is full queues a bounded number for a bounded time; what does not fit is
answered 429 with Retry-After. Watches count against a bound of their own, since they last.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from apiserver.api.errors import TooManyRequests
from apiserver.auth.user import GROUP_MASTERS, GROUP_NODES, User

RETRY_AFTER_S = 1


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Requests at a time, of each class; and how many may wait, for how long."""

    system: int = 200
    writes: int = 200
    reads: int = 400
    queued: int = 1_000
    queue_timeout_s: float = 10.0
    watches: int = 10_000


class Lane:
    """One class. First come, first served."""

    def __init__(self, name: str, running_max: int, limits: Limits) -> None:
        self.name = name
        self.running = 0
        self._running_max = running_max
        self._limits = limits
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.refused = 0

    @property
    def queued(self) -> int:
        return len(self._waiting)

    def enter(self) -> bool:
        """Start at once if there is room; then `leave` when done."""
        if self.running < self._running_max:
            self.running += 1
            return True
        return False

    async def wait(self) -> None:
        """Wait for a place, which is then taken. Raises TooManyRequests."""
        if len(self._waiting) >= self._limits.queued:
            raise self._full()
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            async with asyncio.timeout(self._limits.queue_timeout_s):
                await place
        except BaseException as error:
            if place.done() and not place.cancelled():
                self.leave()  # the place was given in the moment that we stopped waiting
            elif place in self._waiting:
                self._waiting.remove(place)
            if isinstance(error, TimeoutError):
                raise self._full() from None
            raise

    def leave(self) -> None:
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)  # the place goes over; `running` stays
                return
        self.running -= 1

    def _full(self) -> TooManyRequests:
        self.refused += 1
        return TooManyRequests(
            f"too many {self.name} requests at a time, please try again later", retry_after_s=RETRY_AFTER_S
        )


class Gate:
    """The lanes of a server."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.system = Lane("system", limits.system, limits)
        self.writes = Lane("write", limits.writes, limits)
        self.reads = Lane("read", limits.reads, limits)
        self.watches = 0

    def lane_of(self, user: User, verb: str, resource: str) -> Lane:
        if resource == "leases" or GROUP_MASTERS in user.groups or GROUP_NODES in user.groups:
            return self.system
        return self.reads if verb in ("get", "list", "watch") else self.writes

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Raises TooManyRequests."""
        if self.watches >= self.limits.watches:
            raise TooManyRequests(f"{self.watches} watches are open already", retry_after_s=RETRY_AFTER_S)
        self.watches += 1
        try:
            yield
        finally:
            self.watches -= 1
