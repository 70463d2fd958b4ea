"""The tables of field numbers cover our types, and nothing in them is there twice or for nothing."""

from __future__ import annotations

import subprocess
import sys
import typing
from collections import Counter
from typing import Any

import msgspec
import pytest
from protobuf_world import OTHER_BODIES, sendable

from apiserver.api.meta import TopObject
from apiserver.protobuf.messages import Message, message_of
from apiserver.protobuf.numbers import TABLES, group_of, row

#: They stand in the envelope.
_IN_THE_ENVELOPE = {"apiVersion", "kind"}


def _names(group: str, name: str) -> list[str]:
    """The fields of a row, with those of the rows that stand in it."""
    found: list[str] = []
    for each in row(group, name) or ():
        found.extend(_names(group, each.name) if each.inlined else [each.name])
    return found


def _types() -> list[type]:
    return sorted(sendable(), key=lambda type_: (type_.__module__, type_.__name__))


@pytest.mark.parametrize("type_", _types(), ids=lambda type_: f"{group_of(type_)}.{type_.__name__}")
def test_every_field_of_a_type_has_one_number(type_: type) -> None:
    ours = {each.encode_name for each in msgspec.structs.fields(type_)}
    if issubclass(type_, TopObject) or type_ in OTHER_BODIES:
        ours -= _IN_THE_ENVELOPE
    named = _names(group_of(type_), type_.__name__)
    assert set(named) == ours
    assert len(named) == len(set(named)), "no field stands in a row twice"
    assert message_of(type_) is not None


@pytest.mark.parametrize("group", TABLES)
def test_no_number_stands_in_a_row_twice(group: str) -> None:
    for name in TABLES[group]:
        numbers = Counter(each.number for each in row(group, name) or ())
        assert all(count == 1 for count in numbers.values()), name
        assert all(0 < number < 1 << 29 for number in numbers), name


def test_every_row_is_a_type_of_ours_or_stands_in_one() -> None:
    types = {(group_of(type_), type_.__name__) for type_ in sendable()}
    rows = {(group, name) for group, table in TABLES.items() for name in table}
    inlined = {(group, each.name) for group, name in rows for each in row(group, name) or () if each.inlined}
    assert rows == types | inlined


def test_a_field_that_is_no_union_with_none_has_the_zero_of_protobuf_as_its_default() -> None:
    """So the zeros that Go writes for fields without a pointer say just what their absence says."""
    odd = []
    for type_ in sendable():
        hints = typing.get_type_hints(type_)
        for each in msgspec.structs.fields(type_):
            default = each.default if each.default is not msgspec.NODEFAULT else each.default_factory()
            if hints[each.name] in (str, int, bool) and default:
                odd.append(f"{type_.__name__}.{each.name}")
            assert default is not None or type(None) in typing.get_args(hints[each.name])
    assert odd == []


def test_types_of_ours_nest_less_deep_than_a_body_may() -> None:
    """The readers recurse as deep as the types do."""

    def depth(hint: Any, above: tuple[type, ...]) -> int:
        deepest = max((depth(inner, above) for inner in typing.get_args(hint)), default=0)
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            assert hint not in above, "a type that holds itself"
            inner = typing.get_type_hints(hint, include_extras=True).values()
            deepest = 1 + max((depth(each, (*above, hint)) for each in inner), default=0)
        return deepest

    assert max(depth(type_, ()) for type_ in sendable() if issubclass(type_, TopObject)) < 32


def test_a_reader_is_made_once() -> None:
    type_ = OTHER_BODIES[0]
    assert isinstance(message_of(type_), Message)
    assert message_of(type_) is message_of(type_)


def test_a_server_without_such_bodies_reads_no_table() -> None:
    program = "import sys, apiserver.decode; print([m for m in sys.modules if m.startswith('apiserver.protobuf.')])"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
