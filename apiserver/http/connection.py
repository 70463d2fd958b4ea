"""What a request's connection gives: who is at its other end, and, for watches, the connection itself."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from aiohttp import HttpVersion11, web

from apiserver.api.errors import ApiError

PAUSE_S = 0.005


def peer_certificate(request: web.BaseRequest) -> bytes:
    """The verified client certificate as DER, b"" when none was shown; asked for once per connection."""
    protocol: Any = request.protocol
    known: bytes | None = protocol.peer_certificate
    if known is None:
        transport = request.transport
        tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object") if transport is not None else None
        if tls is None:
            return b""
        known = protocol.peer_certificate = tls.getpeercert(binary_form=True) or b""
    return known


def invite_body(request: web.BaseRequest) -> None:
    """Tell a client that waits for it to send its body (RFC 9110, section 10.1.1). Raises ApiError."""
    expected = request.headers.get("Expect")
    if expected is None:
        return
    if expected.strip().lower() != "100-continue":
        raise ApiError("the server does not know what Expect asks for", code=417, reason="ExpectationFailed")
    if request.transport is not None and request.version >= HttpVersion11:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


class TransportWire:
    """A connection's transport, to write a response to without another copy (apiserver/http/watch.py)."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.write = transport.write
        self.get_write_buffer_size = transport.get_write_buffer_size
        self.is_closing = transport.is_closing

    async def drain(self, bytes_max: int) -> None:
        await asyncio.sleep(0)
        while self.get_write_buffer_size() > bytes_max and not self.is_closing():  # noqa: ASYNC110 - nobody signals it
            await asyncio.sleep(PAUSE_S)


class Written(web.StreamResponse):
    """Tells aiohttp that the answer is on the wire already, and whether the connection stays open."""

    def __init__(self, *, keep_alive: bool = False) -> None:
        super().__init__()
        if not keep_alive:
            self.force_close()
        else:
            self._keep_alive = True

    async def prepare(self, request: web.BaseRequest) -> None:
        return None

    async def write_eof(self, data: Any = b"") -> None:
        return None


#: They hold nothing of a request, so two are enough for all.
SENT_AND_OPEN = Written(keep_alive=True)
SENT_AND_CLOSE = Written()
