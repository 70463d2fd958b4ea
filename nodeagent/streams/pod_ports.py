"""The ports of one pod: from a client's stream to the process that listens, and back.

Each direction may end first: what the client has sent is all there is (the process reads an end and may still answer),
or the process has said all. A connection that breaks is broken at the other end too.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from contextlib import suppress

from nodeagent.runtime.interface import RuntimeFailure

from . import runtime_side
from .channels import pump
from .connection import SpdyStream
from .interface import SandboxNetwork, StreamingRuntime
from .pod_network import NamespaceHidden, connect
from .ports import PortStream
from .runtime_side import PORT_PROTOCOL
from .signals import Activity
from .wires import READ_BYTES

_ERROR_BYTES_MAX = 4096
_AT_ONCE = struct.pack("ii", 1, 0)  # with a reset, not with an end


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
            reader, writer = await connect("" if network.is_node else network.namespace, port)
        except NamespaceHidden:
            await self._by_runtime(port, data, activity)
        except OSError as failure:
            why = os.strerror(failure.errno) if failure.errno else type(failure).__name__
            raise RuntimeFailure(f"cannot connect to localhost:{port} in the pod's network: {why}") from failure
        else:
            await _join(reader, writer, data, error, activity)

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
    """The side that listens, as what takes bytes. It hears an end only when its client has said all."""

    def __init__(self, writer: asyncio.StreamWriter, data: PortStream) -> None:
        self._writer = writer
        self._data = data

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def finish(self) -> None:
        if self._data.broken:
            self.close()
        elif not self._writer.is_closing():
            self._writer.write_eof()

    def close(self) -> None:
        """When the stream broke, so does the connection."""
        if self._data.broken and not self._writer.is_closing():
            connection = self._writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            self._writer.transport.abort()
        self._writer.close()


async def _join(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    data: PortStream,
    error: PortStream,
    activity: Activity,
) -> None:
    process = _Process(writer, data)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(pump(data, process, activity))
            await _outward(reader, data, activity)
            error.finish()
    finally:
        process.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _outward(reader: asyncio.StreamReader, data: PortStream, activity: Activity) -> None:
    try:
        while read := await reader.read(READ_BYTES):
            activity.touch()
            await data.write(read)
    except OSError:  # of either side
        data.reset()
    data.finish()
