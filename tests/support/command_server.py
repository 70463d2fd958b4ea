"""A server of `exec` over WebSocket that says back what it hears, in one process."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import WSMsgType, web

STDIN, STDOUT, STDERR, STATUS, RESIZE, END = 0, 1, 2, 3, 4, 255
SUCCESS: dict[str, Any] = {"status": "Success"}


class CommandServer:
    """`heard` is what came in, by channel. It answers each piece of stdin with `got <it>`, and ends with `status`."""

    def __init__(self, *, status: dict[str, Any], first: bytes = b"", refuse: dict[str, Any] | None = None) -> None:
        self.port = 0
        self.heard: list[tuple[int, bytes]] = []
        self.queries: list[list[tuple[str, str]]] = []
        self._status = status
        self._first = first
        self._refuse = refuse

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.queries.append(list(request.query.items()))
        if self._refuse is not None:
            return web.json_response(self._refuse, status=self._refuse["code"])
        socket = web.WebSocketResponse(protocols=("v5.channel.k8s.io",))
        await socket.prepare(request)
        if self._first:
            await socket.send_bytes(bytes([STDOUT]) + self._first)
        if request.query.get("stdin") == "true":
            await self._talk(socket)
        await socket.send_bytes(bytes([STATUS]) + json.dumps(self._status).encode())
        await socket.close()
        return socket

    async def _talk(self, socket: web.WebSocketResponse) -> None:
        async for message in socket:
            assert message.type is WSMsgType.BINARY
            channel, data = message.data[0], message.data[1:]
            self.heard.append((channel, data))
            if channel == END:
                return
            if channel == STDIN:
                await socket.send_bytes(bytes([STDOUT]) + b"got " + data)


@asynccontextmanager
async def command_server(
    *, status: dict[str, Any] = SUCCESS, first: bytes = b"", refuse: dict[str, Any] | None = None
) -> AsyncIterator[CommandServer]:
    server = CommandServer(status=status, first=first, refuse=refuse)
    app = web.Application()
    app.router.add_get("/api/v1/namespaces/default/pods/web/{subresource}", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    sockets: Any = site._server.sockets  # type: ignore[attr-defined]  # not in its stubs
    server.port = sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        await runner.cleanup()
