"""The streams of a command, by name, and what goes from which to which.

A client has one side, the runtime the other: stdin and the terminal's sizes go in, stdout, stderr and at last the
status come out. The command is over when all of its output has ended; what a client still sends is then of no use.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from enum import Enum
from typing import Protocol

from .signals import Activity
from .status import STATUS_BYTES_MAX, failure


class Name(Enum):
    """As SPDY's streams are called."""

    STDIN = "stdin"
    STDOUT = "stdout"
    STDERR = "stderr"
    ERROR = "error"
    RESIZE = "resize"


class Source(Protocol):
    async def read(self) -> bytes:
        """Some; b"" at the end."""


class Sink(Protocol):
    async def write(self, data: bytes) -> None:
        """Raises OSError when nobody takes it."""

    def finish(self) -> None:
        """Nothing more is written."""


class Client(Protocol):
    """The side that asked. `sinks` has what goes out to it, but for the status."""

    @property
    def sources(self) -> Mapping[Name, Source]: ...

    @property
    def sinks(self) -> Mapping[Name, Sink]: ...

    async def run(self) -> None:
        """Until it is gone."""

    async def opened(self) -> bool:
        """Whether it has opened all its streams. While `run` runs, like what follows."""

    async def end(self, status: bytes) -> None:
        """Say how the command ended, and that everything is over; until the client has heard it, within bounds."""

    async def close(self) -> None:
        """After `run`."""


class RuntimeStream(Source, Sink, Protocol):
    """Of the runtime's side."""


async def pump(source: Source, sink: Sink, activity: Activity) -> None:
    """All of it. When nobody takes it any more the rest is thrown away, so that it is in nobody's way."""
    taken = True
    while data := await source.read():
        activity.touch()
        if taken:
            try:
                await sink.write(data)
            except OSError:
                taken = False
    with suppress(OSError):
        sink.finish()


async def join(client: Client, runtime: Mapping[Name, RuntimeStream], activity: Activity) -> bytes:
    """Until the command has ended; its status."""
    async with asyncio.TaskGroup() as inward:
        going_in = [
            inward.create_task(pump(source, runtime[name], activity))
            for name, source in client.sources.items()
            if name in runtime
        ]
        async with asyncio.TaskGroup() as outward:
            for name, sink in client.sinks.items():
                outward.create_task(pump(runtime[name], sink, activity))
            status = outward.create_task(_all(runtime[Name.ERROR]))
        for each in going_in:
            each.cancel()
    return status.result() or failure("the runtime broke the connection off before the command had ended")


async def _all(source: Source) -> bytes:
    found = b""
    while data := await source.read():
        found += data[: STATUS_BYTES_MAX - len(found)]
    return found
