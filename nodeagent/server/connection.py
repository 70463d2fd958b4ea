"""A caller's connection, kept within bounds: aiohttp's handler of one, with what it leaves open closed.

A head must be complete within HEAD_TIMEOUT_S and HEAD_BYTES_MAX; who takes nothing of an answer for STALL_S is cut
off; more connections than CONNECTIONS_MAX are turned away. What is no HTTP is answered with a Status. A connection that
was upgraded is left alone: its bounds are nodeagent.streams'.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from aiohttp import web

from apiserver.api.errors import ApiError, BadRequest, InternalError

from .replies import failure

CONNECTIONS_MAX = 500
HEAD_TIMEOUT_S = 10.0  # from the begin of a connection, or of the pause after a request
HEAD_BYTES_MAX = 64 * 1024
LINE_BYTES_MAX = 40 * 1024  # a command of many words is in the query
STALL_S = 60.0

log = logging.getLogger(__name__)


class Connections(web.Server):
    """Makes the connections and counts them."""

    def __init__(self, handler: Any) -> None:
        super().__init__(
            handler,
            request_factory=_request,
            access_log=None,
            keepalive_timeout=HEAD_TIMEOUT_S,
            max_line_size=LINE_BYTES_MAX,
            max_field_size=LINE_BYTES_MAX,
            handler_cancellation=True,
        )
        self.open = 0

    def __call__(self) -> web.RequestHandler:
        return Connection(self, loop=self._loop, **self._kwargs)


class Connection(web.RequestHandler):
    """See the module."""

    def __init__(self, connections: Connections, **options: Any) -> None:
        super().__init__(connections, **options)
        self._connections = connections
        self._head_bytes = 0
        self._stall_timer: asyncio.TimerHandle | None = None
        self._stalled_bytes = 0
        self._is_http = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connections.open += 1
        super().connection_made(transport)
        if self._connections.open > CONNECTIONS_MAX:
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._manager is not None:
            self._connections.open -= 1
        self._forget_stall()
        super().connection_lost(exc)

    def set_parser(self, parser: Any, data_received_cb: Callable[[], None] | None = None) -> None:
        """It speaks another protocol from now on, and may be silent as long as it likes."""
        self._is_http = False
        self._forget_stall()
        super().set_parser(parser, data_received_cb)

    def data_received(self, data: bytes) -> None:
        """A head is parsed line by line, and kept: all of them together have a bound too."""
        before = self._request_count
        super().data_received(data)
        if not self._is_http:
            return
        self._head_bytes = 0 if self._request_count != before else self._head_bytes + len(data)
        if self._head_bytes > HEAD_BYTES_MAX:
            self.force_close()

    # --- answers that nobody takes ----------------------------------------------------------------------

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._is_http:
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
        error: ApiError = BadRequest("the request is not valid HTTP")
        if status >= 500:
            log.error("a request failed outside of its handler", exc_info=exc)
            error = InternalError("Internal error occurred: see the agent's log")
        answer = failure(error)
        answer.force_close()
        return answer


def _request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
    return web.BaseRequest(message, payload, protocol, writer, task, asyncio.get_running_loop(), client_max_size=1)
