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
from .wires import BareWire, Wire

COMMAND_PROTOCOL = "v4.channel.k8s.io"
PORT_PROTOCOL = "portforward.k8s.io"
DIAL_WITHIN_S = 30.0
REPLY_WITHIN_S = 30.0
_REFUSAL_BYTES_MAX = 4096
_HEAD_BYTES_MAX = 64 * 1024
_HEAD_END = b"\r\n\r\n"


async def dial(url: str, protocol: str) -> BareWire:
    """A connection that speaks SPDY now. Raises RuntimeFailure."""
    place = urlsplit(url)
    if place.scheme != "http" or not place.hostname or not place.port:
        raise RuntimeFailure(f"the runtime streams at {url[:256]!r}; it has to be plain http on the node's loopback")
    try:
        async with asyncio.timeout(DIAL_WITHIN_S):
            wire = await BareWire.dial(place.hostname, place.port)
            try:
                await _ask(wire, place, protocol)
            except BaseException:
                wire.abort()
                raise
    except TimeoutError:
        raise RuntimeFailure(f"the runtime's streaming server did not answer within {DIAL_WITHIN_S:.0f} s") from None
    except OSError as error:
        raise RuntimeFailure(f"the runtime's streaming server cannot be reached: {error}") from error
    return wire


async def _ask(wire: BareWire, place: SplitResult, protocol: str) -> None:
    """Raises OSError, RuntimeFailure."""
    path = f"{place.path}?{place.query}" if place.query else place.path
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: {place.netloc}",
        "Connection: Upgrade",
        "Upgrade: SPDY/3.1",
        f"{STREAM_PROTOCOL}: {protocol}",
        "Content-Length: 0",
    ]
    await wire.write("\r\n".join([*lines, "", ""]).encode())
    found = b""
    while _HEAD_END not in found:
        data = await wire.read()
        if not data or len(found) > _HEAD_BYTES_MAX:
            raise ConnectionError("it does not answer as a server of HTTP")
        found += data
    head, _, rest = found.partition(_HEAD_END)
    if head.split(b" ", 2)[1:2] != [b"101"]:
        told = (rest or await wire.read())[:_REFUSAL_BYTES_MAX].decode(errors="replace").strip()
        raise RuntimeFailure(f"the runtime refuses to stream: {told or head[:64]!r}")
    wire.put_back(rest)


@asynccontextmanager
async def connected(wire: Wire, activity: Activity) -> AsyncIterator[SpdyConnection]:
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
