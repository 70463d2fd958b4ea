"""One timer for many deadlines.

Requests nearly always end long before their deadline, so none has a timer of its own: the room that holds
them notes each deadline here and is asked to sweep when the earliest noted one has passed. A sweep looks at
all that wait (they are bounded) and says what the next earliest is.
"""

from __future__ import annotations

from collections.abc import Callable

from .runtime import Runtime, Timer

SWEEP_S_MIN = 0.01  # deadlines this close together are swept at once


class Deadlines:
    """`sweep(now)` ends what is overdue and returns the earliest deadline left, None when nothing waits."""

    def __init__(self, runtime: Runtime, sweep: Callable[[float], float | None]) -> None:
        self._runtime = runtime
        self._sweep = sweep
        self._timer: Timer | None = None
        self._due_s = float("inf")

    def note(self, deadline_s: float) -> None:
        if deadline_s < self._due_s:
            self._arm(deadline_s)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._due_s = float("inf")

    def _arm(self, due_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due_s = due_s
        self._timer = self._runtime.call_at(due_s, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._due_s = float("inf")
        now_s = self._runtime.now()
        earliest_s = self._sweep(now_s)
        if earliest_s is not None and earliest_s < self._due_s:
            self._arm(max(earliest_s, now_s + SWEEP_S_MIN))
