"""A deterministic event loop whose clock is virtual: sleeps and timers cost nothing, and a seed replays everything.

What always holds:
- When nothing is ready the clock jumps to the next timer. Nothing ever really waits; work for threads is done in place.
- The order of what happens depends on the program and the seed alone. With `shuffle` timers that are due at the same
  moment fire in any order, as no program may rely on one.
- A program that can never go on (nothing is ready, no timer is set) and one that never comes to rest end with an error
  that names the tasks and where they wait.
"""

from __future__ import annotations

import asyncio
import math
import traceback
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextvars import Context
from heapq import heappush
from random import Random
from typing import Any, TypeVar, TypeVarTuple

from controlplane.runtime.clock import Clock

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

#: 2026-01-01T00:00:00Z: what the wall clock shows when virtual time begins.
EPOCH_S = 1_767_225_600.0
DAY_S = 86_400.0
STEPS_MAX = 1_000_000  # turns of the loop
_LAST_STEPS = 10_000
_TASKS_SHOWN = 30


class Stuck(AssertionError):
    """Nothing is ready, no timer is set: nothing will ever happen."""


class RunAway(AssertionError):
    """It went on for longer than anybody allowed."""


class _Selector:
    """What the loop believes to wait at. It never waits: it moves the clock."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        self._loop.pass_time(timeout)
        return []

    def close(self) -> None:
        return


class _Timer(asyncio.TimerHandle):
    """Of those due at one moment the one with the lower order comes first."""

    order: float = 0.0

    def __lt__(self, other: Any) -> bool:
        return (self.when(), self.order) < (other.when(), other.order)


class VirtualLoop(asyncio.BaseEventLoop):
    """See the module. `limit_s` is of virtual time, `steps_max` of turns of the loop."""

    def __init__(self, *, seed: int = 0, shuffle: bool = False, limit_s: float = DAY_S, steps_max: int = STEPS_MAX):
        self.now_s = 0.0
        super().__init__()
        self.steps = 0
        self.random = Random(seed)
        self._shuffle = shuffle
        self._timers = 0
        self._limit_s = limit_s
        self._steps_max = steps_max
        self._selector = _Selector(self)

    def time(self) -> float:
        return self.now_s

    @property
    def _clock_resolution(self) -> float:
        """The loop fires what is due before now and this: no timer ever comes early, by however little."""
        return math.nextafter(self.now_s, math.inf) - self.now_s

    @_clock_resolution.setter
    def _clock_resolution(self, seconds: float) -> None:
        """That of the machine's clock is nobody's business here."""

    def pass_time(self, timeout: float | None) -> None:
        """Called when the loop would wait. Raises Stuck, RunAway."""
        self.steps += 1
        if timeout is None:
            raise Stuck(f"nothing is ready and no timer is set, at {self.now_s:g} s; {described(self)}")
        if timeout > 0:
            scheduled: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]  # the loop's heap
            self.now_s = max(self.now_s, scheduled[0].when())
        if self.now_s > self._limit_s or self.steps > self._steps_max:
            now = f"{self.now_s:g} s of virtual time and {self.steps} turns of the loop"
            raise RunAway(f"it does not end: {now} are over; {described(self)}")

    def allow_more(self) -> None:
        """What went on for too long gets a little longer, to end in good order."""
        self._limit_s = self.now_s + DAY_S
        self._steps_max = self.steps + _LAST_STEPS

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        self._timers += 1
        timer = _Timer(when, callback, args, self, context)
        timer.order = self.random.random() if self._shuffle else self._timers
        heappush(self._scheduled, timer)  # type: ignore[attr-defined]  # the loop's own heap
        timer._scheduled = True  # type: ignore[attr-defined]
        return timer

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Done at once, whoever should have done it."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def _write_to_self(self) -> None:
        """Nobody waits who would have to be woken up."""

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none: no file is ever watched."""


def described(loop: asyncio.AbstractEventLoop) -> str:
    """The tasks that are not done, and the line each waits in."""
    tasks = sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name())
    lines = [f"{len(tasks)} tasks wait:"]
    for task in tasks[:_TASKS_SHOWN]:
        stack = task.get_stack(limit=1)
        place = traceback.format_stack(stack[-1], limit=1)[0].strip().replace("\n", " ") if stack else "nowhere"
        lines.append(f"  {task.get_name()}: {place}")
    if len(tasks) > _TASKS_SHOWN:
        lines.append(f"  and {len(tasks) - _TASKS_SHOWN} more")
    return "\n".join(lines)


def run(
    coroutine: Coroutine[Any, Any, T],
    *,
    seed: int = 0,
    shuffle: bool = False,
    limit_s: float = DAY_S,
    steps_max: int = STEPS_MAX,
) -> T:
    """What the coroutine returns, or raises; AssertionError too when it leaves tasks behind that nobody owns."""
    loop = VirtualLoop(seed=seed, shuffle=shuffle, limit_s=limit_s, steps_max=steps_max)
    main = loop.create_task(coroutine, name="main")
    try:
        result = loop.run_until_complete(main)
        left = described(loop) if asyncio.all_tasks(loop) else ""
    finally:
        _end(loop)
    assert not left, f"tasks were left behind: {left}"
    return result


def _end(loop: VirtualLoop) -> None:
    """Cancel what is left, and let it end. What cannot end is dropped: the first error says more."""
    tasks = asyncio.all_tasks(loop)
    loop.allow_more()
    for task in tasks:
        task.cancel()
    try:
        if tasks:
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    except (Stuck, RunAway):
        for task in tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
    finally:
        loop.close()


def now_s() -> float:
    """The wall clock of the running loop; its beginning where none runs."""
    try:
        return EPOCH_S + asyncio.get_running_loop().time()
    except RuntimeError:
        return EPOCH_S


def clock() -> Clock:
    """Both clocks of the running loop, for what is told the time."""
    loop = asyncio.get_running_loop()
    return Clock(wall=lambda: EPOCH_S + loop.time(), monotonic=loop.time)
