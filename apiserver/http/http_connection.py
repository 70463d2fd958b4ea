"""A client's connection, kept within bounds: aiohttp's handler of one, with what it leaves open closed.

A head must be complete within HEAD_TIMEOUT_S and HEAD_BYTES_MAX; a client that takes nothing of its answer for
STALL_S is cut off; more connections than the server has room for are turned away. Whatever is wrong with the HTTP
itself is answered with a Status, like everything else. A connection that changes its protocol is handed over
(tunnel.py).
"""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any

from aiohttp import StreamReader, web
from aiohttp.http_exceptions import BadHttpMethod, LineTooLong

from apiserver.api.errors import (
    ApiError,
    BadRequest,
    InternalError,
    MethodNotAllowed,
    ServiceUnavailable,
    Timeout,
)
from apiserver.http.responses import failure, head_of, send

CONNECTIONS_MAX = 10_000
HEAD_TIMEOUT_S = 30.0
HEAD_BYTES_MAX = 256 * 1024
STALL_S = 60.0
#: A line that would be a request, had its method a meaning.
_REQUEST_LINE = re.compile(r"b'([A-Za-z!#$%&*+.^_|~0-9-]{1,32}) [/*]")

log = logging.getLogger("kmini.api")


class HttpServer(web.Server):
    """Makes the connections and counts them."""

    def __init__(self, handler: Any, **options: Any) -> None:
        super().__init__(handler, **options)
        self.open = 0

    def __call__(self) -> web.RequestHandler:
        return HttpConnection(self, loop=self._loop, **self._kwargs)


class HttpConnection(web.RequestHandler):
    """See the module."""

    def __init__(self, server: HttpServer, **options: Any) -> None:
        super().__init__(server, **options)
        self._server = server
        self.peer_certificate: bytes | None = None  # DER; None: nobody asked yet (connection.py)
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._body: StreamReader | None = None  # of the newest request, from before anybody takes it up
        self._stall_timer: asyncio.TimerHandle | None = None
        self._stalled_bytes = 0

    # --- its life ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._server.open += 1
        super().connection_made(transport)
        if self._server.open > CONNECTIONS_MAX:
            self._turn_away(ServiceUnavailable("too many connections are open already", retry_after_s=1))
        else:
            self._await_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._manager is not None:
            self._server.open -= 1
        self._forget_head()
        self._forget_stall()
        super().connection_lost(exc)

    def hand_over(self, protocol: asyncio.Protocol) -> bytes:
        """From now on the connection is another protocol's, which passes on `connection_lost`.

        Returns what the client sent behind the head. A client may send only after a 101; what one that asked for
        anything but WebSocket sent before is lost.
        """
        transport = self.transport
        assert transport is not None
        early, self._message_tail = self._message_tail, b""
        self._forget_head()
        self._forget_stall()
        transport.set_protocol(protocol)
        transport.resume_reading()
        return early

    # --- heads that do not come -------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        requests, in_body = self._request_count, self._receives_body()
        super().data_received(data)
        if self._request_count != requests:
            self._body = self._messages[-1][1]
            if self._head_timer is not None:
                self._forget_head()
        elif data and not in_body:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self._turn_away(_head_too_large())
            elif self._head_timer is None:
                self._await_head()

    def _receives_body(self) -> bool:
        return self._body is not None and not self._body.is_eof()

    def _await_head(self) -> None:
        self._head_timer = self._loop.call_later(HEAD_TIMEOUT_S, self._head_is_late)

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
        self._turn_away(Timeout(f"no request came within {HEAD_TIMEOUT_S:.0f} s", code=408, reason="Timeout"))

    def _turn_away(self, error: ApiError) -> None:
        """Say why, as far as nobody else is writing, and close."""
        if self.transport is not None and not self._request_in_progress:
            reply = failure(error)
            fields = [
                ("Content-Type", reply.content_type),
                ("Content-Length", len(reply.body)),
                ("Connection", "close"),
                *reply.headers,
            ]
            self.transport.write(head_of(reply.status, fields) + reply.body)
        self._forget_head()
        self.force_close()

    # --- answers that nobody takes ----------------------------------------------------------------------

    def pause_writing(self) -> None:
        super().pause_writing()
        self._look_again()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._forget_stall()

    def _look_again(self) -> None:
        assert self.transport is not None
        self._stalled_bytes = self.transport.get_write_buffer_size()
        self._stall_timer = self._loop.call_later(STALL_S, self._look)

    def _look(self) -> None:
        self._stall_timer = None
        if self.transport is None:
            return
        if self.transport.get_write_buffer_size() >= self._stalled_bytes:
            self.transport.abort()
        else:
            self._look_again()

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
            log.error("request failed outside of its handler", exc_info=exc)
        return send(request, failure(_error_of(status, exc, message or "")), "0", close=True)


def _error_of(status: int, exc: BaseException | None, message: str) -> ApiError:
    if isinstance(exc, LineTooLong):
        return _head_too_large()
    if isinstance(exc, BadHttpMethod):
        unknown = _REQUEST_LINE.search(message)
        if unknown is not None:
            return MethodNotAllowed(f"the server does not allow the method {unknown[1][:16]!r}")
    if status == 400:
        return BadRequest(f"the request is not valid HTTP: {message.partition(':')[0].strip()[:200]}")
    return InternalError("Internal error occurred: see the server's log")


def _head_too_large() -> ApiError:
    return BadRequest(
        f"the head of the request is too large: a line may have 40 KiB, all of it {HEAD_BYTES_MAX} bytes",
        code=431,
        reason="RequestHeaderFieldsTooLarge",
    )
