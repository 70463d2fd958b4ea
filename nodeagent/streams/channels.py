"""The streams of a command, by name, and what goes from which to which.

A client has one side, the runtime the other: stdin and the terminal's sizes go in, stdout, stderr and at last the
status come out. The command is over when all of its output has ended; what a client still sends is then of no use.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
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


#: What the runtime has of a command, or a part of that: with the status that it ends with.
Session = Mapping[Name, RuntimeStream]


async def join(client: Client, sessions: Sequence[Session], activity: Activity) -> bytes:
    """Until the command has ended; its status. The first session has all output; a second one has the input, and where
    that has ended and was passed on, who ended it waits for nothing more."""
    async with asyncio.TaskGroup() as group:
        work = [group.create_task(_run(client, sessions[0], activity))]
        work += [group.create_task(_give(client.sources[Name.STDIN], each, activity)) for each in sessions[1:]]
        done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        for each in work:
            each.cancel()
    status = next(each.result() for each in work if each in done)
    return status or failure("the runtime broke the connection off before the command had ended")


async def _run(client: Client, session: Session, activity: Activity) -> bytes:
    async with asyncio.TaskGroup() as inward:
        going_in = [
            inward.create_task(pump(source, session[name], activity))
            for name, source in client.sources.items()
            if name in session
        ]
        async with asyncio.TaskGroup() as outward:
            for name, sink in client.sinks.items():
                outward.create_task(pump(session[name], sink, activity))
            status = outward.create_task(_all(session[Name.ERROR]))
        for each in going_in:
            each.cancel()
    return status.result()


async def _give(source: Source, session: Session, activity: Activity) -> bytes:
    await pump(source, session[Name.STDIN], activity)
    return await _all(session[Name.ERROR])


async def _all(source: Source) -> bytes:
    found = b""
    while data := await source.read():
        found += data[: STATUS_BYTES_MAX - len(found)]
    return found
