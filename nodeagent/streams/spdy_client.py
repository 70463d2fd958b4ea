"""A client of exec or attach that speaks SPDY: one stream for each thing, opened by the client, named by a header."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from .channels import Name, Sink, Source
from .connection import SpdyConnection, SpdyStream
from .signals import Activity, Signal
from .status import as_text
from .wires import Wire

#: Newest first. 4 has a Status at the end, 3 sizes of the terminal.
PROTOCOLS = ("v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")
OPENED_WITHIN_S = 25.0  # the runtime waits for 30
_STREAMS_MAX = 8
_INWARD = (Name.STDIN, Name.RESIZE)


class SpdyClient:
    """`wanted`: what the request asked for, and so has to be opened, beside `error`."""

    def __init__(self, wire: Wire, protocol: str, wanted: frozenset[Name], activity: Activity) -> None:
        self._connection = SpdyConnection(
            wire, server=True, activity=activity, streams_max=_STREAMS_MAX, on_stream=self._take
        )
        version = len(PROTOCOLS) - PROTOCOLS.index(protocol)
        self._has_status = version >= 4
        self._wanted = wanted | {Name.ERROR}
        if version < 3:
            self._wanted -= {Name.RESIZE}
        self._streams: dict[Name, SpdyStream] = {}
        self._changed = Signal()
        self._gone = False

    @property
    def sources(self) -> Mapping[Name, Source]:
        return {name: each for name, each in self._streams.items() if name in _INWARD}

    @property
    def sinks(self) -> Mapping[Name, Sink]:
        return {name: each for name, each in self._streams.items() if name not in (*_INWARD, Name.ERROR)}

    def _take(self, stream: SpdyStream, headers: Mapping[str, str]) -> None:
        kind = headers.get("streamtype", "")
        name = next((each for each in self._wanted if each.value == kind), None)
        if name is None or name in self._streams:
            stream.reset()
            return
        self._streams[name] = stream
        self._changed.notify()

    async def run(self) -> None:
        try:
            await self._connection.run()
        finally:
            self._gone = True
            self._changed.notify()

    async def opened(self) -> bool:
        try:
            async with asyncio.timeout(OPENED_WITHIN_S):
                while len(self._streams) < len(self._wanted) and not self._gone:
                    await self._changed.wait()
        except TimeoutError:
            return False
        return not self._gone

    async def end(self, status: bytes) -> None:
        """A client that hears the connection end may throw away what it has not read: so it is waited for."""
        error = self._streams.get(Name.ERROR)
        if error is not None:
            message = status if self._has_status else as_text(status)
            if message:
                await error.write(message)
        for stream in self._streams.values():
            stream.finish()
        await self._connection.say_goodbye()

    async def close(self) -> None:
        await self._connection.close()
