"""A caller's connection, kept within bounds: aiohttp's handler of one, with what it leaves open closed.

A head must be complete within a time and a size; a caller that takes nothing of its answer for a while is cut off; when
all places are taken, a stranger that asks for nothing makes room, or who comes is turned away. A connection that speaks
another protocol after its request is left alone: its bounds are that protocol's.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from typing import Any

import msgspec
from aiohttp import StreamReader, web

from .places import Places

log = logging.getLogger(__name__)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """`strangers` of the `connections` may be those that `Connection.is_known` does not know."""

    connections: int
    strangers: int
    head_timeout_s: float  # from the begin of a connection, or from a head's first byte
    head_bytes: int
    line_bytes: int  # of the request line, and of each field
    body_bytes: int
    keep_alive_s: float  # between two requests
    stall_s: float


class Fault(enum.Enum):
    """Why a connection is closed before anything was asked."""

    CROWDED = enum.auto()
    HEAD_LATE = enum.auto()
    HEAD_LARGE = enum.auto()


class Connections(web.Server):
    """Makes the connections and knows how many there are."""

    def __init__(self, handler: Any, make: type[Connection], limits: Limits) -> None:
        super().__init__(
            handler,
            request_factory=self._request,
            access_log=None,
            keepalive_timeout=limits.keep_alive_s,
            max_line_size=limits.line_bytes,
            max_field_size=limits.line_bytes,
            auto_decompress=False,
            handler_cancellation=True,
        )
        self._make = make
        self.limits = limits
        self.places: Places[Connection] = Places(limits.connections, limits.strangers, Connection.is_idle)

    def __call__(self) -> web.RequestHandler:
        return self._make(self, loop=self._loop, **self._kwargs)

    def _request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        body_bytes = self.limits.body_bytes
        return web.BaseRequest(message, payload, protocol, writer, task, self._loop, client_max_size=body_bytes)


class Connection(web.RequestHandler):
    """Those who use it may say who is known, what is said to whom is closed, and how a broken request is answered."""

    def __init__(self, connections: Connections, **options: Any) -> None:
        super().__init__(connections, **options)
        self._connections = connections
        self._speaks_http = True
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._body: StreamReader | None = None  # of the newest request, from before anybody takes it up
        self._stall_timer: asyncio.TimerHandle | None = None
        self._stalled_bytes = 0

    # --- what each port decides -------------------------------------------------------------------------

    def is_known(self, certificate: dict[str, Any] | None) -> bool:
        """Whether this one has a place that strangers cannot take. `certificate` as `ssl` gives it, verified."""
        return bool(certificate)

    def last_words(self, fault: Fault) -> bytes:
        """What is sent before it is closed."""
        return b""

    def refusal(
        self, request: web.BaseRequest, status: int, error: BaseException | None, message: str
    ) -> web.StreamResponse:
        """The answer to what is no HTTP (400), or to a failure outside of the handler (500); it closes."""
        text = "the request is not valid HTTP" if status < 500 else "internal error: see the log"
        answer = web.Response(status=status, text=text)
        answer.force_close()
        return answer

    # --- its life ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        goes = self._connections.places.enter(self, known=self.is_known(transport.get_extra_info("peercert")))
        if goes is self:
            self._turn_away(Fault.CROWDED)
            return
        if goes is not None and goes.transport is not None:
            goes.transport.abort()
        self._await_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._connections.places.leave(self)
        self._forget_head()
        self._forget_stall()
        super().connection_lost(exc)

    def is_idle(self) -> bool:
        """It is open, and no request of it was begun and not answered."""
        return self.transport is not None and not self._request_in_progress and not self._messages

    def leave_http(self) -> None:
        """It speaks another protocol from now on, and may be silent as long as it likes."""
        self._speaks_http = False
        self._forget_head()
        self._forget_stall()

    # --- heads that do not come -------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        requests, in_body = self._request_count, self._receives_body()
        super().data_received(data)
        if self._request_count != requests:
            self._body = self._messages[-1][1]
            if self._head_timer is not None:
                self._forget_head()
        elif data and not in_body and self._speaks_http:
            self._head_bytes += len(data)
            if self._head_bytes > self._connections.limits.head_bytes:
                self._turn_away(Fault.HEAD_LARGE)
            elif self._head_timer is None:
                self._await_head()

    def _receives_body(self) -> bool:
        return self._body is not None and not self._body.is_eof()

    def _await_head(self) -> None:
        self._head_timer = self._loop.call_later(self._connections.limits.head_timeout_s, self._head_is_late)

    def _forget_head(self) -> None:
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._request_in_progress:
            self._await_head()  # it would come in vain as long as the request before it runs
            return
        self._turn_away(Fault.HEAD_LATE)

    def _turn_away(self, fault: Fault) -> None:
        """Say why, as far as nobody else is writing, and close."""
        if self.transport is not None and not self._request_in_progress:
            said = self.last_words(fault)
            if said:
                self.transport.write(said)
        self._forget_head()
        self.force_close()

    # --- answers that nobody takes ----------------------------------------------------------------------

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._speaks_http and self.transport is not None:
            self._look_again(self.transport)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._forget_stall()

    def _look_again(self, transport: asyncio.Transport) -> None:
        self._stalled_bytes = transport.get_write_buffer_size()
        self._stall_timer = self._loop.call_later(self._connections.limits.stall_s, self._look)

    def _look(self) -> None:
        self._stall_timer = None
        if self.transport is None:
            return
        if self.transport.get_write_buffer_size() >= self._stalled_bytes:
            self.transport.abort()
        else:
            self._look_again(self.transport)

    def _forget_stall(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    # --- what is no HTTP --------------------------------------------------------------------------------

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Called by aiohttp for what its parser refuses, and for what a handler let through."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        if status >= 500:
            log.error("a request failed outside of its handler", exc_info=exc)
        return self.refusal(request, status, exc, message or "")
