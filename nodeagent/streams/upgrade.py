"""How a client's HTTP request becomes a connection of another protocol (RFC 9110, section 7.8).

A WebSocket is aiohttp's. For SPDY the connection is taken from aiohttp's parser after the 101. A client may send only
then; what it sent before would be lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from aiohttp import HttpVersion11, web

from .interface import Refused
from .wires import READ_BYTES, SocketWire

if TYPE_CHECKING:
    from aiohttp.http import WebSocketReader

STREAM_PROTOCOL = "X-Stream-Protocol-Version"
WEBSOCKET_PROTOCOL = "Sec-WebSocket-Protocol"
MESSAGE_BYTES_MAX = 4 * 1024 * 1024  # of a WebSocket
_SPDY = "SPDY/3.1"


class Written(web.StreamResponse):
    """Tells aiohttp that there is nothing more to answer, and that the connection is at its end."""

    def __init__(self) -> None:
        super().__init__()
        self.force_close()

    async def prepare(self, request: web.BaseRequest) -> None:
        return None

    async def write_eof(self, data: Any = b"") -> None:
        return None


def is_websocket(request: web.BaseRequest) -> bool:
    """Else it is SPDY. Raises Refused for anything else."""
    tokens = {each.strip().lower() for each in request.headers.get("Connection", "").split(",")}
    protocol = request.headers.get("Upgrade", "").strip().lower()
    if "upgrade" not in tokens or request.version < HttpVersion11:
        raise Refused(400, "Upgrade request required")
    if protocol == "websocket":
        return True
    if protocol != _SPDY.lower():
        raise Refused(400, f"this upgrades to WebSocket and {_SPDY}, not to {protocol[:64]!r}")
    return False


def chosen(request: web.BaseRequest, header: str, served: Sequence[str]) -> str:
    """The first of the client's protocols that is served. Raises Refused."""
    wanted = [each.strip() for value in request.headers.getall(header, []) for each in value.split(",")]
    for each in wanted:
        if each in served:
            return each
    names = ", ".join(wanted)[:256]
    message = f"unable to negotiate protocol: client supports [{names}], server supports [{', '.join(served)}]"
    raise Refused(403 if names else 400, message if names else f"{header} is required: one of {', '.join(served)}")


async def open_websocket(request: web.BaseRequest, protocol: str) -> web.WebSocketResponse:
    """Raises Refused, OSError when the client is gone."""
    socket = web.WebSocketResponse(
        protocols=(protocol,), autoping=False, autoclose=False, compress=False, max_msg_size=MESSAGE_BYTES_MAX
    )
    try:
        await socket.prepare(request)
    except web.HTTPBadRequest as error:
        raise Refused(400, error.text or "this is no request for a WebSocket") from None
    return socket


async def open_spdy(request: web.BaseRequest, protocol: str) -> SocketWire:
    """Raises OSError when the client is gone."""
    connection, transport = request.protocol, request.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError("the client is gone")
    reader = asyncio.StreamReader(limit=READ_BYTES)
    reader.set_transport(transport)
    connection.set_parser(cast("WebSocketReader", _Fed(reader)))
    writer = asyncio.StreamWriter(transport, connection, reader, asyncio.get_running_loop())
    wire = SocketWire(reader, writer)
    fields = ("Connection: Upgrade", f"Upgrade: {_SPDY}", f"{STREAM_PROTOCOL}: {protocol}")
    await wire.write("\r\n".join(["HTTP/1.1 101 Switching Protocols", *fields, "", ""]).encode())
    return wire


class _Fed:
    """What aiohttp gives the bytes of a connection that speaks no HTTP any more."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self._reader.feed_data(data)
        return False, b""

    def feed_eof(self) -> None:
        self._reader.feed_eof()
