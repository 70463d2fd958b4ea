"""The runtime's streaming server: one connection for one command, or for the ports of one pod.

It is SPDY/3.1, always: of what containerd speaks, only that can end stdin while output goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from urllib.parse import SplitResult, urlsplit

from nodeagent.runtime.interface import RuntimeFailure

from .channels import Name
from .connection import SpdyConnection, SpdyStream
from .signals import Activity
from .upgrade import STREAM_PROTOCOL
from .wires import READ_BYTES, SocketWire

COMMAND_PROTOCOL = "v4.channel.k8s.io"
PORT_PROTOCOL = "portforward.k8s.io"
DIAL_WITHIN_S = 30.0
REPLY_WITHIN_S = 30.0
_REFUSAL_BYTES_MAX = 4096


async def dial(url: str, protocol: str) -> SocketWire:
    """A connection that speaks SPDY now. Raises RuntimeFailure."""
    place = urlsplit(url)
    if place.scheme != "http" or not place.hostname or not place.port:
        raise RuntimeFailure(f"the runtime streams at {url[:256]!r}; it has to be plain http on the node's loopback")
    try:
        async with asyncio.timeout(DIAL_WITHIN_S):
            reader, writer = await asyncio.open_connection(place.hostname, place.port, limit=READ_BYTES)
            try:
                await _ask(reader, writer, place, protocol)
            except BaseException:
                writer.transport.abort()
                raise
    except TimeoutError:
        raise RuntimeFailure(f"the runtime's streaming server did not answer within {DIAL_WITHIN_S:.0f} s") from None
    except (OSError, EOFError, asyncio.LimitOverrunError) as error:
        raise RuntimeFailure(f"the runtime's streaming server cannot be reached: {error}") from error
    return SocketWire(reader, writer)


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, place: SplitResult, protocol: str) -> None:
    path = f"{place.path}?{place.query}" if place.query else place.path
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: {place.netloc}",
        "Connection: Upgrade",
        "Upgrade: SPDY/3.1",
        f"{STREAM_PROTOCOL}: {protocol}",
        "Content-Length: 0",
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    head = await reader.readuntil(b"\r\n\r\n")
    status = head.split(b" ", 2)[1:2]
    if status != [b"101"]:
        told = (await reader.read(_REFUSAL_BYTES_MAX)).decode(errors="replace").strip()
        raise RuntimeFailure(f"the runtime refuses to stream: {told or head[:64]!r}")


@asynccontextmanager
async def connected(wire: SocketWire, activity: Activity) -> AsyncIterator[SpdyConnection]:
    """The connection while the body runs; then it is broken off, and so is what runs behind it."""
    connection = SpdyConnection(wire, server=False, activity=activity)
    failure: RuntimeFailure | None = None
    try:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(connection.run())
            try:
                yield connection
            except RuntimeFailure as error:  # not as one of a group
                failure = error
            finally:
                running.cancel()
    finally:
        connection.abort()
    if failure is not None:
        raise failure


async def open_streams(connection: SpdyConnection, names: Collection[Name]) -> Mapping[Name, SpdyStream]:
    """Raises RuntimeFailure."""
    return {name: await open_stream(connection, {"streamtype": name.value}) for name in names}


async def open_stream(connection: SpdyConnection, headers: Mapping[str, str]) -> SpdyStream:
    """Raises RuntimeFailure."""
    stream = connection.open(headers)
    try:
        async with asyncio.timeout(REPLY_WITHIN_S):
            if await stream.taken():
                return stream
    except TimeoutError:
        raise RuntimeFailure("the runtime did not take a stream in time") from None
    raise RuntimeFailure("the runtime did not take a stream")
