"""The small values of Kubernetes that are messages or bytes in protobuf and a text or a number in JSON.

Each reader takes one piece and gives what JSON would hold. None means absent. Raises WireError.
"""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from apiserver.api.times import micro_time_text, time_text

from .wire import Piece, Wire, WireError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NANOS_MAX = 999_999_999


def text(wire: Wire, piece: Piece, _old: Any) -> str:
    return wire.text(piece)


def integer(wire: Wire, piece: Piece, _old: Any) -> int:
    return wire.integer(piece)


def boolean(wire: Wire, piece: Piece, _old: Any) -> bool:
    return wire.integer(piece) != 0


def base64_text(wire: Wire, piece: Piece, _old: Any) -> str:
    return b64encode(wire.content(piece)).decode("ascii")


def quantity(wire: Wire, piece: Piece, _old: Any) -> str:
    """Quantity{string=1}; empty is zero."""
    found = ""
    for field in wire.message(piece):
        if field.number == 1:
            found = wire.text(field)
    return found or "0"


def int_or_string(wire: Wire, piece: Piece, _old: Any) -> int | str:
    """IntOrString{type=1, intVal=2, strVal=3}; type 1 is the text."""
    is_text, number, found = 0, 0, ""
    for field in wire.message(piece):
        if field.number == 1:
            is_text = wire.integer(field)
        elif field.number == 2:
            number = wire.integer(field)
        elif field.number == 3:
            found = wire.text(field)
    if is_text not in (0, 1):
        raise WireError(f"must be a number (type 0) or a text (type 1), not of type {is_text}")
    return found if is_text else number


def moment(wire: Wire, piece: Piece, _old: Any) -> str | None:
    """A Time, Timestamp{seconds=1, nanos=2}. An empty message is Go's zero time: absent in JSON."""
    found = _timestamp(wire, piece)
    return None if found is None else time_text(found)


def micro_moment(wire: Wire, piece: Piece, _old: Any) -> str | None:
    """A MicroTime, to the microsecond."""
    found = _timestamp(wire, piece)
    return None if found is None else micro_time_text(found)


def _timestamp(wire: Wire, piece: Piece) -> datetime | None:
    seconds, nanos, empty = 0, 0, True
    for field in wire.message(piece):
        empty = False
        if field.number == 1:
            seconds = wire.integer(field)
        elif field.number == 2:
            nanos = wire.integer(field)
    if empty:
        return None
    if not 0 <= nanos <= _NANOS_MAX:
        raise WireError(f"the nanoseconds of a time must be between 0 and {_NANOS_MAX}")
    try:
        return _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)
    except OverflowError:
        raise WireError("the time lies outside the years 1 to 9999") from None


def json_value(wire: Wire, piece: Piece, _old: Any) -> Any:
    """FieldsV1{Raw=1} and RawExtension{raw=1}: JSON within; empty is absent."""
    raw = b""
    for field in wire.message(piece):
        if field.number == 1:
            raw = wire.content(field)
    if not raw:
        return None
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise WireError("its content is not valid JSON") from None


def text_list(wire: Wire, piece: Piece, _old: Any) -> list[str]:
    """ExtraValue{items=1}: protobuf has no map of lists."""
    return [wire.text(field) for field in wire.message(piece) if field.number == 1]
