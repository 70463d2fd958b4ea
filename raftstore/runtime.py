"""The only way out of the deterministic rooms: time, timers, chance and blocking work.

A replica (raft, replica, leases, snapshots) never touches a clock, a thread or asyncio. It is given a
`Runtime`. The real one sits on an asyncio loop; the simulator's is virtual, so that a whole cluster runs
in one thread from one seed. All callbacks of one runtime are called one at a time, never re-entrantly
from within `call_soon`, `call_at` or `run_blocking`.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol


class Timer(Protocol):
    def cancel(self) -> None: ...


class Runtime(Protocol):
    def now(self) -> float:
        """Monotonic seconds. Stands still or jumps ahead when the machine pauses; never goes back."""

    def wall(self) -> float:
        """Seconds since the epoch, only for time stamps people read."""

    def random(self) -> float:
        """Uniform in [0, 1)."""

    def random_id(self) -> int:
        """A random number in [1, 2**63): session, lease and member ids."""

    def call_soon(self, callback: Callable[[], None]) -> None: ...

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call once `now() >= when`; never early."""

    def run_blocking(
        self, lane: str, work: Callable[[], Any], done: Callable[[Any, BaseException | None], None]
    ) -> None:
        """Run `work` off the loop and then `done(result, error)` on it.

        Work of one lane ("journal", "snapshot", ...) runs in the order given, one at a time.
        """

    def report(self, context: str, error: BaseException) -> None:
        """An error nobody else can take: a callback that raised. The replica that owns it must stop."""


class _LoopTimer:
    __slots__ = ("handle",)
    handle: asyncio.TimerHandle

    def cancel(self) -> None:
        self.handle.cancel()


class AsyncioRuntime:
    """Runtime on the running asyncio loop, one worker thread per lane."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_error: Callable[[str, BaseException], None]) -> None:
        self._loop = loop
        self._on_error = on_error
        self._lanes: dict[str, ThreadPoolExecutor] = {}
        self._random = random.SystemRandom()
        self._closed = False

    def now(self) -> float:
        return time.monotonic()  # not loop.time(): uvloop's stands still within an iteration

    def random(self) -> float:
        return random.random()

    def wall(self) -> float:
        return time.time()

    def random_id(self) -> int:
        return self._random.getrandbits(62) + 1

    def call_soon(self, callback: Callable[[], None]) -> None:
        self._loop.call_soon(callback)

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        def due() -> None:
            if time.monotonic() < when:  # uvloop rounds to milliseconds and may be early
                timer.handle = self._loop.call_later(0.001, due)
            else:
                callback()

        timer = _LoopTimer()
        timer.handle = self._loop.call_later(max(0.0, when - time.monotonic()), due)
        return timer

    def run_blocking(
        self, lane: str, work: Callable[[], Any], done: Callable[[Any, BaseException | None], None]
    ) -> None:
        executor = self._lanes.get(lane)
        if executor is None:
            executor = self._lanes[lane] = ThreadPoolExecutor(1, thread_name_prefix=f"raftstore-{lane}")

        def body() -> None:
            result: Any = None
            error: BaseException | None = None
            try:
                result = work()
            except BaseException as caught:
                error = caught
            if not self._closed:
                try:
                    self._loop.call_soon_threadsafe(done, result, error)
                except RuntimeError:  # the loop closed between the check and the call
                    return

        executor.submit(body)

    def report(self, context: str, error: BaseException) -> None:
        self._on_error(context, error)

    def close(self) -> None:
        """Let running work end, forget its callbacks."""
        self._closed = True
        for executor in self._lanes.values():
            executor.shutdown(wait=True, cancel_futures=True)
