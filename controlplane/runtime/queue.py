"""The work queue: which names are to be looked at, and when.

- A name that waits is there once, however often it is added: the queue is never longer than there are objects.
- A name is never handed out while somebody works on it; what is added meanwhile waits until `done`.
- Failures are retried after a time that doubles, with jitter so that many do not come back at once.
- Of several delays for one name the earliest counts.
"""

from __future__ import annotations

import asyncio
from collections import deque
from random import Random

import msgspec

from .clock import Clock
from .metrics import QueueMetrics
from .reconciler import Request


class RetryTiming(msgspec.Struct, frozen=True, kw_only=True):
    """In seconds: `first_s`, twice as long after each further failure, never more than `longest_s`."""

    first_s: float = 0.01
    longest_s: float = 120.0

    def wait_s(self, failures: int, random: Random) -> float:
        full = min(self.longest_s, self.first_s * 2.0 ** min(failures, 32))
        return full * random.uniform(0.5, 1.0)


class WorkQueue:
    """For one event loop. `get` waits; everything else returns at once."""

    def __init__(
        self, metrics: QueueMetrics, *, clock: Clock, random: Random, retry: RetryTiming | None = None
    ) -> None:
        self._metrics = metrics
        self._clock = clock
        self._random = random
        self._retry = retry or RetryTiming()
        self._ready: deque[Request] = deque()
        self._since: dict[Request, float] = {}  # what is to be done -> since when
        self._working: dict[Request, float] = {}  # what is being done -> since when
        self._delayed: dict[Request, asyncio.TimerHandle] = {}
        self._failures: dict[Request, int] = {}
        self._waiting: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        """Names that wait to be looked at now."""
        return len(self._since)

    @property
    def idle(self) -> bool:
        """Nothing waits now, and nobody works. What is delayed does not count."""
        return not self._since and not self._working

    def add(self, request: Request) -> None:
        if request in self._since:
            return
        self._since[request] = self._clock.monotonic()
        self._metrics.added()
        self._measure()
        if request not in self._working:
            self._make_ready(request)

    def add_after(self, request: Request, delay_s: float) -> None:
        if delay_s <= 0:
            self.add(request)
            return
        loop = asyncio.get_running_loop()
        known = self._delayed.get(request)
        if known is not None:
            if known.when() <= loop.time() + delay_s:
                return
            known.cancel()
        self._delayed[request] = loop.call_later(delay_s, self._due, request)

    def add_rate_limited(self, request: Request) -> None:
        """After a failure."""
        failures = self._failures.get(request, 0)
        self._failures[request] = failures + 1
        self._metrics.retried()
        self.add_after(request, self._retry.wait_s(failures, self._random))

    def forget(self, request: Request) -> None:
        """It went well: the next failure is the first one again."""
        self._failures.pop(request, None)

    async def get(self) -> Request:
        """The name that has waited longest. `done` must follow."""
        while not self._ready:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            try:
                await future
            except asyncio.CancelledError:
                if future.done() and not future.cancelled():
                    self._wake()  # it was our turn: somebody else takes it
                raise
        request = self._ready.popleft()
        now = self._clock.monotonic()
        self._metrics.waited(now - self._since.pop(request))
        self._working[request] = now
        self._measure()
        return request

    def done(self, request: Request) -> None:
        self._metrics.worked(self._clock.monotonic() - self._working.pop(request))
        if request in self._since:
            self._make_ready(request)

    def close(self) -> None:
        """Nothing that was delayed comes any more."""
        for handle in self._delayed.values():
            handle.cancel()
        self._delayed.clear()
        self._ready.clear()
        self._since.clear()
        self._measure()

    def _due(self, request: Request) -> None:
        del self._delayed[request]
        self.add(request)

    def _make_ready(self, request: Request) -> None:
        self._ready.append(request)
        self._wake()

    def _wake(self) -> None:
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
                return

    def _measure(self) -> None:
        self._metrics.depth(len(self._since))
