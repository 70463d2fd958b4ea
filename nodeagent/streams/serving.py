"""Requests for exec, attach and port-forward, from the first byte to the last.

The runtime is asked before the client's connection is upgraded: what is wrong by then is an HTTP answer. Afterwards a
client and its command belong together: when the client is gone, the runtime's side is broken off.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from typing import Any, Protocol

from aiohttp import web

from nodeagent.runtime.interface import RuntimeFailure

from . import ports, runtime_side, spdy_client, upgrade, websocket_client, websocket_ports
from .channels import Client, Name, join
from .interface import AttachRequest, ExecRequest, PortForwardRequest, Refused, StreamingRuntime
from .pod_ports import PodPorts
from .ports import PortClient
from .runtime_side import COMMAND_PROTOCOL, open_streams
from .signals import Activity
from .spdy_client import SpdyClient
from .status import failure
from .websocket_client import WebSocketClient
from .websocket_ports import WebSocketPorts
from .wires import WebSocketWire, Wire

log = logging.getLogger(__name__)

STREAMS_MAX = 500  # of a node, at a time
IDLE_S = 4 * 3600.0  # as the kubelet's streamingConnectionIdleTimeout
ARGUMENTS_MAX = 4096


class _Running(Protocol):
    async def run(self) -> None: ...

    async def close(self) -> None: ...


class Streams:
    """Of one node; used from one event loop."""

    def __init__(self, runtime: StreamingRuntime, *, streams_max: int = STREAMS_MAX, idle_s: float = IDLE_S) -> None:
        self._runtime = runtime
        self._streams_max = streams_max
        self._idle_s = idle_s
        self._serving: set[asyncio.Task[None]] = set()
        self.open = 0

    def close(self) -> None:
        """End everything that is open: their handlers return soon."""
        for each in list(self._serving):
            each.cancel()

    async def exec(self, request: web.BaseRequest, wanted: ExecRequest) -> web.StreamResponse:
        """Raises Refused, RuntimeFailure."""
        if not wanted.command:
            raise Refused(400, "you must specify a command")
        if len(wanted.command) > ARGUMENTS_MAX:
            raise Refused(400, f"a command has at most {ARGUMENTS_MAX} arguments")

        async def ask(names: frozenset[Name]) -> str:
            return await self._runtime.exec_url(wanted.container_id, wanted.command, **_flags(names), tty=wanted.tty)

        names = _names(wanted)
        return await self._command(request, names, [names], ask)

    async def attach(self, request: web.BaseRequest, wanted: AttachRequest) -> web.StreamResponse:
        """Raises Refused, RuntimeFailure."""

        async def ask(names: frozenset[Name]) -> str:
            return await self._runtime.attach_url(wanted.container_id, **_flags(names), tty=wanted.tty)

        names = _names(wanted)
        return await self._command(request, names, _sessions(names, stdin_once=wanted.stdin_once), ask)

    async def port_forward(self, request: web.BaseRequest, wanted: PortForwardRequest) -> web.StreamResponse:
        """Raises Refused, RuntimeFailure."""
        is_websocket = upgrade.is_websocket(request)
        header = upgrade.WEBSOCKET_PROTOCOL if is_websocket else upgrade.STREAM_PROTOCOL
        served = (ports.TUNNEL, websocket_ports.PROTOCOL) if is_websocket else (ports.PROTOCOL,)
        protocol = upgrade.chosen(request, header, served)
        if protocol == websocket_ports.PROTOCOL and not 0 < len(wanted.ports) <= websocket_ports.PORTS_MAX:
            raise Refused(400, f"{protocol} needs 1 to {websocket_ports.PORTS_MAX} ports in the query")
        with self._counted():
            network = await self._runtime.sandbox_network(wanted.sandbox_id)
            pod = PodPorts(self._runtime, wanted.sandbox_id, network)
            with suppress(OSError):  # the client is gone
                activity = Activity()
                client: PortClient | WebSocketPorts
                if not is_websocket:
                    client = PortClient(await upgrade.open_spdy(request, protocol), pod.forward, activity)
                else:
                    socket = await upgrade.open_websocket(request, protocol)
                    if protocol == ports.TUNNEL:
                        client = PortClient(WebSocketWire(socket), pod.forward, activity)
                    else:
                        client = WebSocketPorts(socket, wanted.ports, pod.forward, activity)
                await self._serve(client, activity)
        return upgrade.Written()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        if self.open >= self._streams_max:
            raise Refused(429, f"{self.open} streams are open on this node already")
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1

    # --- commands -----------------------------------------------------------------------------------------

    async def _command(
        self,
        request: web.BaseRequest,
        names: frozenset[Name],
        sessions: Sequence[frozenset[Name]],
        ask: Callable[[frozenset[Name]], Awaitable[str]],
    ) -> web.StreamResponse:
        is_websocket = upgrade.is_websocket(request)
        header = upgrade.WEBSOCKET_PROTOCOL if is_websocket else upgrade.STREAM_PROTOCOL
        served = websocket_client.PROTOCOLS if is_websocket else spdy_client.PROTOCOLS
        protocol = upgrade.chosen(request, header, served)
        with self._counted():
            wires: dict[frozenset[Name], Wire] = {}
            try:
                for each in sessions:
                    wires[each] = await runtime_side.dial(await ask(each), COMMAND_PROTOCOL)
                with suppress(OSError):  # the client is gone
                    activity = Activity()
                    client: Client
                    if is_websocket:
                        socket = await upgrade.open_websocket(request, protocol)
                        client = WebSocketClient(socket, protocol, names, activity)
                    else:
                        client = SpdyClient(await upgrade.open_spdy(request, protocol), protocol, names, activity)
                    await self._serve(client, activity, _run(client, wires, activity))
            finally:
                for wire in wires.values():
                    wire.abort()
        return upgrade.Written()

    # --- both ---------------------------------------------------------------------------------------------

    async def _serve(self, client: _Running, activity: Activity, *work: Coroutine[Any, Any, None]) -> None:
        """Until the work is done, the client is gone, nothing moves, or `close`: the first of these ends it."""
        parts = (client.run(), activity.until_idle(self._idle_s), *work)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(each) for each in parts]

                def end(_: asyncio.Task[None]) -> None:
                    for task in tasks:
                        task.cancel()

                for task in tasks:
                    task.add_done_callback(end)
                self._serving.add(tasks[0])
                tasks[0].add_done_callback(self._serving.discard)
        except* Exception:  # the answer has begun: nobody else can say it any more
            log.exception("a stream failed")
        await client.close()


def _names(wanted: ExecRequest | AttachRequest) -> frozenset[Name]:
    """What is asked for; a terminal has sizes and no stderr. Raises Refused."""
    asked = {Name.STDIN: wanted.stdin, Name.STDOUT: wanted.stdout, Name.STDERR: wanted.stderr and not wanted.tty}
    names = {name for name, is_asked in asked.items() if is_asked}
    if not names:
        raise Refused(400, "you must specify at least 1 of stdin, stdout, stderr")
    return frozenset(names | {Name.RESIZE} if wanted.tty else names)


def _sessions(names: frozenset[Name], *, stdin_once: bool) -> list[frozenset[Name]]:
    """With the runtime, for one attach.

    As soon as one output of a container ends, containerd takes it that the client's input is over, and where that does
    not end the container's it lets go of both outputs: what the other one said last would be lost. So the input goes
    by itself there, after the outputs, for the answer to it must be heard.
    """
    if stdin_once or not names >= {Name.STDIN, Name.STDOUT, Name.STDERR}:
        return [names]
    return [names - {Name.STDIN}, frozenset({Name.STDIN})]


def _flags(names: frozenset[Name]) -> dict[str, bool]:
    return {each.value: each in names for each in (Name.STDIN, Name.STDOUT, Name.STDERR)}


async def _run(client: Client, wires: Mapping[frozenset[Name], Wire], activity: Activity) -> None:
    """A command, once the client has opened its streams; at last the client is told how it ended."""
    if not await client.opened():
        return
    async with AsyncExitStack() as connections:
        try:
            sessions = []
            for names, wire in wires.items():
                connection = await connections.enter_async_context(runtime_side.connected(wire, activity))
                sessions.append(await open_streams(connection, [Name.ERROR, *names]))
            status = await join(client, sessions, activity)
        except RuntimeFailure as error:
            log.warning("a command was not run", extra={"error": error.message})
            status = failure(error.message)
    with suppress(OSError):
        await client.end(status)
