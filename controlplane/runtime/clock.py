"""The two clocks, handed to whoever needs one so that tests own both.

Intervals are measured with `monotonic`: the wall clock jumps. The wall clock is for timestamps that people read, and
for comparing with timestamps that others wrote, where being wrong by a jump must do no harm.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from apiserver.api.times import now_micro_text, now_text, parse_time


class Clock(msgspec.Struct, frozen=True):
    """`wall`: seconds since the epoch. `monotonic`: seconds since whenever."""

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic

    def now_text(self) -> str:
        """The moment as a Time, to the second."""
        return now_text(self.wall)

    def now_micro_text(self) -> str:
        return now_micro_text(self.wall)

    def age_s(self, timestamp: str) -> float:
        """Seconds of the wall clock since an RFC 3339 moment; 0 for one that is still to come."""
        return max(0.0, self.wall() - parse_time(timestamp).timestamp())
