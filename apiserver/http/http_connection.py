"""A client's connection at the API's port: its bounds, and what is said to those who pass them.

Whatever is wrong with the HTTP itself is answered with a Status, like everything else. A connection that changes its
protocol is handed over (tunnel.py).
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMethod, LineTooLong

from apiserver.api.errors import (
    ApiError,
    BadRequest,
    InternalError,
    MethodNotAllowed,
    ServiceUnavailable,
    Timeout,
)
from apiserver.http.frontend import BODY_BYTES_MAX
from apiserver.http.responses import failure, head_of, send
from apiserver.listening.connection import Connection, Connections, Fault, Limits

LIMITS = Limits(
    connections=10_000,
    strangers=9_000,  # those with tokens are: whoever has a certificate, as nodes do, gets in beside them
    head_timeout_s=30.0,
    head_bytes=256 * 1024,
    line_bytes=40 * 1024,  # a path and a query at their bounds, or a bearer token
    body_bytes=BODY_BYTES_MAX,
    keep_alive_s=90.0,
    stall_s=60.0,
)
#: A line that would be a request, had its method a meaning.
_REQUEST_LINE = re.compile(r"b'([A-Za-z!#$%&*+.^_|~0-9-]{1,32}) [/*]")


class HttpConnection(Connection):
    """See the module."""

    def __init__(self, connections: Connections, **options: Any) -> None:
        super().__init__(connections, **options)
        self.peer_certificate: bytes | None = None  # DER; None: nobody asked yet (connection.py)

    def hand_over(self, protocol: asyncio.Protocol) -> bytes:
        """From now on the connection is another protocol's, which passes on `connection_lost`.

        Returns what the client sent behind the head. A client may send only after a 101; what one that asked for
        anything but WebSocket sent before is lost.
        """
        transport = self.transport
        assert transport is not None
        early, self._message_tail = self._message_tail, b""
        self.leave_http()
        transport.set_protocol(protocol)
        transport.resume_reading()
        return early

    def last_words(self, fault: Fault) -> bytes:
        reply = failure(_fault(fault))
        fields = [
            ("Content-Type", reply.content_type),
            ("Content-Length", len(reply.body)),
            ("Connection", "close"),
            *reply.headers,
        ]
        return head_of(reply.status, fields) + reply.body

    def refusal(
        self, request: web.BaseRequest, status: int, error: BaseException | None, message: str
    ) -> web.StreamResponse:
        return send(request, failure(_error_of(status, error, message)), "0", close=True)


def _fault(fault: Fault) -> ApiError:
    if fault is Fault.CROWDED:
        return ServiceUnavailable("too many connections are open already", retry_after_s=1)
    if fault is Fault.HEAD_LATE:
        return Timeout(f"no request came within {LIMITS.head_timeout_s:.0f} s", code=408, reason="Timeout")
    return _head_too_large()


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
        f"the head of the request is too large: a line may have 40 KiB, all of it {LIMITS.head_bytes} bytes",
        code=431,
        reason="RequestHeaderFieldsTooLarge",
    )
