"""What a strategic merge patch must know of a type: which lists it merges, by which key, and what their elements are.

Read from the annotations of the structs (`merge_by`, `merge_values`, `retain_keys` of apiserver.api.base), once a type.
"""

from __future__ import annotations

import typing
from functools import cache
from types import UnionType
from typing import Any, NamedTuple

import msgspec


class Field(NamedTuple):
    """One field. `merges`: a list that is merged; by `merge_key`, or as a set when that is empty."""

    shape: Shape | None = None
    merges: bool = False
    merge_key: str = ""


class Shape:
    """The fields of a struct, or the one shape all members of a map have. Unknown fields are plain JSON."""

    __slots__ = ("_fields", "_members", "_struct")

    def __init__(self, struct: type[msgspec.Struct] | None, members: Field | None = None) -> None:
        self._struct = struct
        self._members = members
        self._fields: dict[str, Field] | None = None

    def field(self, name: str) -> Field:
        if self._members is not None:
            return self._members
        if self._fields is None:  # late, because types may hold themselves
            fields = msgspec.structs.fields(self._struct) if self._struct else ()
            self._fields = {each.encode_name: _field(each.type) for each in fields}
        return self._fields.get(name, PLAIN)


PLAIN = Field()


@cache  # bounded by the number of types there are
def shape_of(struct: type[msgspec.Struct]) -> Shape:
    return Shape(struct)


def _field(annotation: Any) -> Field:
    """Of what an annotation says; of an optional one, its part that is not None."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        field = _field(arguments[0])
        for meta in arguments[1:]:
            field = _annotated(field, meta)
        return field
    if origin in (typing.Union, UnionType):
        return next((field for each in arguments if (field := _field(each)) != PLAIN), PLAIN)
    if origin is list:
        return Field(shape=_field(arguments[0]).shape)
    if origin is dict:
        members = _field(arguments[1])
        return PLAIN if members == PLAIN else Field(shape=Shape(None, members))
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return Field(shape=shape_of(annotation))
    return PLAIN


def _annotated(field: Field, meta: Any) -> Field:
    extra = meta.extra if isinstance(meta, msgspec.Meta) and meta.extra else {}
    if "merge" not in str(extra.get("patch_strategy", "")).split(","):
        return field
    return field._replace(merges=True, merge_key=extra.get("patch_merge_key", ""))
