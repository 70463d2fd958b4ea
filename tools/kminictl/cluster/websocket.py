"""The client's side of a WebSocket (RFC 6455): binary messages both ways, pings answered, nothing unbounded.

No extensions. A message longer than MESSAGE_BYTES_MAX, a masked frame, or anything else a server may not send, ends the
connection.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import struct
from typing import TYPE_CHECKING

from apiserver.client.requests import Request
from apiserver.client.transport import TransportError

from .connection import Connection
from .transport import LeanTransport

if TYPE_CHECKING:
    from apiserver.client import Client

MESSAGE_BYTES_MAX = 16 << 20
SWITCH_S = 30.0  # how long a server may take
_MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA


class WebSocket:
    """`protocol` is the one the server chose."""

    def __init__(self, connection: Connection, protocol: str) -> None:
        self.protocol = protocol
        self._connection = connection
        self._writing = asyncio.Lock()
        self._held = bytearray()
        self._closing = False

    async def receive(self) -> bytes | None:
        """A whole message; None at the end, however it came."""
        try:
            while True:
                final, kind, data = await self._frame()
                if kind == PING:
                    await self._send_frame(PONG, data)
                elif kind == CLOSE:
                    if not self._closing:
                        await self._send_frame(CLOSE, data[:2])
                    return None
                elif kind in (CONTINUATION, TEXT, BINARY):
                    self._held += data
                    if len(self._held) > MESSAGE_BYTES_MAX:
                        raise TransportError(f"a message is longer than {MESSAGE_BYTES_MAX} bytes", sent=True)
                    if final:
                        message = bytes(self._held)
                        self._held.clear()
                        return message
        except (OSError, asyncio.IncompleteReadError):
            return None

    async def send(self, data: bytes) -> None:
        """One binary message. Returns when there is room again. Raises OSError."""
        await self._send_frame(BINARY, data)

    async def close(self) -> None:
        self._closing = True
        try:
            async with asyncio.timeout(1.0):
                await self._send_frame(CLOSE, struct.pack("!H", 1000))
        except (OSError, TimeoutError):
            pass  # whoever is gone needs no goodbye
        await self._connection.close()

    def abort(self) -> None:
        self._connection.abort()

    async def _frame(self) -> tuple[bool, int, bytes]:
        first, second = await self._connection.reader.readexactly(2)
        kind, length = first & 0x0F, second & 0x7F
        if first & 0x70 or second & 0x80:
            raise TransportError("the server breaks the rules of WebSocket", sent=True)
        if length == 126:
            (length,) = struct.unpack("!H", await self._connection.reader.readexactly(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", await self._connection.reader.readexactly(8))
        if length > MESSAGE_BYTES_MAX or (kind >= CLOSE and length > 125):
            raise TransportError("the server breaks the rules of WebSocket", sent=True)
        return bool(first & 0x80), kind, await self._connection.reader.readexactly(length)

    async def _send_frame(self, kind: int, data: bytes) -> None:
        mask = os.urandom(4)
        length = len(data)
        if length < 126:
            head = struct.pack("!BB", 0x80 | kind, 0x80 | length)
        elif length < 1 << 16:
            head = struct.pack("!BBH", 0x80 | kind, 0x80 | 126, length)
        else:
            head = struct.pack("!BBQ", 0x80 | kind, 0x80 | 127, length)
        async with self._writing:
            self._connection.writer.write(head + mask + masked(data, mask))
            await self._connection.writer.drain()


def masked(data: bytes, mask: bytes) -> bytes:
    """Each byte with that of the mask in turn (RFC 6455, 5.3); as one large number, which Python does quickly."""
    length = len(data)
    repeated = (mask * (length // 4 + 1))[:length]
    return (int.from_bytes(data, "big") ^ int.from_bytes(repeated, "big")).to_bytes(length, "big")


async def connect(
    client: Client, path: str, query: tuple[tuple[str, str], ...], protocols: tuple[str, ...]
) -> WebSocket:
    """Raises ApiError when the server refuses, TransportError."""
    transport = client.caller.transport
    assert isinstance(transport, LeanTransport)
    key = base64.b64encode(os.urandom(16)).decode()
    request = Request(
        method="GET",
        path=path,
        query=query,
        headers=(
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", key),
            ("Sec-WebSocket-Protocol", ", ".join(protocols)),
        ),
    )
    connection, answer = await transport.upgraded(client.caller.servers.pick(), request, timeout_s=SWITCH_S)
    wanted = base64.b64encode(hashlib.sha1((key + _MAGIC).encode(), usedforsecurity=False).digest()).decode()
    chosen = answer.headers.get("sec-websocket-protocol", "")
    if answer.headers.get("sec-websocket-accept") != wanted or chosen not in protocols:
        connection.abort()
        raise TransportError("the server answered, but not as a WebSocket of the protocols asked for", sent=True)
    return WebSocket(connection, chosen)
