"""Controllers share an event loop with Raft's heartbeats: no step of theirs may hold it for long.

Whoever goes over many objects breathes between them. How late the loop was all the same is measured all the time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .metrics import LATENESS_S, Metrics

SLICE_S = 0.005
PROBE_S = 0.25


class Pace:
    """`await pace.breathe()` costs a look at the clock, and gives way to others once SLICE_S are over."""

    def __init__(self, clock: Callable[[], float], *, slice_s: float = SLICE_S) -> None:
        self._clock = clock
        self._slice_s = slice_s
        self._since = clock()

    async def breathe(self) -> None:
        if self._clock() - self._since >= self._slice_s:
            await asyncio.sleep(0)
            self._since = self._clock()


class Lateness:
    """A Part that sets a timer again and again, and notes how late it comes."""

    name = "lateness"

    def __init__(self, metrics: Metrics) -> None:
        self._histogram = metrics.histogram(
            "kmini_controllers_lateness_seconds",
            "How late timers come on the controllers' event loop",
            buckets=LATENESS_S,
        )

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + PROBE_S
            await asyncio.sleep(PROBE_S)
            self._histogram.observe(max(0.0, loop.time() - due))
