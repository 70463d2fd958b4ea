"""A client of exec or attach that speaks WebSocket: the first byte of each message says what the rest belongs to.

Version 5 differs from 4 by a message that ends a direction, `[255, channel]`, so that stdin can end before the command.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from contextlib import suppress

from aiohttp import WSMsgType, web

from .channels import Name, Sink, Source
from .connection import KEEPALIVE_S
from .signals import Activity, Signal
from .wires import LINGER_S, abort, pong

V5 = "v5.channel.k8s.io"
PROTOCOLS = (V5, "v4.channel.k8s.io")
HELD_BYTES_MAX = 256 * 1024  # of a channel, beside one message
_NUMBERS = {Name.STDIN: 0, Name.STDOUT: 1, Name.STDERR: 2, Name.ERROR: 3, Name.RESIZE: 4}
_CLOSES = 255


class _Inward:
    """What the client sends on one channel."""

    def __init__(self) -> None:
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self._ended = False
        self._changed = Signal()

    async def put(self, data: bytes) -> None:
        """Waits for room."""
        while self._held >= HELD_BYTES_MAX and not self._ended:
            await self._changed.wait()
        if data and not self._ended:
            self._chunks.append(data)
            self._held += len(data)
            self._changed.notify()

    def end(self) -> None:
        self._ended = True
        self._changed.notify()

    async def read(self) -> bytes:
        while not self._chunks and not self._ended:
            await self._changed.wait()
        if not self._chunks:
            return b""
        data = self._chunks.popleft()
        self._held -= len(data)
        self._changed.notify()
        return data


class _Outward:
    """What goes to the client on one channel."""

    def __init__(self, socket: web.WebSocketResponse, name: Name) -> None:
        self._socket = socket
        self._channel = bytes([_NUMBERS[name]])

    async def write(self, data: bytes) -> None:
        await self._socket.send_bytes(self._channel + data)

    def finish(self) -> None:
        """Clients hear of an end with the status, and by the end of everything."""


class WebSocketClient:
    """`wanted`: what the request asked for."""

    def __init__(
        self, socket: web.WebSocketResponse, protocol: str, wanted: frozenset[Name], activity: Activity
    ) -> None:
        self._socket = socket
        self._can_end = protocol == V5
        self._activity = activity
        self._inward: dict[Name, _Inward] = {name: _Inward() for name in (Name.STDIN, Name.RESIZE) if name in wanted}
        outward = [name for name in (Name.STDOUT, Name.STDERR) if name in wanted]
        self._outward: dict[Name, _Outward] = {name: _Outward(socket, name) for name in outward}

    @property
    def sources(self) -> Mapping[Name, Source]:
        return self._inward

    @property
    def sinks(self) -> Mapping[Name, Sink]:
        return self._outward

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                living = group.create_task(self._show_life())
                receiving = group.create_task(self._receive())
                living.add_done_callback(lambda _: receiving.cancel())
                receiving.add_done_callback(lambda _: living.cancel())
        finally:
            for each in self._inward.values():
                each.end()

    async def _receive(self) -> None:
        channels = {_NUMBERS[name]: each for name, each in self._inward.items()}
        while True:
            message = await self._socket.receive()
            self._activity.touch()
            if message.type is WSMsgType.PING:
                await pong(self._socket, message.data)
                continue
            if message.type is WSMsgType.PONG:
                continue
            if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
                return
            data = message.data if message.type is WSMsgType.BINARY else message.data.encode()
            if self._can_end and len(data) == 2 and data[0] == _CLOSES:
                ended = channels.get(data[1])
                if ended is not None:
                    ended.end()
            elif data and (channel := channels.get(data[0])) is not None:
                await channel.put(data[1:])

    async def _show_life(self) -> None:
        """So that writing tells when the client is gone, even while its input has to wait."""
        with suppress(OSError):
            while True:
                await asyncio.sleep(KEEPALIVE_S)
                await self._socket.ping()

    async def opened(self) -> bool:
        """All there is at once. Says so by an empty message, as Kubernetes does."""
        first = next((each for each in self._outward.values()), _Outward(self._socket, Name.ERROR))
        try:
            await first.write(b"")
        except OSError:
            return False
        return True

    async def end(self, status: bytes) -> None:
        await _Outward(self._socket, Name.ERROR).write(status)

    async def close(self) -> None:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(LINGER_S):
                await self._socket.close()
                return
        abort(self._socket)
