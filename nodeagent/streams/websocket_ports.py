"""Port-forward without streams: two channels of a WebSocket for each port, one connection to each.

The older way, which client libraries in Python and JavaScript use. The ports are the request's, in order: number i has
channel 2i for data and 2i+1 for what went wrong, and each begins with the port in two bytes, the lower first. A client
cannot end its direction, so a connection is over when the process has said all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from aiohttp import web

from nodeagent.runtime.interface import RuntimeFailure

from .ports import Forward, failure_text
from .signals import Activity
from .websocket_channels import Channels, Inward, Outward
from .wires import READ_BYTES

PROTOCOL = "v4.channel.k8s.io"
PORTS_MAX = 64


class PortChannel:
    """Both directions of one, as a ports.PortStream."""

    def __init__(self, socket: web.WebSocketResponse, number: int) -> None:
        self._outward = Outward(socket, number)
        self._is_over = False
        self.inward = Inward()
        self.broken = False

    async def read(self) -> bytes:
        data = await self.inward.read()
        if not data and not self._is_over:
            self.broken = True  # only a client that is gone ends it
        return data

    async def write(self, data: bytes) -> None:
        await self._outward.write(data)

    async def room(self) -> int:
        """A WebSocket takes what it is given, and only then makes its writer wait."""
        return READ_BYTES

    def finish(self) -> None:
        self._is_over = True
        self.inward.end()

    def reset(self) -> None:
        self.broken = True
        self.inward.end()


class WebSocketPorts:
    """`run` until the client is gone or all connections are over."""

    def __init__(
        self, socket: web.WebSocketResponse, ports: Sequence[int], forward: Forward, activity: Activity
    ) -> None:
        self._pairs = [
            (port, PortChannel(socket, 2 * index), PortChannel(socket, 2 * index + 1))
            for index, port in enumerate(ports)
        ]
        inward = {2 * index: data.inward for index, (_, data, _) in enumerate(self._pairs)}
        self._channels = Channels(socket, inward, activity, can_end=False)
        self._forward = forward
        self._activity = activity

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(self._channels.run())
            serving = group.create_task(self._serve_all())
            running.add_done_callback(lambda _: serving.cancel())
            serving.add_done_callback(lambda _: running.cancel())

    async def close(self) -> None:
        await self._channels.close()

    async def _serve_all(self) -> None:
        async with asyncio.TaskGroup() as group:
            for port, data, error in self._pairs:
                group.create_task(self._serve(port, data, error))

    async def _serve(self, port: int, data: PortChannel, error: PortChannel) -> None:
        with suppress(OSError):  # the client is gone
            for each in (data, error):
                await each.write(port.to_bytes(2, "little"))
            try:
                await self._forward(port, data, error, self._activity)
            except RuntimeFailure as failure:
                await error.write(failure_text(port, failure))
