"""A gRPC client by hand over one HTTP/2 connection, for what h2load cannot do.

h2load repeats one body on unary calls. Loading distinct keys, reading a large range, watching and probing a
cluster whose leader was killed need more, and Python's gRPC library would cost more processor than the server
it measures. This client sends prepared bytes and reads frame headers only: it never decodes a header block, so
it knows that a call failed (no message came) but not why. Plain text HTTP/2 (h2c), as h2load uses.

What must hold: DATA is sent within the server's flow-control windows; the windows given to the server are so
large that it is never held back.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Callable
from typing import cast

from .h2load import grpc_frame
from .within import within

_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE, _CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
_END_STREAM, _ACK, _END_HEADERS, _PADDED = 0x1, 0x1, 0x4, 0x8
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_INITIAL_WINDOW_BYTES = 65_535
_WINDOW_BYTES = 2**31 - 1
_CREDIT_BYTES = 2**29  # how much is received before the connection's window is filled up again
_MESSAGE_BYTES_MAX = 16_384 - 5  # one DATA frame of the smallest frame size every server takes

_header = struct.Struct(">BHBBI")  # length (8 + 16 bits), type, flags, stream


class CallFailed(Exception):
    """The server answered without a message (a gRPC error), or the connection is gone."""


class _Stream:
    """One call. Complete messages go to `on_message` as memory of their own."""

    __slots__ = ("buffer", "on_end", "on_message", "window")

    def __init__(self, on_message: Callable[[bytes], None], on_end: Callable[[], None], window: int) -> None:
        self.on_message = on_message
        self.on_end = on_end
        self.window = window
        self.buffer = bytearray()

    def feed(self, chunk: bytes) -> None:
        self.buffer += chunk
        while len(self.buffer) >= 5:
            end = 5 + int.from_bytes(self.buffer[1:5], "big")
            if len(self.buffer) < end:
                return
            message = bytes(memoryview(self.buffer)[5:end])
            del self.buffer[:end]
            self.on_message(message)


class GrpcConnection(asyncio.Protocol):
    """Calls multiplexed over one connection. Not for servers that need credentials."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._streams: dict[int, _Stream] = {}
        self._next_stream = 1
        self._window = _INITIAL_WINDOW_BYTES
        self._stream_window = _INITIAL_WINDOW_BYTES
        self._waiting: deque[tuple[int, bytes]] = deque()  # DATA frames that wait for the windows
        self._credit = 0
        self._closed = False

    @classmethod
    async def open(cls, port: int) -> GrpcConnection:
        """Connect to 127.0.0.1:`port`. Raises OSError when nothing listens there."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return connection

    # --- calls ------------------------------------------------------------------------------------

    def call_soon(self, path: str, message: bytes, done: Callable[[bytes | None], None]) -> None:
        """Start a unary call; `done(answer)` once, with None when it failed."""
        answers: list[bytes] = []
        self._start(path, message, answers.append, lambda: done(answers[0] if answers else None), end=True)

    async def call(self, path: str, message: bytes, *, timeout_s: float = 30.0) -> bytes:
        """A unary call. Raises CallFailed, or TimeoutError after `timeout_s`."""
        future: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()

        def done(answer: bytes | None) -> None:
            if not future.done():
                future.set_result(answer)

        self.call_soon(path, message, done)
        answer = await within(future, timeout_s)
        if answer is None:
            raise CallFailed(f"{path}: no message in the answer")
        return answer

    def stream(self, path: str, first: bytes, on_message: Callable[[bytes], None]) -> None:
        """Open a stream in both directions and send one message on it; it lives as long as the connection."""
        self._start(path, first, on_message, lambda: None, end=False)

    def _start(
        self, path: str, message: bytes, on_message: Callable[[bytes], None], on_end: Callable[[], None], *, end: bool
    ) -> None:
        if len(message) > _MESSAGE_BYTES_MAX:
            raise ValueError(f"message of {len(message)} bytes, at most {_MESSAGE_BYTES_MAX} fit one frame")
        if self._closed or self._transport is None:
            on_end()
            return
        number, self._next_stream = self._next_stream, self._next_stream + 2
        self._streams[number] = _Stream(on_message, on_end, self._stream_window)
        block = header_block(path)
        data = grpc_frame(message)
        headers = frame(_HEADERS, _END_HEADERS, number, block)
        body = frame(_DATA, _END_STREAM if end else 0, number, data)
        if not self._waiting and len(data) <= min(self._window, self._stream_window):
            self._take_window(number, len(data))
            self._transport.write(headers + body)
        else:
            self._transport.write(headers)
            self._waiting.append((number, body))

    def _take_window(self, number: int, length: int) -> None:
        self._window -= length
        stream = self._streams.get(number)
        if stream is not None:
            stream.window -= length

    def _flush(self) -> None:
        """Send what the windows allow, in order."""
        while self._waiting:
            number, body = self._waiting[0]
            length = len(body) - 9
            stream = self._streams.get(number)
            if length > self._window or (stream is not None and length > stream.window):
                return
            self._waiting.popleft()
            if stream is not None and self._transport is not None:
                self._take_window(number, length)
                self._transport.write(body)

    # --- the connection ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast(asyncio.Transport, transport)  # uvloop's are none by class
        settings = struct.pack(">HI", 0x4, _WINDOW_BYTES)
        grant = struct.pack(">I", _WINDOW_BYTES - _INITIAL_WINDOW_BYTES)
        transport.write(_PREFACE + frame(_SETTINGS, 0, 0, settings) + frame(_WINDOW_UPDATE, 0, 0, grant))

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = True
        self._waiting.clear()
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            stream.on_end()

    def close(self) -> None:
        """Drop the connection; calls in flight end without an answer."""
        if self._transport is not None:
            self._transport.abort()

    @property
    def closed(self) -> bool:
        return self._closed

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        offset, size = 0, len(received)
        while size - offset >= 9:
            high, low, kind, flags, number = _header.unpack_from(received, offset)
            end = offset + 9 + (high << 16 | low)
            if end > size:
                break
            if kind == _DATA:
                self._data(number, bytes(memoryview(received)[offset + 9 : end]), flags)
            elif kind == _HEADERS:
                if flags & _END_STREAM:
                    self._end(number)
            else:
                self._control(kind, flags, number, bytes(received[offset + 9 : end]))
            offset = end
        del received[:offset]

    def _data(self, number: int, payload: bytes, flags: int) -> None:
        self._credit += len(payload)
        if self._credit >= _CREDIT_BYTES and self._transport is not None:
            self._transport.write(frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", self._credit)))
            self._credit = 0
        if flags & _PADDED:
            payload = payload[1 : len(payload) - payload[0]]
        stream = self._streams.get(number)
        if stream is not None:
            stream.feed(payload)
        if flags & _END_STREAM:
            self._end(number)

    def _end(self, number: int) -> None:
        stream = self._streams.pop(number, None)
        if stream is not None:
            stream.on_end()

    def _control(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        assert self._transport is not None
        if kind == _SETTINGS and not flags & _ACK:
            self._settings(payload)
            self._transport.write(frame(_SETTINGS, _ACK, 0, b""))
            self._flush()
        elif kind == _PING and not flags & _ACK:
            self._transport.write(frame(_PING, _ACK, 0, payload))
        elif kind == _WINDOW_UPDATE:
            (grant,) = struct.unpack(">I", payload)
            stream = self._streams.get(number)
            if number == 0:
                self._window += grant
            elif stream is not None:
                stream.window += grant
            self._flush()
        elif kind == _RST_STREAM:
            self._end(number)
        elif kind == _GOAWAY:
            self._transport.close()

    def _settings(self, payload: bytes) -> None:
        for name, value in struct.iter_unpack(">HI", payload):
            if name == 0x4:
                for stream in self._streams.values():
                    stream.window += value - self._stream_window
                self._stream_window = value


def frame(kind: int, flags: int, number: int, payload: bytes) -> bytes:
    """One HTTP/2 frame (RFC 9113 section 4.1)."""
    return _header.pack(len(payload) >> 16, len(payload) & 0xFFFF, kind, flags, number) + payload


_blocks: dict[str, bytes] = {}


def header_block(path: str) -> bytes:
    """The request headers in HPACK without the dynamic table and without Huffman codes (RFC 7541 section 6)."""
    block = _blocks.get(path)
    if block is None:
        block = _blocks[path] = b"".join(
            (
                b"\x83\x86",  # :method POST, :scheme http: entries 3 and 6 of the static table
                b"\x04" + _text(path),  # :path, name of entry 4
                b"\x01" + _text("127.0.0.1"),  # :authority, name of entry 1
                b"\x0f\x10" + _text("application/grpc"),  # content-type, name of entry 31
                b"\x00" + _text("te") + _text("trailers"),
            )
        )
    return block


def _text(value: str) -> bytes:
    encoded = value.encode()
    if len(encoded) > 126:
        raise ValueError(f"header of {len(encoded)} bytes")
    return bytes((len(encoded),)) + encoded
