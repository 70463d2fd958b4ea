"""A watch that goes on: over connections that break, servers that die, and time limits, from where it was.

From a resource version on, every event comes once, in order, whichever server sends it. When a server no longer has
the history (Gone) or refuses (not allowed, no such resource) that is raised. What may pass is waited out: for ever when
nobody can be reached, a bounded number of times when servers answer that they cannot go on from there.

A watch without a resource version begins with what is there. Until that has all been sent a break starts it over, so
that objects may come as ADDED twice.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Generic, TypeVar

import msgspec

from apiserver.api.errors import ApiError, Gone, InternalError, ServiceUnavailable, Timeout, TooManyRequests

from . import requests
from .calls import Caller, final
from .requests import ListOptions
from .responses import Event, RawEvent, decode_event
from .retry import wait_s
from .transport import TransportError

log = logging.getLogger(__name__)

T = TypeVar("T")

#: What a watch asks the server for at most, and at least; chance in between keeps many from ending together.
DURATION_S = (300, 600)
#: Servers send a bookmark about every minute. One that is silent for longer may be cut off from the others.
IDLE_S = 90.0
REFUSALS_MAX = 6
_SHORT_S = 1.0


class Watched(msgspec.Struct, Generic[T], frozen=True):
    """An event and the resource version to go on from once it is handled."""

    event: Event[T]
    resource_version: str


class Watch(Generic[T]):
    """`read` decodes an event's object and says its resource version; `accept` is the form objects come in."""

    def __init__(
        self,
        caller: Caller,
        path: str,
        options: ListOptions,
        read: Callable[[RawEvent], Watched[T]],
        *,
        give_up_after_s: float | None = None,
        accept: str = requests.JSON,
    ) -> None:
        self.resource_version = options.resource_version
        self._caller = caller
        self._path = path
        self._options = options
        self._read = read
        self._give_up_after_s = give_up_after_s
        self._accept = accept
        self._failures = 0
        self._refusals = 0
        self._heard = caller.clock()

    async def events(self) -> AsyncGenerator[Event[T], None]:
        """Bookmarks included. Raises ApiError when it cannot go on; close it (aclosing) when done with."""
        while True:
            began = self._caller.clock()
            try:
                async with aclosing(self._connection()) as connection:
                    async for watched in connection:
                        self._failures = self._refusals = 0
                        self._heard = self._caller.clock()
                        yield watched.event
            except TransportError as error:
                await self._wait_out(error)
            except ApiError as error:
                self._check(error)
                await self._wait_out(error)
            else:
                if self._caller.clock() - began < _SHORT_S:  # a server that ends at once must not be asked in a circle
                    await self._wait_out(TransportError("the watch ended as soon as it began", sent=True))

    async def _connection(self) -> AsyncGenerator[Watched[T], None]:
        """What one server sends. Only events that are news leave here."""
        options = msgspec.structs.replace(self._options, resource_version=self.resource_version)
        duration_s = self._caller.random.randint(*DURATION_S)
        request = requests.watch(self._path, options, timeout_s=duration_s, accept=self._accept)
        async with (
            self._caller.open_stream(request, idle_s=IDLE_S) as (server, stream),
            aclosing(stream.lines()) as lines,
        ):
            async for line in lines:
                self._caller.pulse.heard(server)
                watched = self._read(decode_event(line))
                if self._is_news(watched):
                    yield watched

    def _is_news(self, watched: Watched[T]) -> bool:
        """Move on to the event's place; False for what was seen before."""
        if self.resource_version is None:
            if watched.event.ends_initial_events:
                self.resource_version = watched.resource_version
            return True
        if not is_later(watched.resource_version, self.resource_version):
            return watched.event.type == "BOOKMARK" and watched.resource_version == self.resource_version
        self.resource_version = watched.resource_version
        return True

    def _check(self, error: ApiError) -> None:
        """Raise what no waiting will cure."""
        if isinstance(error, TooManyRequests | ServiceUnavailable):
            return
        if isinstance(error, Gone) or not isinstance(error, Timeout | InternalError):
            raise error
        self._refusals += 1
        if self._refusals >= REFUSALS_MAX:
            raise error

    async def _wait_out(self, error: ApiError | TransportError) -> None:
        now, limit_s = self._caller.clock(), self._give_up_after_s
        if limit_s is not None and now - self._heard > limit_s:
            raise final(error, requests.get(self._path)) from error
        wait = wait_s(error, self._failures, self._caller.options.backoff, self._caller.random)
        self._failures += 1
        log.debug("a watch is taken up again", extra={"path": self._path, "error": str(error), "wait_s": wait})
        await self._caller.sleep(wait)


def is_later(one: str, other: str) -> bool:
    """Whether a resource version comes after another. They are revisions of one store, hence numbers; of what is none
    nobody can say, and it counts as news."""
    if one.isascii() and other.isascii() and one.isdigit() and other.isdigit():
        return int(one) > int(other)
    return True
