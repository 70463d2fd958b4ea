"""Small things that tasks wait for."""

from __future__ import annotations

import asyncio


class Signal:
    """Something may have changed: whoever waits looks again. A `notify` that nobody waits for is lost."""

    def __init__(self) -> None:
        self._waiter: asyncio.Future[None] | None = None

    def notify(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        self._waiter = None

    async def wait(self) -> None:
        if self._waiter is None:
            self._waiter = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._waiter)


class Activity:
    """Whether anything moves: bytes of either side, or a sign of life."""

    def __init__(self) -> None:
        self._moved = False

    def touch(self) -> None:
        self._moved = True

    async def until_idle(self, idle_s: float) -> None:
        """Until nothing has moved for so long, up to twice."""
        self._moved = True
        while self._moved:
            self._moved = False
            await asyncio.sleep(idle_s)
