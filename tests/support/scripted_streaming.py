"""A runtime's streaming server that does what a test says, in place of containerd."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiohttp import web
from stream_clients import node_server

from nodeagent.runtime.interface import RuntimeFailure
from nodeagent.streams.connection import SpdyConnection, SpdyStream
from nodeagent.streams.interface import SandboxNetwork
from nodeagent.streams.signals import Activity, Signal
from nodeagent.streams.upgrade import open_spdy

SUCCESS = json.dumps({"metadata": {}, "status": "Success"}).encode()


def failed(code: int) -> bytes:
    causes = [{"reason": "ExitCode", "message": str(code)}]
    words = f"command terminated with non-zero exit code: exit status {code}"
    status = {"metadata": {}, "status": "Failure", "message": words, "reason": "NonZeroExitCode"}
    return json.dumps(status | {"details": {"causes": causes}}).encode()


class Running:
    """The runtime's side of one command."""

    def __init__(self) -> None:
        self.streams: dict[str, SpdyStream] = {}
        self.changed = Signal()

    def take(self, stream: SpdyStream, headers: Mapping[str, str]) -> None:
        self.streams[headers["streamtype"]] = stream
        self.changed.notify()

    async def opened(self, count: int) -> None:
        while len(self.streams) < count:
            await self.changed.wait()


#: What a command does with its streams; the status it ends with.
Command = Callable[[dict[str, SpdyStream]], Awaitable[bytes]]


class ScriptedRuntime:
    """A StreamingRuntime. `asked` has the words of each call, `ended` counts connections that are over."""

    def __init__(self) -> None:
        self.port = 0
        self.command: Command = _nothing
        self.network = SandboxNetwork(is_node=True)
        self.refuses = ""
        self.asked: list[dict[str, Any]] = []
        self.ended = 0
        self.changed = Signal()

    async def exec_url(
        self, container_id: str, command: Sequence[str], *, stdin: bool, stdout: bool, stderr: bool, tty: bool
    ) -> str:
        return self._url(container_id=container_id, command=command, stdin=stdin, stdout=stdout, stderr=stderr, tty=tty)

    async def attach_url(self, container_id: str, *, stdin: bool, stdout: bool, stderr: bool, tty: bool) -> str:
        return self._url(container_id=container_id, stdin=stdin, stdout=stdout, stderr=stderr, tty=tty)

    async def port_forward_url(self, sandbox_id: str) -> str:
        return self._url(sandbox_id=sandbox_id)

    async def sandbox_network(self, sandbox_id: str) -> SandboxNetwork:
        return self.network

    def _url(self, **asked: Any) -> str:
        if self.refuses:
            raise RuntimeFailure(self.refuses)
        self.asked.append(asked)
        return f"http://127.0.0.1:{self.port}/{len(self.asked) - 1}"

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        running = Running()
        wire = await open_spdy(request, "v4.channel.k8s.io")
        connection = SpdyConnection(wire, server=True, activity=Activity(), streams_max=8, on_stream=running.take)
        asked = self.asked[int(request.path[1:])]
        count = 1 + sum(asked[name] for name in ("stdin", "stdout", "stderr", "tty"))
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(connection.run())
            working = group.create_task(self._work(running, count, connection))
            serving.add_done_callback(lambda _: working.cancel())
            working.add_done_callback(lambda _: serving.cancel())
        await connection.close()
        self.ended += 1
        self.changed.notify()
        return web.Response()

    async def _work(self, running: Running, count: int, connection: SpdyConnection) -> None:
        await running.opened(count)
        with suppress(OSError):
            status = await self.command(running.streams)
            if status:
                await running.streams["error"].write(status)
                for each in running.streams.values():
                    each.finish()
                await connection.say_goodbye()


async def _nothing(_: dict[str, SpdyStream]) -> bytes:
    return SUCCESS


@asynccontextmanager
async def scripted_runtime() -> AsyncIterator[ScriptedRuntime]:
    runtime = ScriptedRuntime()
    async with node_server(runtime.serve) as port:
        runtime.port = port
        yield runtime
