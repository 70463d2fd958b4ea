"""What carries bytes both ways: a connection's own, or the binary messages of a WebSocket.

A write returns once there is room again, so whoever writes is as slow as whoever reads at the other end.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from aiohttp import WSMsgType, web

READ_BYTES = 64 * 1024
LINGER_S = 10.0  # for what is buffered when we are done
_AT_ONCE = struct.pack("ii", 1, 0)


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


class BareWire:
    """A socket of ours without a transport: asyncio's throw away what came once they cannot write, and with it what the
    other side said last. Here it is read, whatever became of writing."""

    def __init__(self, made: socket.socket) -> None:
        self._socket = made
        self._unread = b""
        self._uses = 0
        self._over = False

    @classmethod
    async def dial(cls, host: str, port: int) -> BareWire:
        """Raises OSError."""
        made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        try:
            made.setblocking(False)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().sock_connect(made, (host, port))
        except BaseException:
            made.close()
            raise
        return cls(made)

    def put_back(self, data: bytes) -> None:
        """It is read next."""
        self._unread = data

    async def read(self) -> bytes:
        if self._unread:
            data, self._unread = self._unread, b""
            return data
        await asyncio.sleep(0)  # who has always more to say lets others have their turn
        try:
            with self._used():
                return await asyncio.get_running_loop().sock_recv(self._socket, READ_BYTES)
        except OSError:
            return b""

    async def readable(self) -> None:
        """Until there is something to read, or nothing more will come. Nothing is taken yet."""
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._used():
            asyncio.get_running_loop().add_reader(self._socket, _resolve, ready)
            try:
                await ready
            finally:
                asyncio.get_running_loop().remove_reader(self._socket)

    def take(self, count: int) -> bytes | None:
        """What is there by now, b"" at the end; None when there is nothing. Raises OSError when it broke."""
        try:
            return self._socket.recv(count)
        except (BlockingIOError, InterruptedError):
            return None

    def finish(self) -> None:
        """Nothing more is written. Raises OSError."""
        self._socket.shutdown(socket.SHUT_WR)

    async def write(self, data: bytes) -> None:
        with self._used():
            await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while await self.read():
                    continue
        self.abort()

    def abort(self) -> None:
        """It is let go when nobody waits with it any more: the loop must not meet another socket of its number."""
        self._over = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        if not self._uses:
            self._socket.close()

    def reset(self) -> None:
        """At once, and the other side hears that it broke, not that it ended. When nobody waits with it."""
        self._over = True
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self._socket.close()

    @contextmanager
    def _used(self) -> Iterator[None]:
        self._uses += 1
        try:
            yield
        finally:
            self._uses -= 1
            if self._over and not self._uses:
                self._socket.close()


class WebSocketWire:
    """Where a message ends means nothing."""

    def __init__(self, opened: web.WebSocketResponse) -> None:
        self._socket = opened

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


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def pong(opened: web.WebSocketResponse, message: bytes) -> None:
    with suppress(OSError):
        await opened.pong(message)


def abort(opened: web.WebSocketResponse) -> None:
    """aiohttp has no word for it: its connection's transport is taken away."""
    transport = opened._req.transport if opened._req is not None else None
    if transport is not None:
        transport.abort()
