"""Values of JSON brought into the shape of a type: without nulls, and without fields the type does not have.

In Kubernetes null means absent. Unknown fields are named, so that a server can refuse them or warn of them, and a
client can read what a newer server sent.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec

Cleaner = Callable[[Any, str, list[str]], Any]


@cache
def cleaner(type_: Any) -> Cleaner:
    """`clean(value, path, unknown)`: the value without nulls and unknown fields, which are added to `unknown`."""
    origin = typing.get_origin(type_)
    arguments = typing.get_args(type_)
    if origin is typing.Annotated:
        return cleaner(arguments[0])
    if origin is list:
        return _list_cleaner(arguments[0])
    if origin is dict:
        return _map_cleaner(arguments[1])
    if arguments:  # a union: at most one member is a struct, a list or a map
        for member in arguments:
            inner = _unwrapped(member)
            if typing.get_origin(inner) in (list, dict) or _is_struct(inner):
                return cleaner(inner)
    if _is_struct(type_):
        return _struct_cleaner(type_)
    return lambda value, _path, _unknown: value


def _unwrapped(type_: Any) -> Any:
    return typing.get_args(type_)[0] if typing.get_origin(type_) is typing.Annotated else type_


def _is_struct(type_: Any) -> bool:
    return isinstance(type_, type) and issubclass(type_, msgspec.Struct)


def _list_cleaner(item: Any) -> Cleaner:
    clean_item: Cleaner | None = None

    def clean(value: Any, path: str, unknown: list[str]) -> Any:
        nonlocal clean_item
        if not isinstance(value, list):
            return value
        if clean_item is None:  # late: types refer to themselves
            clean_item = cleaner(item)
        return [clean_item(each, f"{path}[{index}]", unknown) for index, each in enumerate(value)]

    return clean


def _map_cleaner(item: Any) -> Cleaner:
    clean_item = cleaner(item)
    zero: Any = "" if _unwrapped(item) is str else None

    def clean(value: Any, path: str, unknown: list[str]) -> Any:
        if not isinstance(value, dict):
            return value
        return {
            key: zero if each is None else clean_item(each, f"{path}[{key}]", unknown) for key, each in value.items()
        }

    return clean


def _struct_cleaner(type_: Any) -> Cleaner:
    hints = typing.get_type_hints(type_, include_extras=True)
    names = {field.encode_name: field.name for field in msgspec.structs.fields(type_)}
    cleaners: dict[str, Cleaner] = {}

    def clean(value: Any, path: str, unknown: list[str]) -> Any:
        if not isinstance(value, dict):
            return value
        cleaned = {}
        for key, each in value.items():
            name = names.get(key)
            where = f"{path}.{key}" if path else key
            if name is None:
                unknown.append(where)
            elif each is not None:
                inner = cleaners.get(key)
                if inner is None:
                    inner = cleaners[key] = cleaner(hints[name])
                cleaned[key] = inner(each, where, unknown)
        return cleaned

    return clean
