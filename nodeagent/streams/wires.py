"""What carries bytes both ways: a connection's own, or the binary messages of a WebSocket.

A write returns once there is room again, so whoever writes is as slow as whoever reads at the other end.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Protocol

from aiohttp import WSMsgType, web

READ_BYTES = 64 * 1024
LINGER_S = 10.0  # for what is buffered when we are done


class Wire(Protocol):
    async def read(self) -> bytes:
        """Some; b"" at the end, however it came."""

    async def write(self, data: bytes) -> None:
        """Raises OSError when the other side is gone."""

    async def close(self) -> None:
        """What was written is sent first, within LINGER_S."""

    def abort(self) -> None:
        """At once: a read that waits returns."""


class SocketWire:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        try:
            return await self._reader.read(READ_BYTES)
        except OSError:
            return b""

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def close(self) -> None:
        """A transport sends what it holds before it closes; only one whose other side takes nothing is broken off."""
        transport = self._writer.transport
        transport.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while await self.read():
                    continue
        transport.abort()

    def abort(self) -> None:
        self._writer.transport.abort()


class WebSocketWire:
    """Where a message ends means nothing."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def read(self) -> bytes:
        while True:
            message = await self._socket.receive()
            if message.type is WSMsgType.BINARY and message.data:
                return bytes(message.data)
            if message.type is WSMsgType.PING:
                await pong(self._socket, message.data)
            elif message.type not in (WSMsgType.BINARY, WSMsgType.PONG):
                return b""

    async def write(self, data: bytes) -> None:
        await self._socket.send_bytes(data)

    async def close(self) -> None:
        await self._socket.close()

    def abort(self) -> None:
        abort(self._socket)


async def pong(socket: web.WebSocketResponse, message: bytes) -> None:
    with suppress(OSError):
        await socket.pong(message)


def abort(socket: web.WebSocketResponse) -> None:
    """aiohttp has no word for it: its connection's transport is taken away."""
    transport = socket._req.transport if socket._req is not None else None
    if transport is not None:
        transport.abort()
