"""Clients of exec, attach and port-forward as tests need them: SPDY over a raw connection, WebSocket by aiohttp.

Also a node's HTTP server that does nothing but stream, for those who ask.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

from nodeagent.runtime.interface import RuntimeFailure
from nodeagent.streams import Refused
from nodeagent.streams.connection import SpdyConnection, SpdyStream
from nodeagent.streams.signals import Activity
from nodeagent.streams.wires import SocketWire

WITHIN_S = 240.0
NUMBERS = {"stdin": 0, "stdout": 1, "stderr": 2, "error": 3, "resize": 4}

Serve = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def node_server(serve: Serve) -> AsyncIterator[int]:
    """The port of a server on loopback whose every request is served like this."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await serve(request)
        except Refused as refused:
            return web.Response(status=refused.status, text=refused.message)
        except RuntimeFailure as failure:
            return web.Response(status=500, text=failure.message)

    server = web.Server(answer, access_log=None)
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        await server.shutdown(5.0)
        await listening.wait_closed()


class Refusal(Exception):
    """Not upgraded."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text


class Spdy:
    """A connection that speaks SPDY now."""

    def __init__(
        self, connection: SpdyConnection, fields: Mapping[str, str], wire: SocketWire, running: asyncio.Task[None]
    ) -> None:
        self.connection = connection
        self.fields = fields
        self.wire = wire
        self.running = running  # until the connection is over

    async def open(self, **headers: str) -> SpdyStream:
        stream = self.connection.open(headers)
        async with asyncio.timeout(WITHIN_S):
            assert await stream.taken(), f"{headers} was not taken"
        return stream


@asynccontextmanager
async def spdy(port: int, *protocols: str, method: str = "POST") -> AsyncIterator[Spdy]:
    """Raises Refusal."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        lines = [f"{method} / HTTP/1.1", "Host: node", "Connection: Upgrade", "Upgrade: SPDY/3.1", "Content-Length: 0"]
        lines += [f"X-Stream-Protocol-Version: {each}" for each in protocols]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        first, *rest = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in rest)}
        if first.split(" ")[1] != "101":
            text = await reader.readexactly(int(fields.get("content-length", "0")))
            raise Refusal(int(first.split(" ")[1]), text.decode())
        wire = SocketWire(reader, writer)
        connection = SpdyConnection(wire, server=False, activity=Activity())
        async with asyncio.TaskGroup() as group:
            running = group.create_task(connection.run())
            try:
                yield Spdy(connection, fields, wire, running)
            finally:
                running.cancel()
    finally:
        writer.transport.abort()


async def everything(stream: SpdyStream) -> bytes:
    """Until the other side has ended it."""
    found = bytearray()
    async with asyncio.timeout(WITHIN_S):
        while data := await stream.read():
            found += data
    return bytes(found)


class Result:
    """What a command wrote, and how it ended."""

    def __init__(self, stdout: bytes, stderr: bytes, status: bytes) -> None:
        self.stdout = stdout
        self.stderr = stderr
        self.status: dict[str, Any] = json.loads(status) if status else {}

    @property
    def exit_code(self) -> int:
        """As kubectl finds it."""
        if self.status["status"] == "Success":
            return 0
        causes = self.status.get("details", {}).get("causes", ())
        return next((int(each["message"]) for each in causes if each.get("reason") == "ExitCode"), -1)


async def command_by_spdy(
    port: int, *, stdin: bytes | None = None, tty: bool = False, sizes: Sequence[tuple[int, int]] = (), **wanted: bool
) -> Result:
    """All that was asked for is opened, stdin is sent and ended, everything is read."""
    async with spdy(port, "v4.channel.k8s.io", "v3.channel.k8s.io") as client:
        error = await client.open(streamtype="error")
        names = [name for name in ("stdout", "stderr") if wanted.get(name, not tty or name == "stdout")]
        into = await client.open(streamtype="stdin") if stdin is not None else None
        outward = {name: await client.open(streamtype=name) for name in names}
        resize = await client.open(streamtype="resize") if tty else None
        for width, height in sizes:
            assert resize is not None
            await resize.write(json.dumps({"Width": width, "Height": height}).encode())

        async def send() -> None:
            if into is not None:
                await into.write(stdin or b"")
                if not tty:  # a terminal would hang up
                    into.finish()

        async with asyncio.TaskGroup() as group:
            group.create_task(send())
            found = {name: group.create_task(everything(each)) for name, each in outward.items()}
            status = group.create_task(everything(error))
        texts = {name: task.result() for name, task in found.items()}
        return Result(texts.get("stdout", b""), texts.get("stderr", b""), status.result())


@asynccontextmanager
async def websocket(port: int, protocol: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://127.0.0.1:{port}/", protocols=(protocol,), max_msg_size=0) as socket,
    ):
        assert socket.protocol == protocol
        yield socket


async def command_by_websocket(port: int, *, stdin: bytes | None = None, protocol: str = "v5.channel.k8s.io") -> Result:
    """Like the other; version 4 cannot end stdin."""
    async with websocket(port, protocol) as socket:
        found = {number: bytearray() for number in NUMBERS.values()}

        async def send() -> None:
            for at in range(0, len(stdin or b""), 32768):
                await socket.send_bytes(b"\x00" + (stdin or b"")[at : at + 32768])
            if stdin is not None and protocol.startswith("v5"):
                await socket.send_bytes(b"\xff\x00")

        async def receive() -> None:
            async with asyncio.timeout(WITHIN_S):
                async for message in socket:
                    found[message.data[0]] += message.data[1:]

        async with asyncio.TaskGroup() as group:
            group.create_task(send())
            group.create_task(receive())
        return Result(bytes(found[1]), bytes(found[2]), bytes(found[3]))
