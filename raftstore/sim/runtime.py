"""The virtual `Runtime`: one per replica process, over the shared `Schedule`.

A machine has a `VirtualClock` (its own rate and offset; a suspended machine's stands still) and a
`DiskSpeed`. A process on it has a `VirtualRuntime`, through which every callback of that process goes:
so a paused process defers all of them, in order, and a dead one drops them. Blocking work takes effect
at one instant somewhere between its start and its completion; a process may die in between.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from .disk import PowerCut
from .schedule import Callback, Schedule, ScheduledEvent

WALL_EPOCH_S = 1_700_000_000.0
LANE_QUEUE_MAX = 100_000
SLOW_WORK_S_MAX = 3.0  # longer ones would outlast the healing of the disk


class Closable(Protocol):
    def close(self) -> None: ...


class ProcessKilled(BaseException):
    """Raised inside a process of the simulation at the instant it dies; no handler may stop it."""


class VirtualClock:
    """A machine's monotonic clock: `offset + rate * virtual time`, never back."""

    def __init__(self, schedule: Schedule, *, rate: float = 1.0, offset_s: float = 0.0) -> None:
        self._schedule = schedule
        self._rate = rate
        self._base_s = offset_s
        self._since_s = schedule.now_s
        self._frozen = False
        self.wall_offset_s = 0.0

    @property
    def rate(self) -> float:
        return self._rate

    def now(self) -> float:
        if self._frozen:
            return self._base_s
        return self._base_s + (self._schedule.now_s - self._since_s) * self._rate

    def wall(self) -> float:
        return WALL_EPOCH_S + self._schedule.now_s + self.wall_offset_s

    def virtual_at(self, local_s: float) -> float:
        """The virtual time at which `now()` reaches `local_s`, if nothing happens to the clock until then."""
        when = self._since_s + (local_s - self._base_s) / self._rate
        nudge_s = 1e-12
        while self._base_s + (when - self._since_s) * self._rate < local_s:  # rounding must not make it early
            when += nudge_s
            nudge_s *= 2
        return when

    def set_rate(self, rate: float) -> None:
        self._rebase()
        self._rate = rate

    def freeze(self) -> None:
        """The machine is suspended: its clock stands still until thawed."""
        self._rebase()
        self._frozen = True

    def thaw_if_frozen(self) -> None:
        if self._frozen:
            self._frozen = False
            self._since_s = self._schedule.now_s

    def _rebase(self) -> None:
        self._base_s = self.now()
        self._since_s = self._schedule.now_s


class DiskSpeed:
    """How long blocking work takes on a machine. `stalled_until_s` models a disk that hangs."""

    def __init__(self, rng: random.Random, *, median_s: float = 0.0005, slow_factor: float = 1.0) -> None:
        self._rng = rng
        self.median_s = median_s
        self.slow_factor = slow_factor
        self.stalled_until_s = 0.0

    def duration_s(self, now_s: float) -> float:
        """A draw with a long tail: one work in fifty takes about thirty times the median."""
        duration = self.median_s * (0.4 + 1.2 * self._rng.random())
        if self._rng.random() < 0.02:
            duration *= 10 + 40 * self._rng.random()
        return min(duration * self.slow_factor, SLOW_WORK_S_MAX) + max(0.0, self.stalled_until_s - now_s)

    def effect_fraction(self) -> float:
        return self._rng.random()

    def survives(self, *, power: bool) -> bool:
        """Whether work in flight takes effect although its process died: the kernel, or the drive, finishes it."""
        return self._rng.random() < (0.1 if power else 0.5)


class _Work:
    __slots__ = ("done", "ended", "error", "result", "work")

    def __init__(self, work: Callable[[], Any], done: Callable[[Any, BaseException | None], None]) -> None:
        self.work = work
        self.done = done
        self.ended = False
        self.result: Any = None
        self.error: BaseException | None = None

    def take_effect(self) -> None:
        self.ended = True
        try:
            self.result = self.work()
        except PowerCut:  # the disk decided that the process ends in the middle of this work
            raise ProcessKilled from None
        except Exception as error:  # as a worker thread would: the error goes to `done`
            self.error = error


class _VirtualTimer:
    """Fires once the process's own clock has reached `when`; looks again when the clock was held up."""

    __slots__ = ("_callback", "_event", "_runtime", "_when")

    def __init__(self, runtime: VirtualRuntime, when: float, callback: Callback) -> None:
        self._runtime = runtime
        self._when = when
        self._callback: Callback | None = callback
        self._arm()

    def _arm(self) -> None:
        runtime = self._runtime
        self._event: ScheduledEvent = runtime.schedule.at(runtime.clock.virtual_at(self._when), self._due)

    def _due(self) -> None:
        if self._callback is not None:
            self._runtime.dispatch(self._fire)

    def _fire(self) -> None:
        if self._callback is None:
            return
        if self._runtime.clock.now() < self._when:
            self._arm()
            return
        callback, self._callback = self._callback, None
        callback()

    def cancel(self) -> None:
        self._callback = None
        self._event.cancel()


class _Running(threading.local):
    """Of this thread alone: a real replica on another one is nobody's business here."""

    runtime: VirtualRuntime | None = None


_running = _Running()


def running() -> VirtualRuntime | None:
    """Whose code is running right now; None: that of no virtual process."""
    return _running.runtime


class VirtualRuntime:
    """Time, chance and threads of one process (one incarnation of a replica)."""

    def __init__(
        self,
        schedule: Schedule,
        *,
        owner: int = 0,
        rng: random.Random,
        clock: VirtualClock,
        disk_speed: DiskSpeed,
        on_error: Callable[[str, BaseException], None],
        on_killed: Callable[[], None],
    ) -> None:
        self.schedule = schedule
        self.clock = clock
        self.owner = owner  # member id
        self.dead = False
        self.opened: list[Closable] = []  # what this Python process must close when the virtual one is gone
        self.paused = False
        self._rng = rng
        self._disk_speed = disk_speed
        self._on_error = on_error
        self._on_killed = on_killed
        self._deferred: deque[Callback] = deque()
        self._lanes: dict[str, deque[_Work]] = {}

    # --- Runtime

    def now(self) -> float:
        return self.clock.now()

    def wall(self) -> float:
        return self.clock.wall()

    def random(self) -> float:
        return self._rng.random()

    def random_id(self) -> int:
        return self._rng.getrandbits(62) + 1

    def call_soon(self, callback: Callback) -> None:
        self.schedule.at(self.schedule.now_s, lambda: self.dispatch(callback))

    def call_at(self, when: float, callback: Callback) -> _VirtualTimer:
        return _VirtualTimer(self, when, callback)

    def run_blocking(
        self, lane: str, work: Callable[[], Any], done: Callable[[Any, BaseException | None], None]
    ) -> None:
        queue = self._lanes.setdefault(lane, deque())
        if len(queue) >= LANE_QUEUE_MAX:
            raise RuntimeError(f"lane {lane}: {LANE_QUEUE_MAX} works are waiting; a bound is missing in the product")
        queue.append(_Work(work, done))
        if len(queue) == 1:
            self._start_work(lane)

    def report(self, context: str, error: BaseException) -> None:
        self._on_error(context, error)

    # --- the simulator's side

    def dispatch(self, callback: Callback) -> None:
        """The only door into the process: run now, later when paused, never when dead."""
        if self.dead:
            return
        if self.paused:
            self._deferred.append(callback)
            return
        before, _running.runtime = _running.runtime, self
        try:
            callback()
        except (ProcessKilled, PowerCut):
            self._on_killed()
        except Exception as error:
            self.report("callback", error)
        finally:
            _running.runtime = before

    def close_opened(self) -> None:
        for opened in self.opened:
            opened.close()

    def pause(self, *, freeze_clock: bool = False) -> None:
        """SIGSTOP, or with `freeze_clock` a suspended machine."""
        self.paused = True
        if freeze_clock:
            self.clock.freeze()

    def resume(self) -> None:
        if not self.paused:
            return
        self.paused = False
        self.clock.thaw_if_frozen()
        deferred, self._deferred = self._deferred, deque()
        for callback in deferred:
            self.call_soon(callback)

    def die(self, *, power: bool = False) -> None:
        """The process is gone. Blocking work in flight may still take effect, as the disk's draw decides."""
        if self.dead:
            return
        self.dead = True
        self._deferred.clear()
        self.clock.thaw_if_frozen()
        for queue in self._lanes.values():
            if queue and not queue[0].ended and self._disk_speed.survives(power=power):
                self._end_in_kernel(queue[0])
        self._lanes.clear()

    def _end_in_kernel(self, work: _Work) -> None:
        try:
            work.take_effect()
        except ProcessKilled:
            return

    def _start_work(self, lane: str) -> None:
        duration_s = self._disk_speed.duration_s(self.schedule.now_s)
        effect_s = duration_s * self._disk_speed.effect_fraction()
        work = self._lanes[lane][0]
        self.schedule.after(effect_s, lambda: self.dispatch(work.take_effect))
        self.schedule.after(duration_s, lambda: self.dispatch(lambda: self._end_work(lane, work)))

    def _end_work(self, lane: str, work: _Work) -> None:
        queue = self._lanes[lane]
        queue.popleft()
        if queue:
            self._start_work(lane)
        work.done(work.result, work.error)
