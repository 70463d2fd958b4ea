"""Time, handed in, so that tests own it. Intervals are the event loop's (`loop.time()`, `asyncio.sleep`), which is
monotonic; the wall clock here is for the timestamps that people read."""

from __future__ import annotations

import time
from collections.abc import Callable

from apiserver.api.times import now_text, parse_time

#: Seconds since the epoch.
Wall = Callable[[], float]


def timestamp(seconds: float) -> str:
    """A Time of Kubernetes."""
    return now_text(lambda: seconds)


def age_s(text: str | None, wall: Wall = time.time) -> float:
    """Seconds since a Time, 0 at least; 0 also for what is no time."""
    if not text:
        return 0.0
    try:
        return max(0.0, wall() - parse_time(text).timestamp())
    except ValueError:
        return 0.0
