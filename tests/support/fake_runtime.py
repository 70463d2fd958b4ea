"""A `Runtime` whose clock moves only when a test says so."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from typing import Any


class FakeTimer:
    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeRuntime:
    """`run()` drains what is due now, `advance(s)` walks through the timers, `pause(s)` jumps over them.

    Blocking work runs inside `run()`, in the order given; `hold(lane)` keeps a lane's work back until
    `release(lane)`. Errors given to `report` raise at the end of `run()` unless `errors_expected`.
    """

    def __init__(self, seed: int = 1) -> None:
        self.clock_s = 1000.0
        self.wall_s = 1_700_000_000.0
        self.reported: list[tuple[str, BaseException]] = []
        self.errors_expected = False
        self._chance = random.Random(seed)
        self._soon: deque[Callable[[], None]] = deque()
        self._timers: list[tuple[float, int, FakeTimer, Callable[[], None]]] = []
        self._order = 0
        self._held: dict[str, list[Callable[[], None]]] = {}

    def now(self) -> float:
        return self.clock_s

    def wall(self) -> float:
        return self.wall_s

    def random(self) -> float:
        return self._chance.random()

    def random_id(self) -> int:
        return self._chance.getrandbits(62) + 1

    def call_soon(self, callback: Callable[[], None]) -> None:
        self._soon.append(callback)

    def call_at(self, when: float, callback: Callable[[], None]) -> FakeTimer:
        timer = FakeTimer()
        self._order += 1
        heapq.heappush(self._timers, (when, self._order, timer, callback))
        return timer

    def run_blocking(
        self, lane: str, work: Callable[[], Any], done: Callable[[Any, BaseException | None], None]
    ) -> None:
        def body() -> None:
            result: Any = None
            error: BaseException | None = None
            try:
                result = work()
            except Exception as caught:
                error = caught
            self._soon.append(lambda: done(result, error))

        if lane in self._held:
            self._held[lane].append(body)
        else:
            self._soon.append(body)

    def report(self, context: str, error: BaseException) -> None:
        self.reported.append((context, error))

    # --- what tests do ----------------------------------------------------------------------------

    def hold(self, lane: str) -> None:
        self._held.setdefault(lane, [])

    def release(self, lane: str) -> None:
        self._soon.extend(self._held.pop(lane))
        self.run()

    def finish(self) -> None:
        """Let all work end, also what was held back: a journal closes its file when the work in flight is over."""
        for lane in list(self._held):
            self.release(lane)
        self.run()

    def run(self, callbacks_max: int = 100_000) -> None:
        """Everything due at this instant."""
        for _ in range(callbacks_max):
            self._due()
            if not self._soon:
                break
            self._soon.popleft()()
        else:
            raise AssertionError("the callbacks never came to rest")
        if self.reported and not self.errors_expected:
            raise self.reported[0][1]

    def turn(self) -> None:
        """One loop iteration: only what is queued now, not what that queues."""
        self._due()
        for _ in range(len(self._soon)):
            self._soon.popleft()()

    def advance(self, seconds: float) -> None:
        """Move the clock to each timer on the way, running everything due at each stop."""
        end = self.clock_s + seconds
        self.run()
        while True:
            while self._timers and self._timers[0][2].cancelled:
                heapq.heappop(self._timers)
            if not self._timers or self._timers[0][0] > end:
                break
            self._move(max(self.clock_s, self._timers[0][0]))
            self.run()
        self._move(end)
        self.run()

    def pause(self, seconds: float) -> None:
        """The machine stood still: the clock jumps, every timer on the way is late."""
        self._move(self.clock_s + seconds)
        self.run()

    @property
    def timers(self) -> int:
        return sum(not timer.cancelled for _, _, timer, _ in self._timers)

    def _move(self, clock_s: float) -> None:
        self.wall_s += clock_s - self.clock_s
        self.clock_s = clock_s

    def _due(self) -> None:
        while self._timers and self._timers[0][0] <= self.clock_s:
            _, _, timer, callback = heapq.heappop(self._timers)
            if not timer.cancelled:
                self._soon.append(callback)
