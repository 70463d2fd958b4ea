"""Every moment an object holds, brought into the one form that is stored, whatever type the object has.

Clients write moments with offsets and fractions; what is stored is UTC, to the second or to the microsecond, so that
equal moments are equal text. A text that is no moment is refused like JSON that does not fit its type.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec

from .errors import BadRequest
from .times import canonical_micro_time, canonical_time

#: Changes the moments of a value in place and gives it back; a moment itself is replaced.
_Change = Callable[[Any, str], Any]


def canonical_moments(obj: msgspec.Struct) -> None:
    """In place. Raises BadRequest naming the field of a text that is no moment."""
    change = _of(type(obj))
    if change is not None:
        change(obj, "")


@cache
def _of(hint: Any) -> _Change | None:
    """What to do with values of a type; None when none of them can hold a moment."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _annotated(arguments)
    if origin is list:
        return _list(_of(arguments[0]))
    if origin is dict:
        return _map(_of(arguments[1]))
    if arguments:  # a union: no type of ours has two members with moments
        return next((change for change in map(_of, arguments) if change is not None), None)
    return _struct(hint) if isinstance(hint, type) and issubclass(hint, msgspec.Struct) else None


def _annotated(arguments: tuple[Any, ...]) -> _Change | None:
    for meta in arguments[1:]:
        extra = meta.extra if isinstance(meta, msgspec.Meta) else None
        if extra and extra.get("format") == "date-time":
            return _moment(canonical_micro_time if extra.get("micro") else canonical_time)
    return _of(arguments[0])


def _moment(canonical: Callable[[str], str]) -> _Change:
    def change(value: Any, path: str) -> Any:
        if not value:  # absent, or the empty text that some clients write for it
            return None
        try:
            return canonical(value)
        except ValueError as error:
            raise BadRequest(f"{path}: {error}") from None

    return change


def _list(inner: _Change | None) -> _Change | None:
    if inner is None:
        return None

    def change(value: Any, path: str) -> Any:
        for index, item in enumerate(value or ()):
            value[index] = inner(item, f"{path}[{index}]")
        return value

    return change


def _map(inner: _Change | None) -> _Change | None:
    if inner is None:
        return None

    def change(value: Any, path: str) -> Any:
        for key, item in (value or {}).items():
            value[key] = inner(item, f"{path}[{key}]")
        return value

    return change


def _struct(type_: type[msgspec.Struct]) -> _Change | None:
    hints = typing.get_type_hints(type_, include_extras=True)
    found = [(field.name, field.encode_name, _of(hints[field.name])) for field in msgspec.structs.fields(type_)]
    changes = [(name, json_name, inner) for name, json_name, inner in found if inner is not None]
    if not changes:
        return None

    def change(value: Any, path: str) -> Any:
        for name, json_name, inner in changes if value is not None else ():
            part = getattr(value, name)
            if part:  # structs are always true
                setattr(value, name, inner(part, f"{path}.{json_name}" if path else json_name))
            elif part == "":
                setattr(value, name, None)
        return value

    return change
