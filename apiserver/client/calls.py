"""Sends a request until somebody answers, as far as that is safe (retry.py), within one time limit.

Everything is bounded: the time of a call, its tries, how many are in flight, how many watches are open.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random

import msgspec

from apiserver.api.errors import ApiError

from .errors import Unanswered, Unreachable
from .pulse import Pulse
from .requests import Request
from .responses import Response, error_of
from .retry import Backoff, elsewhere, may_resend, wait_s
from .servers import Servers
from .transport import Stream, Transport, TransportError


class CallOptions(msgspec.Struct, frozen=True, kw_only=True):
    timeout_s: float = 30.0  # of a call with all its tries
    try_timeout_s: float = 10.0  # of one try of a read; writes get all that is left
    tries_max: int = 8
    in_flight_max: int = 64
    streams_max: int = 256
    backoff: Backoff = Backoff()


class Caller:
    """`clock` is monotonic; `sleep` and `random` are for tests to replace."""

    def __init__(
        self,
        transport: Transport,
        servers: Servers,
        options: CallOptions,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: Random | None = None,
    ) -> None:
        self.transport = transport
        self.servers = servers
        self.options = options
        self.clock = clock
        self.sleep = sleep
        self.random = random or Random()
        self._in_flight = asyncio.Semaphore(options.in_flight_max)
        self._streams = asyncio.Semaphore(options.streams_max)
        self.pulse = Pulse(transport, servers)

    async def call(self, request: Request, *, timeout_s: float | None = None) -> Response:
        """An answer below 400. Raises ApiError, Unreachable and Unanswered among them."""
        deadline = self.clock() + (self.options.timeout_s if timeout_s is None else timeout_s)
        async with self._in_flight:
            failures = 0
            while True:
                error = await self._try(request, deadline)
                if isinstance(error, Response):
                    return error
                failures += 1
                wait = wait_s(error, failures - 1, self.options.backoff, self.random)
                over = failures >= self.options.tries_max or self.clock() + wait >= deadline
                if over or not may_resend(request, error):
                    raise final(error, request) from error
                await self.sleep(wait)

    async def _try(self, request: Request, deadline: float) -> Response | ApiError | TransportError:
        left = deadline - self.clock()
        if left <= 0:
            return TransportError("the time for this request was over before it could be sent", sent=False)
        timeout_s = left if request.is_write else min(left, self.options.try_timeout_s)
        server = self.servers.pick()
        try:
            response = await self.transport.send(server, request, timeout_s=timeout_s)
        except TransportError as error:
            self.servers.failed(server)
            return error
        return self._judged(server, response)

    def _judged(self, server: str, response: Response) -> Response | ApiError:
        if response.status < 400:
            self.servers.works(server)
            return response
        error = error_of(response)
        if error.status_code in (502, 503, 504) and elsewhere(error):
            self.servers.failed(server)
        else:
            self.servers.works(server)
        return error

    @asynccontextmanager
    async def open_stream(self, request: Request, *, idle_s: float) -> AsyncIterator[tuple[str, Stream]]:
        """One try at one server: who streams knows best what to do when it ends. Raises ApiError, TransportError."""
        async with self._streams:
            server = self.servers.pick()
            try:
                async with self.transport.stream(
                    server, request, timeout_s=self.options.try_timeout_s, idle_s=idle_s
                ) as stream:
                    if stream.status >= 400:
                        answer = self._judged(server, Response(stream.status, stream.headers, await stream.read()))
                        assert isinstance(answer, ApiError)
                        raise answer
                    self.servers.works(server)
                    with self.pulse.listening(server, stream):
                        yield server, stream
            except TransportError:
                self.servers.failed(server)
                raise


def final(error: ApiError | TransportError, request: Request) -> ApiError:
    """What the caller of a request gets to see."""
    if isinstance(error, ApiError):
        return error
    if not error.sent:
        return Unreachable(f"no server can be reached; the last one said: {error}")
    if request.is_write:
        return Unanswered(f"{error}; the write may have taken effect", definite=False)
    return Unanswered(str(error), definite=True)
