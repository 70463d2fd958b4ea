"""A WebSocket with several channels: the first byte of each message says which one the rest belongs to."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from aiohttp import WSMsgType, web

from .connection import KEEPALIVE_S
from .signals import Activity, Signal
from .wires import LINGER_S, READ_BYTES, abort, pong

HELD_BYTES_MAX = 256 * 1024  # of a channel, beside one message
_CLOSES = 255


class Inward:
    """What the client sends on one channel."""

    def __init__(self) -> None:
        self._unread = bytearray()
        self._ended = False
        self._changed = Signal()

    async def put(self, data: bytes) -> None:
        """Waits for room."""
        while len(self._unread) >= HELD_BYTES_MAX and not self._ended:
            await self._changed.wait()
        if data and not self._ended:
            self._unread += data
            self._changed.notify()

    def end(self) -> None:
        self._ended = True
        self._changed.notify()

    async def read(self) -> bytes:
        while not self._unread and not self._ended:
            await self._changed.wait()
        data = bytes(self._unread[:READ_BYTES])
        del self._unread[: len(data)]
        self._changed.notify()
        return data


class Outward:
    """What goes to the client on one channel."""

    def __init__(self, socket: web.WebSocketResponse, number: int) -> None:
        self._socket = socket
        self._channel = bytes([number])

    async def write(self, data: bytes) -> None:
        await self._socket.send_bytes(self._channel + data)

    def finish(self) -> None:
        """Clients hear of an end only by the end of everything."""


class Channels:
    """`run` gives what comes to the channels by number, until the client is gone; then they have ended.

    `can_end`: the client may end a channel by a message of its own, `[255, channel]`.
    """

    def __init__(
        self, socket: web.WebSocketResponse, inward: Mapping[int, Inward], activity: Activity, *, can_end: bool
    ) -> None:
        self._socket = socket
        self._inward = inward
        self._activity = activity
        self._can_end = can_end

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

    async def close(self) -> None:
        """After `run`."""
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(LINGER_S):
                await self._socket.close()
                return
        abort(self._socket)

    async def _receive(self) -> None:
        while True:
            message = await self._socket.receive()
            self._activity.touch()
            if message.type is WSMsgType.PING:
                await pong(self._socket, message.data)
            elif message.type is WSMsgType.BINARY:
                await self._give(message.data)
            elif message.type is WSMsgType.TEXT:
                await self._give(message.data.encode())
            elif message.type is not WSMsgType.PONG:
                return

    async def _give(self, data: bytes) -> None:
        if self._can_end and len(data) == 2 and data[0] == _CLOSES:
            ended = self._inward.get(data[1])
            if ended is not None:
                ended.end()
        elif data and (channel := self._inward.get(data[0])) is not None:
            await channel.put(data[1:])

    async def _show_life(self) -> None:
        """So that writing tells when the client is gone, even while its input has to wait."""
        with suppress(OSError):
            while True:
                await asyncio.sleep(KEEPALIVE_S)
                await self._socket.ping()
