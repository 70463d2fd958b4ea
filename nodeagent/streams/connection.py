"""A SPDY connection with asyncio: streams that are read and written, over any wire, at either end.

`run` is the connection: one task reads, one writes, a server's third sends signs of life. It ends when the other side
is gone or breaks the rules; then every stream has ended. Reading never waits for writing: two sides that both have much
to say do not block each other. A runtime that takes no more is read to its end: a command may end without reading its
input, and how is the last that is said. Bounds: Session's for what came, OUTGOING_BYTES_MAX for what is to go; a side
that asks for answers (pings, resets) without reading them is broken off.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress

from .signals import Activity, Signal
from .spdy.frames import REFUSED_STREAM, ProtocolError
from .spdy.session import Event, Finished, Opened, Received, Replied, Session, WasReset, WentAway
from .wires import LINGER_S, READ_BYTES, Wire

log = logging.getLogger(__name__)

OUTGOING_BYTES_MAX = 128 * 1024
ANSWERS_BYTES_MAX = 1024 * 1024
KEEPALIVE_S = 10.0
REPLY_WITHIN_S = 30.0


class SpdyStream:
    """Both directions of one. `broken`: it was reset, or the connection is gone."""

    def __init__(self, connection: SpdyConnection, stream_id: int) -> None:
        self._connection = connection
        self._unread = bytearray()  # one, however small the pieces were
        self._ended = False
        self._changed = Signal()
        self.stream_id = stream_id
        self.replied = False
        self.broken = False

    async def read(self) -> bytes:
        """Some; b"" at the end. `broken` tells what kind of end it was."""
        while not self._unread and not self._ended:
            await self._changed.wait()
        data = bytes(self._unread[:READ_BYTES])
        del self._unread[: len(data)]
        self._connection.consumed(self.stream_id, len(data))
        return data

    async def room(self) -> int:
        """How many bytes may be written at once, at least one. Raises BrokenPipeError."""
        return await self._connection.room(self.stream_id)

    async def write(self, data: bytes) -> None:
        """Raises BrokenPipeError when the other side takes nothing more."""
        rest = memoryview(data)
        while rest:
            room = await self.room()
            self._connection.send(self.stream_id, bytes(rest[:room]))
            rest = rest[room:]

    def finish(self) -> None:
        """Nothing more is written."""
        self._connection.finish(self.stream_id)

    def reset(self) -> None:
        """Both directions are over, and what was not read is thrown away."""
        self._connection.reset(self)

    async def taken(self) -> bool:
        """Whether the other side took a stream of ours."""
        while not self.replied and not self._ended:
            await self._changed.wait()
        return self.replied

    def received(self, data: bytes) -> None:
        self._unread += data
        self._changed.notify()

    def answered(self) -> None:
        self.replied = True
        self._changed.notify()

    def end(self, *, broken: bool = False) -> None:
        self.broken = self.broken or broken
        self._ended = True
        self._changed.notify()

    @property
    def held(self) -> int:
        """How many bytes wait to be read."""
        return len(self._unread)

    def discard(self) -> None:
        self._unread.clear()


class SpdyConnection:
    """`on_stream` is told of each stream the other side opens, which is taken already, and of its headers: `reset` what
    is not wanted. Headers are not kept here: streams may be many and live long."""

    def __init__(
        self,
        wire: Wire,
        *,
        server: bool,
        activity: Activity,
        streams_max: int = 0,
        on_stream: Callable[[SpdyStream, Mapping[str, str]], None] | None = None,
    ) -> None:
        self._wire = wire
        self._server = server
        self._session = Session(server=server, streams_max=streams_max)
        self._streams: dict[int, SpdyStream] = {}
        self._on_stream = on_stream
        self._activity = activity
        self._gone = False
        self._takes = True  # what is written
        self._to_write = asyncio.Event()
        self._written = Signal()
        self._consumed = Signal()
        self._quiet = Signal()

    # --- its life -----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until it is over. Cancelled, it just stops: `close` or `abort` it then."""
        try:
            async with asyncio.TaskGroup() as group:
                others = [group.create_task(self._write_on())]
                if self._server:
                    others.append(group.create_task(self._show_life()))
                try:
                    await self._read_on()
                finally:
                    for each in others:
                        each.cancel()
        finally:
            self._end()

    async def close(self) -> None:
        """After `run` has ended by itself or was cancelled."""
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(LINGER_S):
                if farewell := self._session.take():
                    await self._wire.write(farewell)
                await self._wire.close()
                return
        self._wire.abort()

    def abort(self) -> None:
        self._wire.abort()

    async def say_goodbye(self) -> None:
        """Once all streams are finished: until the other side has seen that, within LINGER_S. While `run` runs."""
        self._session.go_away()
        self._to_write.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while not self._gone and not (self._session.idle and not self._session.waiting):
                    await self._quiet.wait()

    async def _read_on(self) -> None:
        while not self._gone and (data := await self._wire.read()):
            self._activity.touch()
            try:
                for event in self._session.receive(data):
                    self._handle(event)
            except ProtocolError as error:
                log.warning("a SPDY connection was broken off", extra={"error": str(error)})
                return
            self._look()
            self._written.notify()  # windows may have grown
            if self._session.waiting > ANSWERS_BYTES_MAX:
                log.warning("a SPDY connection was broken off", extra={"error": "answers are not read"})
                return
            while self._session.full and not self._gone:
                await self._consumed.wait()

    async def _write_on(self) -> None:
        try:
            while True:
                await self._to_write.wait()
                self._to_write.clear()
                while data := self._session.take():
                    await self._wire.write(data)
                    self._written.notify()
                self._quiet.notify()
        except OSError:
            self._takes = False
            self._written.notify()
            if self._server:  # nobody waits for more of a client
                self._gone = True
                self._wire.abort()
                self._consumed.notify()

    async def _show_life(self) -> None:
        """So that writing tells when a client is gone, even while we cannot read. A server would suffer by it: what
        reaches it while it closes makes the kernel throw away what it said last."""
        while True:
            await asyncio.sleep(KEEPALIVE_S)
            if not self._session.waiting:
                self._session.ping()
                self._to_write.set()

    def _end(self) -> None:
        self._gone = True
        for stream in self._streams.values():
            stream.end(broken=True)
        self._streams.clear()
        for signal in (self._written, self._consumed, self._quiet):
            signal.notify()

    # --- what happens -------------------------------------------------------------------------------------

    def _handle(self, event: Event) -> None:
        if isinstance(event, Opened):
            self._opened(event)
            return
        if isinstance(event, WentAway):
            return
        stream = self._streams.get(event.stream_id)
        match event:
            case Received():
                if stream is None:
                    self.consumed(event.stream_id, len(event.data))
                else:
                    stream.received(event.data)
            case Replied() if stream is not None:
                stream.answered()
            case Finished() if stream is not None:
                stream.end()
                self._forget_if_done(event.stream_id)
            case WasReset() if stream is not None:
                del self._streams[event.stream_id]
                stream.end(broken=True)
                self._written.notify()
        self._quiet.notify()

    def _opened(self, event: Opened) -> None:
        if self._on_stream is None:
            self._session.reset(event.stream_id, REFUSED_STREAM)
            return
        stream = self._streams[event.stream_id] = SpdyStream(self, event.stream_id)
        self._session.reply(event.stream_id)
        self._on_stream(stream, event.headers)

    def _forget_if_done(self, stream_id: int) -> None:
        if not self._session.knows(stream_id):
            self._streams.pop(stream_id, None)

    def _look(self) -> None:
        if self._session.waiting:
            self._to_write.set()

    # --- what streams do ----------------------------------------------------------------------------------

    def open(self, headers: Mapping[str, str]) -> SpdyStream:
        """One of ours; wait for `taken` before writing to it."""
        stream_id = self._session.open(headers)
        stream = self._streams[stream_id] = SpdyStream(self, stream_id)
        self._look()
        if self._gone:
            stream.end(broken=True)
        return stream

    def consumed(self, stream_id: int, count: int) -> None:
        self._session.consumed(stream_id, count)
        self._look()
        self._consumed.notify()

    async def room(self, stream_id: int) -> int:
        """How many bytes may be sent, at least one. Raises BrokenPipeError."""
        while True:
            if self._gone or not self._takes or not self._session.is_open(stream_id):
                raise BrokenPipeError("the stream is closed")
            room = self._session.sendable(stream_id)
            if room and self._session.waiting < OUTGOING_BYTES_MAX:
                return room
            await self._written.wait()

    def send(self, stream_id: int, data: bytes) -> None:
        self._session.send(stream_id, data)
        self._to_write.set()

    def finish(self, stream_id: int) -> None:
        self._session.finish(stream_id)
        self._forget_if_done(stream_id)
        self._look()

    def reset(self, stream: SpdyStream) -> None:
        if self._streams.pop(stream.stream_id, None) is not None:
            self._session.reset(stream.stream_id)
        self.consumed(stream.stream_id, stream.held)
        stream.discard()
        stream.end(broken=True)
        self._look()
