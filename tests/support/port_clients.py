"""Clients of port-forward, by SPDY and by SPDY in a WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from stream_clients import WITHIN_S, spdy, websocket
from streaming_pod import StreamingPod

from nodeagent.streams.connection import SpdyConnection, SpdyStream
from nodeagent.streams.signals import Activity


class Forward:
    def __init__(self, connection: SpdyConnection) -> None:
        self._connection = connection
        self._requests = 0

    async def connection(self, port: int) -> tuple[SpdyStream, SpdyStream]:
        """Its error and data streams; the first is ended, as kubectl does."""
        headers = {"port": str(port), "requestid": str(self._requests)}
        self._requests += 1
        streams = [self._connection.open({"streamtype": kind, **headers}) for kind in ("error", "data")]
        async with asyncio.timeout(WITHIN_S):
            for each in streams:
                assert await each.taken()
        streams[0].finish()
        return streams[0], streams[1]


class _Tunnel:
    """A wire of a WebSocket's client."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def read(self) -> bytes:
        message = await self._socket.receive()
        return bytes(message.data) if message.type is aiohttp.WSMsgType.BINARY else b""

    async def write(self, data: bytes) -> None:
        await self._socket.send_bytes(data)

    async def close(self) -> None:
        await self._socket.close()

    def abort(self) -> None:
        """The test's own end takes care of it."""


@asynccontextmanager
async def forwarding(pod: StreamingPod, kind: str) -> AsyncIterator[Forward]:
    async with pod.port_forward() as port:
        if kind == "spdy":
            async with spdy(port, "portforward.k8s.io") as client:
                assert client.fields["x-stream-protocol-version"] == "portforward.k8s.io"
                yield Forward(client.connection)
            return
        async with websocket(port, "SPDY/3.1+portforward.k8s.io") as socket:
            connection = SpdyConnection(_Tunnel(socket), server=False, activity=Activity())
            async with asyncio.TaskGroup() as group:
                running = group.create_task(connection.run())
                try:
                    yield Forward(connection)
                finally:
                    running.cancel()
