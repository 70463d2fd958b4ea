"""Places for pulls of images: few begin at once, and one that hangs keeps no other registry's from beginning.

A registry that takes a connection and says nothing more holds a pull for as long as the largest image may take. So a
pull counts among those that begin for its first minute only, and then goes on beside them. Of one registry there are no
more than may begin at once, and of all of them no more than PULLS_MAX.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

BEGINS_S = 60.0
PULLS_MAX = 64


class Pulls:
    """Of one node."""

    def __init__(self, *, at_once: int) -> None:
        self._at_once = at_once
        self._beginning = asyncio.Semaphore(at_once)
        self._all = asyncio.Semaphore(PULLS_MAX)
        self._registries: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def place(self, registry: str) -> AsyncIterator[None]:
        """Entered once there is one. Whoever waits for its own registry holds nothing of the others'."""
        of_registry = self._registries.get(registry)
        if of_registry is None:
            of_registry = self._registries[registry] = asyncio.Semaphore(self._at_once)
        async with of_registry, self._all:
            await self._beginning.acquire()
            begun = _Begun(self._beginning)
            timer = asyncio.get_running_loop().call_later(BEGINS_S, begun.give_back)
            try:
                yield
            finally:
                timer.cancel()
                begun.give_back()


class _Begun:
    """A place that is given back once, by its time or by its end."""

    def __init__(self, places: asyncio.Semaphore) -> None:
        self._places = places
        self._held = True

    def give_back(self) -> None:
        if self._held:
            self._held = False
            self._places.release()
