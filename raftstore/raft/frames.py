"""What travels between two replicas, byte by byte: 4-byte length, format byte, one msgpack map.

Everything that comes in is hostile until it parsed: every size has a bound that is checked before memory
is spent on it, and whatever is wrong is a `FrameError`, never another exception. There is no pickle and no
msgpack extension type here, so bytes can become maps, arrays, strings, bytes, numbers, booleans and None,
and nothing else.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

import msgpack

from ..limits import FRAME_BYTES_MAX, FRAME_ITEMS_MAX, GREETING_BYTES_MAX
from .engine import Message

#: Version of the framing and of the hello; a frame of another version is refused by name.
FORMAT_VERSION = 1

_HEADER = struct.Struct(">IB")  # bytes after the length field; format version
_LENGTH_BYTES = 4


class FrameError(Exception):
    """Bytes that are no frame of ours. `reason` is a short constant for counters; the text is for people."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class FrameTooLarge(FrameError):
    """A message of our own that does not fit a frame."""


def _new_packer() -> Callable[[Message], bytes]:
    pack: Callable[[Message], bytes] = msgpack.Packer(use_bin_type=True).pack
    return pack


_pack = _new_packer()  # packing happens on the event loop only; a Packer of its own per message costs 3x


def encode(message: Message, *, bytes_max: int = FRAME_BYTES_MAX) -> bytes:
    """The frame of a message.

    Raises FrameTooLarge above `bytes_max` (the length field's value). A message that msgpack cannot
    hold is a defect of the caller and raises TypeError or OverflowError.
    """
    body = _pack(message)
    size = len(body) + 1
    if size > bytes_max:
        raise FrameTooLarge("oversized", f"message {message.get('type')!r} has {size} bytes, limit {bytes_max}")
    return _HEADER.pack(size, FORMAT_VERSION) + body


def _refuse_extension(code: int, data: bytes) -> Any:
    raise ValueError(f"msgpack extension type {code}")


def decode_body(body: bytes | memoryview) -> Message:
    """The message in a frame's body. Raises FrameError."""
    try:
        message = msgpack.unpackb(
            body,
            raw=False,
            strict_map_key=True,
            ext_hook=_refuse_extension,
            max_str_len=FRAME_ITEMS_MAX,
            max_bin_len=FRAME_BYTES_MAX,
            max_array_len=FRAME_ITEMS_MAX,
            max_map_len=FRAME_ITEMS_MAX,
            max_ext_len=0,
        )
    except (ValueError, msgpack.UnpackException) as error:
        raise FrameError("bad_frame", f"frame does not parse: {error}") from error
    if type(message) is not dict or type(message.get("type")) is not str:
        raise FrameError("bad_frame", 'frame is not a map with a "type"')
    return message


class FrameReader:
    """Puts a stream of bytes back together into messages.

    Holds at most `bytes_max` and one chunk. After a FrameError the stream is lost: there is no way to
    find the next frame in it, so the owner drops the connection.
    """

    __slots__ = ("_rest", "_wanted", "bytes_max")

    def __init__(self, bytes_max: int = GREETING_BYTES_MAX) -> None:
        self.bytes_max = bytes_max
        self._rest = bytearray()
        self._wanted = _HEADER.size

    @property
    def incomplete(self) -> bool:
        """A frame has begun and has not ended: at the end of a stream it was truncated."""
        return bool(self._rest)

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that `data` completes, one at a time. Raises FrameError where the stream breaks."""
        rest = self._rest
        if rest:
            rest += data
            if len(rest) < self._wanted:
                return
            data = bytes(rest)
            rest.clear()
        view = memoryview(data)
        position, end = 0, len(data)
        self._wanted = _HEADER.size
        while end - position >= _HEADER.size:
            stop = position + _LENGTH_BYTES + self._frame_size(data, position)
            if stop > end:
                self._wanted = stop - position
                break
            yield decode_body(view[position + _HEADER.size : stop])
            position = stop
        rest += view[position:]

    def _frame_size(self, data: bytes, position: int) -> int:
        size, version = _HEADER.unpack_from(data, position)
        if version != FORMAT_VERSION:
            raise FrameError(
                "unknown_format",
                f"frame of format {version}, this version reads {FORMAT_VERSION}: upgrade the older replica first",
            )
        if not 2 <= size <= self.bytes_max:
            raise FrameError("oversized", f"frame says {size} bytes, limit {self.bytes_max}")
        return int(size)
