"""One side of a connection: its streams, what it may send, and what it has to give on.

`receive` takes what came and gives events; what has to go out waits in `take`. Whoever uses a session gives on what it
received and says so (`consumed`), which grants the other side as much again.

Windows are 3.1's, 64 KiB for a stream and for the session, renewed as data is consumed, from the moment that the other
side shows that it keeps them, by settings or by a grant. The library that kubectl and containerd use (spdystream)
never does; worse, what reaches it after it has closed makes the kernel throw away what it said last, so grants that it
ignores would cost output. There only the connection itself holds anybody back: `full` says when to read no more, and a
session holds RECEIVED_BYTES_MAX and what one call of `receive` brings.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from . import frames
from .frames import (
    DATA_BYTES_MAX,
    GOODBYE_OK,
    GOODBYE_PROTOCOL_ERROR,
    WINDOW_MAX,
    Data,
    FrameReader,
    FrameWriter,
    GoAway,
    Headers,
    Ping,
    ProtocolError,
    RstStream,
    Settings,
    SynReply,
    SynStream,
    WindowUpdate,
)

WINDOW_BYTES = 64 * 1024
RECEIVED_BYTES_MAX = 256 * 1024
_OF_SESSION = 0


class Opened(msgspec.Struct, frozen=True):
    """By the other side: `reply` or `reset` it."""

    stream_id: int
    headers: dict[str, str]


class Replied(msgspec.Struct, frozen=True):
    """A stream of ours is taken: data may go."""

    stream_id: int


class Received(msgspec.Struct, frozen=True):
    """`data` is held until it is `consumed`."""

    stream_id: int
    data: bytes


class Finished(msgspec.Struct, frozen=True):
    """The other side sends nothing more on this stream."""

    stream_id: int


class WasReset(msgspec.Struct, frozen=True):
    """The stream is gone, both ways."""

    stream_id: int
    status: int


class WentAway(msgspec.Struct, frozen=True):
    """The other side takes no new streams; those there go on."""


Event = Opened | Replied | Received | Finished | WasReset | WentAway


class _Stream:
    """`closed` tells of each direction."""

    __slots__ = ("in_closed", "out_closed", "ungranted", "window")

    def __init__(self, window: int) -> None:
        self.window = window
        self.ungranted = 0
        self.in_closed = False
        self.out_closed = False


class Session:
    """`streams_max`: how many the other side may have open at a time."""

    def __init__(self, *, server: bool, streams_max: int) -> None:
        self._reader = FrameReader()
        self._writer = FrameWriter()
        self._outgoing = bytearray()
        self._streams: dict[int, _Stream] = {}
        self._streams_max = streams_max
        self._server = server
        self._next_id = 2 if server else 1
        self._last_id = 0  # of theirs
        self._ping_id = 2 if server else 1
        self._going = False
        self._keeps_windows = False
        self._first_window = WINDOW_BYTES
        self._window = WINDOW_BYTES
        self._ungranted = 0
        self._held = 0

    # --- in -----------------------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Whether to read no more until something is consumed."""
        return self._held >= RECEIVED_BYTES_MAX

    def receive(self, data: bytes) -> list[Event]:
        """Raises ProtocolError, with a farewell to send: then the session is over."""
        events: list[Event] = []
        try:
            for frame in self._reader.feed(data):
                self._take(frame, events)
        except ProtocolError:
            self.go_away(GOODBYE_PROTOCOL_ERROR)
            raise
        return events

    def consumed(self, stream_id: int, count: int) -> None:
        """So much of what was received is given on, or thrown away."""
        self._held -= count
        if not self._keeps_windows:
            return
        self._ungranted += count
        if self._ungranted >= WINDOW_BYTES // 2:
            self._write(WindowUpdate(stream_id=_OF_SESSION, delta=self._ungranted))
            self._ungranted = 0
        stream = self._streams.get(stream_id)
        if stream is None or stream.in_closed:
            return
        stream.ungranted += count
        if stream.ungranted >= WINDOW_BYTES // 2:
            self._write(WindowUpdate(stream_id=stream_id, delta=stream.ungranted))
            stream.ungranted = 0

    def _take(self, frame: frames.Frame, events: list[Event]) -> None:
        match frame:
            case Data():
                self._take_data(frame, events)
            case SynStream():
                self._take_stream(frame, events)
            case SynReply() | Headers():
                self._take_headers(frame, events)
            case RstStream():
                if self._streams.pop(frame.stream_id, None) is not None:
                    events.append(WasReset(frame.stream_id, frame.status))
            case WindowUpdate():
                self._grow(frame)
            case Settings():
                self._apply(frame)
            case Ping():
                if frame.ping_id % 2 != self._ping_id % 2:
                    self._write(frame)
            case GoAway():
                events.append(WentAway())

    def _take_data(self, frame: Data, events: list[Event]) -> None:
        stream = self._streams.get(frame.stream_id)
        if stream is None or stream.in_closed:
            self._held += len(frame.data)
            self.consumed(frame.stream_id, len(frame.data))
            if not self._was_there(frame.stream_id):
                self._write(RstStream(stream_id=frame.stream_id, status=frames.INVALID_STREAM))
            return
        if frame.data:
            self._held += len(frame.data)
            events.append(Received(frame.stream_id, frame.data))
        if frame.finished:
            self._finish_in(frame.stream_id, stream, events)

    def _was_there(self, stream_id: int) -> bool:
        ours = stream_id % 2 == self._next_id % 2
        return stream_id < self._next_id if ours else stream_id <= self._last_id

    def _take_stream(self, frame: SynStream, events: list[Event]) -> None:
        stream_id = frame.stream_id
        if stream_id % 2 == self._next_id % 2 or stream_id <= self._last_id:
            raise ProtocolError(f"stream {stream_id} is opened, which cannot be")
        self._last_id = stream_id
        if self._going or len(self._streams) >= self._streams_max:
            self._write(RstStream(stream_id=stream_id, status=frames.REFUSED_STREAM))
            return
        stream = self._streams[stream_id] = _Stream(self._first_window)
        stream.out_closed = frame.one_way
        events.append(Opened(stream_id, frame.headers))
        if frame.finished:
            self._finish_in(stream_id, stream, events)

    def _take_headers(self, frame: SynReply | Headers, events: list[Event]) -> None:
        stream = self._streams.get(frame.stream_id)
        if stream is None:
            return
        if isinstance(frame, SynReply) and frame.stream_id % 2 == self._next_id % 2:
            events.append(Replied(frame.stream_id))
        if frame.finished and not stream.in_closed:
            self._finish_in(frame.stream_id, stream, events)

    def _finish_in(self, stream_id: int, stream: _Stream, events: list[Event]) -> None:
        stream.in_closed = True
        events.append(Finished(stream_id))
        if stream.out_closed:
            del self._streams[stream_id]

    def _grow(self, frame: WindowUpdate) -> None:
        self._keeps_windows = True
        if frame.stream_id == _OF_SESSION:
            self._window += frame.delta
            if self._window > WINDOW_MAX:
                raise ProtocolError("the session's window is larger than any may be")
            return
        stream = self._streams.get(frame.stream_id)
        if stream is None:
            return
        stream.window += frame.delta
        if stream.window > WINDOW_MAX:
            raise ProtocolError(f"the window of stream {frame.stream_id} is larger than any may be")

    def _apply(self, frame: Settings) -> None:
        size = frame.values.get(frames.INITIAL_WINDOW_SIZE)
        if size is None:
            return
        if size > WINDOW_MAX:
            raise ProtocolError("a first window is larger than any may be")
        self._keeps_windows = True
        for stream in self._streams.values():
            stream.window += size - self._first_window
        self._first_window = size

    # --- out ----------------------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """How many bytes `take` would give."""
        return len(self._outgoing)

    def take(self) -> bytes:
        """What has to go out next."""
        taken = bytes(self._outgoing)
        self._outgoing.clear()
        return taken

    def open(self, headers: Mapping[str, str]) -> int:
        """Its id. Data may go when it is Replied: some throw away what comes before."""
        stream_id, self._next_id = self._next_id, self._next_id + 2
        self._streams[stream_id] = _Stream(self._first_window)
        self._write(SynStream(stream_id=stream_id, headers=dict(headers)))
        return stream_id

    def reply(self, stream_id: int) -> None:
        """Take a stream that was Opened."""
        stream = self._streams.get(stream_id)
        if stream is not None and not stream.out_closed:
            self._write(SynReply(stream_id=stream_id, headers={}))

    def sendable(self, stream_id: int) -> int:
        """How many bytes `send` takes now. None at all when the stream is gone or done: nobody has to wait for that."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.out_closed:
            return 0
        if not self._keeps_windows:
            return DATA_BYTES_MAX
        return max(0, min(stream.window, self._window, DATA_BYTES_MAX))

    def is_open(self, stream_id: int) -> bool:
        """Whether data may still be sent on it."""
        stream = self._streams.get(stream_id)
        return stream is not None and not stream.out_closed

    def knows(self, stream_id: int) -> bool:
        """Whether anything more can happen with it."""
        return stream_id in self._streams

    def send(self, stream_id: int, data: bytes) -> None:
        """At most `sendable`."""
        stream = self._streams[stream_id]
        stream.window -= len(data)
        self._window -= len(data)
        self._write(Data(stream_id=stream_id, data=data))

    def finish(self, stream_id: int) -> None:
        """Nothing more will be sent on it; what comes is still taken."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.out_closed:
            return
        stream.out_closed = True
        self._write(Data(stream_id=stream_id, data=b"", finished=True))
        if stream.in_closed:
            del self._streams[stream_id]

    def reset(self, stream_id: int, status: int = frames.CANCEL) -> None:
        """End it, both ways."""
        if self._streams.pop(stream_id, None) is not None:
            self._write(RstStream(stream_id=stream_id, status=status))

    def ping(self) -> None:
        """Something that has to reach the other side, if it is there."""
        self._write(Ping(ping_id=self._ping_id))
        self._ping_id = (self._ping_id + 2) & 0x7FFFFFFF

    def go_away(self, status: int = GOODBYE_OK) -> None:
        """Take no new streams."""
        if not self._going:
            self._going = True
            self._write(GoAway(last_stream_id=self._last_id, status=status))

    @property
    def idle(self) -> bool:
        """Whether no stream is open."""
        return not self._streams

    def _write(self, frame: frames.Frame) -> None:
        self._outgoing += self._writer.write(frame)
