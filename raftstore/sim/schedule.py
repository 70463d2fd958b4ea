"""One queue of events for the whole simulated world, and the trace that two runs of a seed must share.

Virtual time only moves when the next event is taken; events of one instant run in the order they were
made. The trace hash takes in every line any room traces, so equal hashes mean equal runs.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable

Callback = Callable[[], None]

TRACE_LINES_MAX = 2_000_000


class ScheduledEvent:
    """A callback in the queue; `cancel` makes it nothing."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callback) -> None:
        self.callback: Callback | None = callback

    def cancel(self) -> None:
        self.callback = None


class Schedule:
    """Virtual time in seconds, starting at 0."""

    def __init__(self, *, keep_trace: bool = False) -> None:
        self.now_s = 0.0
        self.events_run = 0
        self.lines: list[str] = []
        self._keep_trace = keep_trace
        self._heap: list[tuple[float, int, ScheduledEvent]] = []
        self._sequence = 0
        self._hash = hashlib.blake2b(digest_size=16)

    def at(self, when_s: float, callback: Callback) -> ScheduledEvent:
        """Run `callback` at `when_s`, or now (after what is queued for now) when that has passed."""
        event = ScheduledEvent(callback)
        self._sequence += 1
        heapq.heappush(self._heap, (max(when_s, self.now_s), self._sequence, event))
        return event

    def after(self, delay_s: float, callback: Callback) -> ScheduledEvent:
        return self.at(self.now_s + delay_s, callback)

    def run(self, *, until_s: float, stop: Callable[[], bool] | None = None, events_max: int = 10_000_000) -> bool:
        """Run events up to `until_s`. False when `events_max` was passed: something spins in virtual time.

        `stop` is asked after every event; once it is true the run ends there (and counts as finished).
        """
        heap = self._heap
        limit = self.events_run + events_max
        while heap and heap[0][0] <= until_s:
            if self.events_run >= limit:
                return False
            when_s, _, event = heapq.heappop(heap)
            if event.callback is None:
                continue
            self.now_s = when_s
            self.events_run += 1
            event.callback()
            if stop is not None and stop():
                return True
        self.now_s = max(self.now_s, until_s)
        return True

    # --- trace

    def trace(self, line: str) -> None:
        """Fold one line into the trace hash (and keep it when the run is traced)."""
        stamped = f"{self.now_s:.9f} {line}"
        self._hash.update(stamped.encode())
        self._hash.update(b"\n")
        if self._keep_trace and len(self.lines) < TRACE_LINES_MAX:
            self.lines.append(stamped)

    def trace_hash(self) -> str:
        return self._hash.hexdigest()
