"""Port-forward: each connection of a client is two streams with one requestID, `data` and `error`.

What the process in the pod and the client send each other goes through `data`, and each may end its direction first.
`error` says why there was no connection, and otherwise nothing but its end: newer clients end everything at a word,
older ones close a connection only when they have read that end. So it comes as soon as the process has said all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Protocol

from nodeagent.runtime.interface import RuntimeFailure

from .channels import Sink, Source
from .connection import SpdyConnection, SpdyStream
from .signals import Activity, Signal
from .wires import Wire

log = logging.getLogger(__name__)

PROTOCOL = "portforward.k8s.io"
TUNNEL = "SPDY/3.1+portforward.k8s.io"  # of a WebSocket whose messages are SPDY
STREAMS_MAX = 1024  # 512 connections
REQUEST_LENGTH_MAX = 128  # clients count: it is kept for the life of a connection
PAIRED_WITHIN_S = 30.0


class PortStream(Source, Sink, Protocol):
    """Both directions of one. `broken`: it is over, and not because the client has said all."""

    broken: bool

    async def room(self) -> int:
        """Until something may be written; how many bytes. Raises OSError when nobody takes it."""

    def reset(self) -> None: ...


#: Joins data to a port until both directions are over, and finishes error when the process has said all.
#: (port, data, error, activity). Raises RuntimeFailure when it cannot.
Forward = Callable[[int, PortStream, PortStream, Activity], Awaitable[None]]


def failure_text(port: int, failure: RuntimeFailure) -> bytes:
    """What a client is told."""
    log.info("a port was not forwarded", extra={"port": port, "error": str(failure)})
    return f"error forwarding port {port}: {failure}".encode()


class Pair:
    """The streams of one connection, as they come."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.streams: dict[str, SpdyStream] = {}
        self.changed = Signal()

    async def complete(self) -> bool:
        """Whether both came in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PAIRED_WITHIN_S):
                while len(self.streams) < 2:
                    await self.changed.wait()
        return len(self.streams) == 2

    def reset(self) -> None:
        for each in self.streams.values():
            each.reset()


class PortClient:
    """A client that forwards ports. `run` until it is gone."""

    def __init__(self, wire: Wire, forward: Forward, activity: Activity) -> None:
        self._connection = SpdyConnection(
            wire, server=True, activity=activity, streams_max=STREAMS_MAX, on_stream=self._take
        )
        self._forward = forward
        self._activity = activity
        self._pairs: dict[str, Pair] = {}
        self._group: asyncio.TaskGroup | None = None  # while it runs
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                await self._connection.run()
            finally:
                for each in self._tasks:
                    each.cancel()

    async def close(self) -> None:
        await self._connection.close()

    def _take(self, stream: SpdyStream, headers: Mapping[str, str]) -> None:
        kind, request = headers.get("streamtype", ""), headers.get("requestid", "")
        port = _port(headers.get("port", ""))
        if kind not in ("data", "error") or not 0 < len(request) <= REQUEST_LENGTH_MAX or not port:
            stream.reset()
            return
        pair = self._pairs.get(request)
        if pair is None and len(self._pairs) >= STREAMS_MAX:
            stream.reset()  # streams that were reset are gone at once, and their pairs only when nobody waits any more
            return
        if pair is None:
            pair = self._pairs[request] = Pair(port)
            self._start(request, pair)
        if kind in pair.streams or pair.port != port:
            stream.reset()
            return
        pair.streams[kind] = stream
        pair.changed.notify()

    def _start(self, request: str, pair: Pair) -> None:
        assert self._group is not None
        task = self._group.create_task(self._serve(request, pair))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, request: str, pair: Pair) -> None:
        try:
            if not await pair.complete():
                return
            data, error = pair.streams["data"], pair.streams["error"]
            try:
                await self._forward(pair.port, data, error, self._activity)
            except RuntimeFailure as failure:
                with suppress(OSError):
                    await error.write(failure_text(pair.port, failure))
            error.finish()
            data.finish()
            await _all(error)
        finally:
            del self._pairs[request]
            pair.reset()


async def _all(stream: SpdyStream) -> None:
    """Until the client has ended it too."""
    while await stream.read():
        continue


def _port(text: str) -> int:
    """0 for what is none."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 5 else 0
    return number if number <= 65535 else 0
