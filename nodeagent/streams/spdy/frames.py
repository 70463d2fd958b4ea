"""What is on the wire: frames, each a head of eight bytes and a body.

A control frame is read as a whole and may have CONTROL_BYTES_MAX. A data frame may have 16 MiB, and is given on in
parts as they come: between two calls a reader holds less than one control frame.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec

from .headers import HeaderError, HeaderPacker, HeaderUnpacker

VERSION = 3
CONTROL_BYTES_MAX = 32 * 1024
DATA_BYTES_MAX = 32 * 1024  # of one data frame that we write
WINDOW_MAX = (1 << 31) - 1

_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _HEADERS, _WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9
_CONTROL, _FINISHED, _ONE_WAY = 1 << 31, 1, 2
_ID = 0x7FFFFFFF
_HEAD = struct.Struct(">II")
_WORD = struct.Struct(">I")
_OPENING = struct.Struct(">IIBB")

#: Why a stream was reset, and why everything ends (GOAWAY).
PROTOCOL_ERROR, INVALID_STREAM, REFUSED_STREAM, CANCEL, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 1, 2, 3, 5, 6, 7
GOODBYE_OK, GOODBYE_PROTOCOL_ERROR = 0, 1

INITIAL_WINDOW_SIZE = 7  # of settings


class ProtocolError(Exception):
    """The other side does not speak SPDY/3.1, or breaks a bound: the connection is over."""


class SynStream(msgspec.Struct, frozen=True, kw_only=True):
    stream_id: int
    headers: dict[str, str]
    finished: bool = False
    one_way: bool = False  # the other side may not answer


class SynReply(msgspec.Struct, frozen=True, kw_only=True):
    stream_id: int
    headers: dict[str, str]
    finished: bool = False


class Headers(msgspec.Struct, frozen=True, kw_only=True):
    stream_id: int
    headers: dict[str, str]
    finished: bool = False


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """As read: a part of one, perhaps."""

    stream_id: int
    data: bytes
    finished: bool = False


class RstStream(msgspec.Struct, frozen=True, kw_only=True):
    stream_id: int
    status: int


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    values: dict[int, int]


class Ping(msgspec.Struct, frozen=True, kw_only=True):
    ping_id: int


class GoAway(msgspec.Struct, frozen=True, kw_only=True):
    last_stream_id: int
    status: int = GOODBYE_OK


class WindowUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """Of the whole session when `stream_id` is 0."""

    stream_id: int
    delta: int


Frame = SynStream | SynReply | Headers | Data | RstStream | Settings | Ping | GoAway | WindowUpdate


class FrameWriter:
    """Frames must go out in the order they were written: headers are compressed with those before."""

    def __init__(self) -> None:
        self._packer = HeaderPacker()

    def write(self, frame: Frame) -> bytes:
        match frame:
            case Data():
                flags = _FINISHED if frame.finished else 0
                return _HEAD.pack(frame.stream_id, flags << 24 | len(frame.data)) + frame.data
            case SynStream():
                flags = (_FINISHED if frame.finished else 0) | (_ONE_WAY if frame.one_way else 0)
                opening = _OPENING.pack(frame.stream_id, 0, 0, 0)
                return _control(_SYN_STREAM, flags, opening + self._packer.pack(frame.headers))
            case SynReply() | Headers():
                kind = _SYN_REPLY if isinstance(frame, SynReply) else _HEADERS
                body = _WORD.pack(frame.stream_id) + self._packer.pack(frame.headers)
                return _control(kind, _FINISHED if frame.finished else 0, body)
            case Settings():
                pairs = b"".join(_HEAD.pack(number, value) for number, value in frame.values.items())
                return _control(_SETTINGS, 0, _WORD.pack(len(frame.values)) + pairs)
            case Ping():
                return _control(_PING, 0, _WORD.pack(frame.ping_id))
            case RstStream():
                return _control(_RST_STREAM, 0, _HEAD.pack(frame.stream_id, frame.status))
            case GoAway():
                return _control(_GOAWAY, 0, _HEAD.pack(frame.last_stream_id, frame.status))
            case WindowUpdate():
                return _control(_WINDOW_UPDATE, 0, _HEAD.pack(frame.stream_id, frame.delta))


def _control(kind: int, flags: int, body: bytes) -> bytes:
    return _HEAD.pack(_CONTROL | VERSION << 16 | kind, flags << 24 | len(body)) + body


class FrameReader:
    """After a ProtocolError it is of no more use."""

    def __init__(self) -> None:
        self._unpacker = HeaderUnpacker()
        self._unread = bytearray()
        self._stream_id = 0  # of the data frame we are in; 0: in none
        self._left = 0
        self._finishes = False

    @property
    def held(self) -> int:
        """Bytes that wait for more."""
        return len(self._unread)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Every frame that is complete, and what there is of a data frame. Take all. Raises ProtocolError."""
        self._unread += data
        while True:
            if not self._stream_id and not self._begin():
                return
            frame = self._part() if self._stream_id else self._whole()
            if frame is not None:
                yield frame
            elif self._stream_id:
                return

    def _head(self) -> tuple[int, int]:
        first, second = _HEAD.unpack_from(self._unread)
        return int(first), int(second)

    def _begin(self) -> bool:
        """Whether a frame can be read: all of a control frame is there, or the head of a data frame was taken."""
        if len(self._unread) < _HEAD.size:
            return False
        first, second = self._head()
        length = second & 0xFFFFFF
        if first & _CONTROL:
            if first >> 16 & 0x7FFF != VERSION:
                raise ProtocolError("not version 3 of SPDY")
            if length > CONTROL_BYTES_MAX:
                raise ProtocolError(f"a control frame of {length} bytes")
            return len(self._unread) >= _HEAD.size + length
        if not first:
            raise ProtocolError("data of no stream")
        del self._unread[: _HEAD.size]
        self._stream_id, self._left, self._finishes = first, length, bool(second >> 24 & _FINISHED)
        return True

    def _part(self) -> Data | None:
        """Of the data frame we are in; None when more has to come first."""
        data = bytes(self._unread[: self._left])
        if self._left and not data:
            return None
        del self._unread[: len(data)]
        self._left -= len(data)
        stream_id = self._stream_id
        if self._left:
            return Data(stream_id=stream_id, data=data)
        self._stream_id = 0
        return Data(stream_id=stream_id, data=data, finished=self._finishes)

    def _whole(self) -> Frame | None:
        """A control frame; None for one of a kind that nobody knows."""
        first, second = self._head()
        end = _HEAD.size + (second & 0xFFFFFF)
        body = bytes(self._unread[_HEAD.size : end])
        del self._unread[:end]
        try:
            return self._parsed(first & 0xFFFF, second >> 24, body)
        except struct.error:
            raise ProtocolError("a control frame has the wrong length") from None
        except HeaderError as error:
            raise ProtocolError(str(error)) from None

    def _parsed(self, kind: int, flags: int, body: bytes) -> Frame | None:
        finished = bool(flags & _FINISHED)
        if kind == _SYN_STREAM:
            stream_id = _OPENING.unpack_from(body)[0] & _ID
            headers = self._unpacker.unpack(body[_OPENING.size :])
            return SynStream(stream_id=stream_id, headers=headers, finished=finished, one_way=bool(flags & _ONE_WAY))
        if kind in (_SYN_REPLY, _HEADERS):
            stream_id = _WORD.unpack_from(body)[0] & _ID
            headers = self._unpacker.unpack(body[_WORD.size :])
            made = SynReply if kind == _SYN_REPLY else Headers
            return made(stream_id=stream_id, headers=headers, finished=finished)
        if kind == _SETTINGS:
            return _settings(body)
        if kind == _PING:
            return Ping(ping_id=_WORD.unpack(body)[0])
        if kind in (_RST_STREAM, _GOAWAY, _WINDOW_UPDATE):
            return _of_two(kind, *_HEAD.unpack(body))
        return None


def _settings(body: bytes) -> Settings:
    (count,) = _WORD.unpack_from(body)
    if len(body) != _WORD.size + count * _HEAD.size:
        raise ProtocolError("settings have the wrong length")
    return Settings(values={number & 0xFFFFFF: value for number, value in _HEAD.iter_unpack(body[_WORD.size :])})


def _of_two(kind: int, first: int, second: int) -> Frame:
    stream_id = first & _ID
    if kind == _RST_STREAM:
        return RstStream(stream_id=stream_id, status=second)
    if kind == _GOAWAY:
        return GoAway(last_stream_id=stream_id, status=second)
    delta = second & WINDOW_MAX
    if not delta:
        raise ProtocolError("a window is to grow by nothing")
    return WindowUpdate(stream_id=stream_id, delta=delta)
