"""When to call a member: at once, then later and later up to a bound, never two calls at a time.

A `Dialler` belongs to one peer. It knows nothing of links but whether another one is wanted; it ends when
the peer is removed or the transport stops.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

import msgspec

from .connection import Connection, LinkMetrics

_log = logging.getLogger("raftstore.transport")


class LinkTiming(msgspec.Struct, frozen=True, kw_only=True):
    """Intervals of the transport, in seconds."""

    keepalive_s: float = 1.0  # a ping when nothing else was sent for this long
    dead_s: float = 5.0  # nothing heard for this long: the link is dropped
    greeting_s: float = 5.0  # for TCP and TLS together, and again for the hellos
    backoff_s_min: float = 0.025
    backoff_s_max: float = 2.0
    settled_s: float = 1.0  # a link this old has proved itself
    fallback_dial_s: float = 1.0  # the higher id waits this long before it dials again
    retire_s: float = 30.0  # links made with replaced credentials are dropped after this


class Dialler:
    """`connect` brings TLS up (OSError, ValueError when it fails); `wanted` says whether a call would help."""

    def __init__(
        self,
        timing: LinkTiming,
        metrics: LinkMetrics,
        *,
        connect: Callable[[], Awaitable[None]],
        wanted: Callable[[], bool],
        tasks: set[asyncio.Task[None]],
    ) -> None:
        self.greeting: Connection | None = None  # dialled, TLS is up, not the link yet
        self._timing = timing
        self._metrics = metrics
        self._connect = connect
        self._wanted = wanted
        self._tasks = tasks  # of the transport, which awaits them
        self._failures = 0
        self._timer: asyncio.TimerHandle | None = None
        self._calling: asyncio.Task[None] | None = None
        self._stopped = False

    def call_after(self, delay_s: float) -> None:
        """Call then, instead of whenever a call was planned before."""
        if self._stopped:
            return
        self._cancel_timer()
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._start)

    def call_again(self) -> None:
        """Call after the present back-off."""
        self.call_after(self.backoff_s())

    def failed(self, why: str) -> None:
        self._metrics.dial_failures += 1
        self._failures += 1
        _log.debug("dialling a peer failed", extra={"why": why, "failures": self._failures})
        if self._wanted():
            self.call_again()

    def link_ended(self, *, settled: bool) -> None:
        """A link that had lasted clears the back-off; one that breaks at once counts as a failure."""
        self._failures = 0 if settled else self._failures + 1

    def forgive(self) -> None:
        """The address or the credentials are new: former failures mean nothing."""
        self._failures = 0

    def backoff_s(self) -> float:
        """Twice as long after each failure, with jitter so that replicas do not call in step."""
        longest = min(self._timing.backoff_s_max, self._timing.backoff_s_min * 2.0 ** min(self._failures, 32))
        return longest * random.uniform(0.5, 1.0)

    def stop(self) -> None:
        self._stopped = True
        self._cancel_timer()
        if self._calling is not None:
            self._calling.cancel()
        if self.greeting is not None:
            self.greeting.drop("not wanted any more")

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start(self) -> None:
        self._timer = None
        if self._calling is not None or self.greeting is not None or not self._wanted():
            return
        self._calling = asyncio.get_running_loop().create_task(self._call(), name="peer-dial")
        self._tasks.add(self._calling)
        self._calling.add_done_callback(self._tasks.discard)

    async def _call(self) -> None:
        self._metrics.dialled += 1
        failure: Exception | None = None
        try:
            await self._connect()
        except (OSError, ValueError) as error:
            failure = error
        finally:
            self._calling = None
        if failure is not None:
            self.failed(str(failure) or type(failure).__name__)
