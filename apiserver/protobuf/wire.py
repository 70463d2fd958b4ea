"""The wire format of protobuf, read with a bound on everything.

A message is a run of fields: a key (number and wire type), then a varint, four or eight bytes, or a length and that
many bytes. Nothing is copied but the leaves, and no byte is looked at more than once per level, so the work grows with
the length of the body times its depth and with nothing else. Groups, which Kubernetes never sends, are refused.
Source: the encoding page of the public protobuf documentation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

VARINT = 0
FIXED64 = 1
BYTES = 2
FIXED32 = 5

_FIXED_SIZES = {FIXED64: 8, FIXED32: 4}
_VARINT_BITS_MAX = 70  # ten bytes of seven bits
_NAMES = {VARINT: "a number", FIXED64: "eight bytes", BYTES: "a text or message", FIXED32: "four bytes"}


class WireError(Exception):
    """What is wrong with the body; who reads a field adds its name in front of `path`."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.path = ""

    def within(self, name: str) -> WireError:
        separator = "." if self.path and not self.path.startswith("[") else ""
        self.path = f"{name}{separator}{self.path}"
        return self


class Piece(NamedTuple):
    """One field as it lies in the body. A varint's `value` is its number; else the content is `data[value:stop]`."""

    number: int
    wire_type: int
    value: int
    stop: int


class Wire:
    """One body. `depth_max` bounds nested messages, `fields_max` the fields of all messages together."""

    def __init__(self, data: bytes, *, depth_max: int, fields_max: int) -> None:
        self.data = data
        self._depth_left = self._depth_max = depth_max
        self._fields_left = self._fields_max = fields_max

    def fields(self, at: int, end: int) -> Iterator[Piece]:
        """The fields of the message that lies in `data[at:end]`, to be used up. Raises WireError."""
        if self._depth_left == 0:
            raise WireError(f"it is nested deeper than {self._depth_max} levels")
        self._depth_left -= 1
        data = self.data
        while at < end:
            if self._fields_left == 0:
                raise WireError(f"it holds more than {self._fields_max} values")
            self._fields_left -= 1
            if data[at] < 0x80:  # most keys are one byte
                key, at = data[at], at + 1
            else:
                key, at = self.varint(at, end)
            number, wire_type = key >> 3, key & 7
            if not 0 < number < 1 << 29:
                raise WireError(f"no field can have the number {number}")
            if wire_type == VARINT:
                value, at = self.varint(at, end)
                yield Piece(number, VARINT, value, at)
            else:
                at, stop = self._content(wire_type, at, end)
                yield Piece(number, wire_type, at, stop)
                at = stop
        self._depth_left += 1

    def _content(self, wire_type: int, at: int, end: int) -> tuple[int, int]:
        """Where the content of a field begins and ends."""
        if wire_type == BYTES:
            size, at = self.varint(at, end)
        elif wire_type in _FIXED_SIZES:
            size = _FIXED_SIZES[wire_type]
        else:
            raise WireError(f"fields of wire type {wire_type} have no meaning here")
        if size > end - at:
            raise WireError("it is cut short")
        return at, at + size

    def varint(self, at: int, end: int) -> tuple[int, int]:
        """An unsigned number of up to 64 bits, and where it ends. Raises WireError."""
        value = shift = 0
        while at < end:
            byte = self.data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if value >> 64 or shift > _VARINT_BITS_MAX:
                raise WireError("a number has more than 64 bits")
            if byte < 0x80:
                return value, at
        raise WireError("it is cut short")

    def integers(self, piece: Piece) -> list[int]:
        """Signed numbers of a repeated field: one, or many packed into one piece."""
        if piece.wire_type != BYTES:
            return [self.integer(piece)]
        found = []
        at = piece.value
        while at < piece.stop:
            if self._fields_left == 0:
                raise WireError(f"it holds more than {self._fields_max} values")
            self._fields_left -= 1
            value, at = self.varint(at, piece.stop)
            found.append(_signed(value))
        return found

    def integer(self, piece: Piece) -> int:
        """A signed number of up to 64 bits. Raises WireError."""
        _expect(piece, VARINT)
        return _signed(piece.value)

    def content(self, piece: Piece) -> bytes:
        """The bytes of a text, of bytes or of a message. Raises WireError."""
        _expect(piece, BYTES)
        return self.data[piece.value : piece.stop]

    def text(self, piece: Piece) -> str:
        """A text. Raises WireError for what is not UTF-8."""
        try:
            return self.content(piece).decode("utf-8")
        except UnicodeDecodeError:
            raise WireError("the text is not UTF-8") from None

    def message(self, piece: Piece) -> Iterator[Piece]:
        """The fields of a nested message. Raises WireError."""
        _expect(piece, BYTES)
        return self.fields(piece.value, piece.stop)


def _expect(piece: Piece, wire_type: int) -> None:
    if piece.wire_type != wire_type:
        raise WireError(f"must be {_NAMES[wire_type]}, not {_NAMES[piece.wire_type]}")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
