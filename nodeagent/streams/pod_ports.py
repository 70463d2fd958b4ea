"""The ports of one pod: from a client's stream to the process that listens, and back.

Each direction may end first: what the client has sent is all there is (the process reads an end and may still answer),
or the process has said all. A connection that breaks is broken at the other end too.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from nodeagent.runtime.interface import RuntimeFailure

from . import runtime_side
from .channels import pump
from .connection import SpdyStream
from .interface import SandboxNetwork, StreamingRuntime
from .pod_network import NamespaceHidden, connect
from .ports import PortStream
from .runtime_side import PORT_PROTOCOL
from .signals import Activity
from .wires import READ_BYTES, BareWire

_ERROR_BYTES_MAX = 4096


class PodPorts:
    """Of one sandbox."""

    def __init__(self, runtime: StreamingRuntime, sandbox_id: str, network: SandboxNetwork) -> None:
        self._runtime = runtime
        self._sandbox_id = sandbox_id
        self._network = network

    async def forward(self, port: int, data: PortStream, error: PortStream, activity: Activity) -> None:
        """A ports.Forward."""
        network = self._network
        try:
            if not network.is_node and not network.namespace:
                raise NamespaceHidden("the runtime does not say which it is")
            wire = await connect("" if network.is_node else network.namespace, port)
        except NamespaceHidden:
            await self._by_runtime(port, data, activity)
        except OSError as failure:
            why = os.strerror(failure.errno) if failure.errno else type(failure).__name__
            raise RuntimeFailure(f"cannot connect to localhost:{port} in the pod's network: {why}") from failure
        else:
            await _join(wire, data, error, activity)

    async def _by_runtime(self, port: int, stream: PortStream, activity: Activity) -> None:
        """The runtime ends both directions a second after the first."""
        wire = await runtime_side.dial(await self._runtime.port_forward_url(self._sandbox_id), PORT_PROTOCOL)
        async with runtime_side.connected(wire, activity) as connection:
            headers = {"port": str(port), "requestid": "0"}
            error = await runtime_side.open_stream(connection, {"streamtype": "error", **headers})
            error.finish()
            data = await runtime_side.open_stream(connection, {"streamtype": "data", **headers})
            async with asyncio.TaskGroup() as group:
                into = group.create_task(pump(stream, data, activity))
                told = group.create_task(_words(error))
                await pump(data, stream, activity)
                await told
                into.cancel()  # it takes nothing more
            if told.result():
                raise RuntimeFailure(told.result())


async def _words(stream: SpdyStream) -> str:
    """Why it failed; "" when it did not."""
    found = b""
    while data := await stream.read():
        found += data[: _ERROR_BYTES_MAX - len(found)]
    return found.decode(errors="replace")


class _Process:
    """The side that listens, as what takes bytes. It hears an end only when its client has said all; `broke` is told
    when the client will not."""

    def __init__(self, wire: BareWire, data: PortStream, broke: Callable[[], object]) -> None:
        self._wire = wire
        self._data = data
        self._broke = broke

    async def write(self, data: bytes) -> None:
        await self._wire.write(data)

    def finish(self) -> None:
        if self._data.broken:
            self._broke()
        else:
            self._wire.finish()


async def _join(wire: BareWire, data: PortStream, error: PortStream, activity: Activity) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            outward = group.create_task(_outward(wire, data, error, activity))
            group.create_task(pump(data, _Process(wire, data, outward.cancel), activity))
    finally:
        if data.broken:
            wire.reset()
        else:
            wire.abort()


async def _outward(wire: BareWire, data: PortStream, error: PortStream, activity: Activity) -> None:
    """Nothing is taken from the process before the client has room for it: connections are many, and all that each
    would hold of what its client does not read is the node's."""
    try:
        while (taken := wire.take(min(READ_BYTES, await data.room()))) != b"":
            if taken is None:
                await wire.readable()
                continue
            activity.touch()
            await data.write(taken)
            await asyncio.sleep(0)  # who has always more to say lets others have their turn
    except OSError:  # of either side
        data.reset()
    data.finish()
    error.finish()
