"""Readers of messages, made from our structs and the table of numbers: once for each type, when it first comes.

What is read of a field follows from the type of the struct's field, so a table holds nothing but numbers. A number
without a field is skipped, as protobuf wants it. Go writes the zero of every field that is no pointer; those stay in
the values, because our structs hold the same zeros as their defaults (a test sees to it), and a field that tells
"absent" from "zero" is a pointer in Go and is sent only when it is set.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from copy import copy
from functools import cache
from typing import Any

import msgspec

from . import scalars
from .numbers import Numbered, group_of, row
from .wire import BYTES, Piece, Wire, WireError

#: One occurrence of a field, and the value that an earlier one left (None: there was none). Raises WireError.
Read = Callable[[Wire, Piece, Any], Any]
#: Puts one occurrence of a field into the values of its message.
Take = Callable[[Wire, Piece, dict[str, Any]], None]

_BY_FORMAT: dict[str, Read] = {
    "quantity": scalars.quantity,
    "byte": scalars.base64_text,
    "date-time": scalars.moment,
}
_BY_TYPE: dict[Any, Read] = {
    str: scalars.text,
    int: scalars.integer,
    bool: scalars.boolean,
    Any: scalars.json_value,
}
_EMPTY = Wire(b"", depth_max=1, fields_max=0)


class Message:
    """Reads a message into the values of an object; of a field that comes twice the later one wins, messages merge."""

    def __init__(self, takes: dict[int, tuple[str, Take]]) -> None:
        self.takes = takes

    def read(self, wire: Wire, piece: Piece, old: Any) -> dict[str, Any]:
        values: dict[str, Any] = {} if old is None else old
        for field in wire.message(piece):
            name, take = self.takes.get(field.number, ("", None))
            if take is None:
                continue
            try:
                take(wire, field, values)
            except WireError as error:
                raise error.within(name) if name else error from None
        return values


@cache
def message_of(type_: type) -> Message | None:
    """The reader of a struct's message; None for a type that has no protobuf form."""
    group = group_of(type_)
    numbered = row(group, type_.__name__)
    if numbered is None:
        return None
    hints = typing.get_type_hints(type_, include_extras=True)
    names = {field.encode_name: field.name for field in msgspec.structs.fields(type_)}
    return _message(group, numbered, {name: hints[python_name] for name, python_name in names.items()})


def _message(group: str, numbered: tuple[Numbered, ...], hints: dict[str, Any]) -> Message:
    takes: dict[int, tuple[str, Take]] = {}
    for each in numbered:
        if each.inlined:
            takes[each.number] = ("", _take_inlined(_message(group, _inlined(group, each.name), hints)))
        elif each.name in hints:  # a row that is inlined in several places has fields that some of them lack
            takes[each.number] = (each.name, _take(each.name, hints[each.name]))
    return Message(takes)


def _inlined(group: str, name: str) -> tuple[Numbered, ...]:
    found = row(group, name)
    if found is None:
        raise LookupError(f"no row of field numbers for {name}")
    return found


def _take_inlined(message: Message) -> Take:
    def take(wire: Wire, piece: Piece, values: dict[str, Any]) -> None:
        message.read(wire, piece, values)

    return take


def _take(name: str, hint: Any) -> Take:
    hint = without_none(hint)
    plain = _plain(hint)
    arguments = typing.get_args(plain)
    if typing.get_origin(plain) is list:
        return _take_repeated(name, arguments[0])
    if typing.get_origin(plain) is dict and arguments[1] is not Any:
        return _take_entry(name, arguments[1])
    read = _read(hint)

    def take(wire: Wire, piece: Piece, values: dict[str, Any]) -> None:
        values[name] = read(wire, piece, values.get(name))

    return take


def _take_repeated(name: str, hint: Any) -> Take:
    read = _read(hint)
    if read is scalars.integer:
        return lambda wire, piece, values: values.setdefault(name, []).extend(wire.integers(piece))

    def take(wire: Wire, piece: Piece, values: dict[str, Any]) -> None:
        found = values.setdefault(name, [])
        try:
            found.append(read(wire, piece, None))
        except WireError as error:
            raise error.within(f"[{len(found)}]") from None

    return take


def _take_entry(name: str, hint: Any) -> Take:
    """Maps come as entries {key=1, value=2}; a part that is left out is the zero of its type."""
    is_list = typing.get_origin(_plain(hint)) is list
    read = scalars.text_list if is_list else _read(hint)
    zero = read(_EMPTY, Piece(2, BYTES, 0, 0), None)

    def take(wire: Wire, piece: Piece, values: dict[str, Any]) -> None:
        key, value = "", copy(zero)
        for field in wire.message(piece):
            if field.number == 1:
                key = wire.text(field)
            elif field.number == 2:
                try:
                    value = read(wire, field, None)
                except WireError as error:
                    raise error.within(f"[{key}]") from None
        values.setdefault(name, {})[key] = value

    return take


def _read(hint: Any) -> Read:
    """How one value of a type is read."""
    hint = without_none(hint)
    if typing.get_origin(hint) is typing.Annotated:
        extra = _extra(hint)
        if extra.get("micro"):
            return scalars.micro_moment
        found = _BY_FORMAT.get(extra.get("format", ""))
        if found is not None:
            return found
    plain = _plain(hint)
    if isinstance(plain, type) and issubclass(plain, msgspec.Struct):
        return _read_message(plain)
    if typing.get_origin(plain) is dict:  # of Any: JSON within
        return scalars.json_value
    if typing.get_args(plain):  # the one union there is
        return scalars.int_or_string
    return _BY_TYPE[plain]


def _read_message(type_: type) -> Read:
    """Looked up when it is first read: a pod's type need not be known to read a Secret."""

    def read(wire: Wire, piece: Piece, old: Any) -> Any:
        message = message_of(type_)
        if message is None:
            raise LookupError(f"no row of field numbers for {type_.__name__}")
        return message.read(wire, piece, old)

    return read


def without_none(hint: Any) -> Any:
    """`Time | None` → `Time`."""
    members = [each for each in typing.get_args(hint) if each is not type(None)]
    if typing.get_origin(hint) in (typing.Annotated, list, dict) or len(members) == len(typing.get_args(hint)):
        return hint
    return typing.Union[tuple(members)]  # noqa: UP007 - the members are known only here


def _plain(hint: Any) -> Any:
    return typing.get_args(hint)[0] if typing.get_origin(hint) is typing.Annotated else hint


def _extra(hint: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for meta in typing.get_args(hint)[1:]:
        if isinstance(meta, msgspec.Meta) and meta.extra:
            found.update(meta.extra)
    return found
