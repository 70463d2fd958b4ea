"""One TLS connection between two replicas: frames in, frames out, everything bounded.

It knows bytes, buffers and time, but not members: who may do what is decided by its handler. What must hold:
after `drop` or `finish` nothing is handed to the handler any more but one `lost`; bytes that are no frame
end the connection and never raise; at most `high` bytes (and one frame) wait to be sent.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from typing import Any, Protocol, cast

import msgspec

from ..identity import PeerIdentity
from ..limits import GREETING_BYTES_MAX, PEER_BUFFER_BYTES_HIGH, PEER_BUFFER_BYTES_LOW
from .engine import Message
from .frames import FrameError, FrameReader

#: Handed to TLS at a time, so that encrypting never holds the loop for long.
_WRITE_BYTES = 256 * 1024


class LinkMetrics(msgspec.Struct):
    """Plain counters of one transport, read by the metrics page."""

    accepted: int = 0  # TLS connections let in by the door
    dialled: int = 0
    dial_failures: int = 0
    links: int = 0  # links that came up
    links_replaced: int = 0
    links_lost: int = 0
    links_dead: int = 0  # dropped because nothing was heard for too long
    frames_sent: int = 0
    frames_received: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    bad_frames: int = 0
    sends_refused: int = 0  # back-pressure, or no link
    asks_answered: int = 0
    refused: Counter[str] = msgspec.field(default_factory=Counter)  # by reason


class ConnectionHandler(Protocol):
    def made(self, connection: Connection) -> None:
        """TLS is up; `connection.certificate` is the peer's. Before this nothing is received."""

    def frame(self, connection: Connection, message: Message) -> None: ...

    def drained(self, connection: Connection) -> None: ...

    def lost(self, connection: Connection) -> None:
        """Once, and the last call. `connection.ending` says why."""


class Connection(asyncio.Protocol):
    """Handler and identity may be set anew while it lives; the certificate never changes."""

    def __init__(
        self,
        handler: ConnectionHandler,
        metrics: LinkMetrics,
        *,
        generation: int = 0,
        high: int = PEER_BUFFER_BYTES_HIGH,
        low: int = PEER_BUFFER_BYTES_LOW,
    ) -> None:
        self.handler = handler
        self.generation = generation  # of the credentials it was made with
        self.identity: PeerIdentity | None = None
        self.ending = ""
        self.dropped = False
        self._lost = False
        self.last_received = 0.0
        self.last_sent = 0.0
        self.closed: asyncio.Future[None]
        self._metrics = metrics
        self._reader = FrameReader(GREETING_BYTES_MAX)
        self._high, self._low = high, low
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._flush_planned = False
        self._writing_paused = False
        self._refused_a_send = False
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None

    # --- what the handler calls ---

    @property
    def certificate(self) -> Any:
        return self._transport.get_extra_info("peercert") if self._transport else None

    @property
    def address(self) -> str:
        name = self._transport.get_extra_info("peername") if self._transport else None
        return f"{name[0]}:{name[1]}" if name else "unknown"

    @property
    def waiting_bytes(self) -> int:
        return self._waiting_bytes

    def accept_frames_of(self, bytes_max: int) -> None:
        self._reader.bytes_max = bytes_max

    def end_after(self, seconds: float, ending: str) -> None:
        """Drop it then, unless `keep` is called before."""
        self._deadline = self._loop.call_later(seconds, self.drop, ending)

    def keep(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def send(self, frame: bytes) -> bool:
        """Queue a frame. False: dropped, or more than the high mark waits; `drained` follows in that case."""
        if self.dropped:
            return False
        if self._waiting_bytes >= self._high:
            self._refused_a_send = True
            return False
        self._waiting.append(frame)
        self._waiting_bytes += len(frame)
        self._metrics.frames_sent += 1
        if not self._flush_planned and not self._writing_paused:
            self._flush_planned = True
            self._loop.call_soon(self._flush)
        return True

    def drop(self, ending: str) -> None:
        """End it now; nothing more is sent or handed over, but for one later `lost`."""
        if self.dropped:
            return
        self._end(ending)
        if self._transport is not None:
            self._transport.abort()

    def abandon(self, ending: str) -> None:
        """Drop it, and say so now: uvloop tells nobody of what is cancelled in the turn in which TLS comes up."""
        self.drop(ending)
        if self._transport is not None:
            self.connection_lost(None)

    def finish(self, frame: bytes, ending: str) -> None:
        """Send one last frame, then close."""
        if self.dropped or self._transport is None:
            return
        self._end(ending)
        self._transport.write(frame)
        self._transport.close()

    # --- what asyncio calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=_WRITE_BYTES, low=_WRITE_BYTES // 4)
        self._loop = asyncio.get_running_loop()
        self.closed = self._loop.create_future()
        self.last_received = self.last_sent = self._loop.time()
        if self.dropped:
            self._transport.abort()
        else:
            self.handler.made(self)

    def data_received(self, data: bytes) -> None:
        if self.dropped:
            return
        self.last_received = self._loop.time()
        self._metrics.bytes_received += len(data)
        try:
            for message in self._reader.feed(data):
                self._metrics.frames_received += 1
                self.handler.frame(self, message)
                if self.dropped:
                    return
        except FrameError as error:
            self._metrics.bad_frames += 1
            self._metrics.refused[error.reason] += 1
            self.drop(str(error))

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._flush()

    def connection_lost(self, error: Exception | None) -> None:
        if self._lost:  # it was abandoned
            return
        self._lost = True
        if self._reader.incomplete and not self.dropped:
            self._metrics.bad_frames += 1
            self._metrics.refused["truncated"] += 1
        if not self.dropped:
            self._end(f"connection lost: {error}" if error else "closed by peer")
        if not self.closed.done():
            self.closed.set_result(None)
        self.handler.lost(self)

    # --- writing ---

    def _end(self, ending: str) -> None:
        self.dropped = True
        self.ending = ending
        self.keep()
        self._waiting.clear()
        self._waiting_bytes = 0

    def _flush(self) -> None:
        """Hand what waits to TLS, in few writes, until it says stop."""
        self._flush_planned = False
        if self.dropped or self._transport is None or not self._waiting:
            return
        self.last_sent = self._loop.time()
        while self._waiting and not self._writing_paused:
            self._write_some(self._transport)
        if self._refused_a_send and self._waiting_bytes <= self._low:
            self._refused_a_send = False
            self.handler.drained(self)

    def _write_some(self, transport: asyncio.Transport) -> None:
        taken = [self._waiting.popleft()]
        size = len(taken[0])
        while self._waiting and size + len(self._waiting[0]) <= _WRITE_BYTES:
            taken.append(self._waiting.popleft())
            size += len(taken[-1])
        self._waiting_bytes -= size
        self._metrics.bytes_sent += size
        transport.write(taken[0] if len(taken) == 1 else b"".join(taken))
