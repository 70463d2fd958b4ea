"""What the tests of protobuf bodies share: a writer for bodies, recorded ones, and every type that can be sent."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Any

import msgspec

from apiserver.api.authentication import TokenRequest
from apiserver.api.autoscaling import Scale
from apiserver.api.meta import DeleteOptions
from apiserver.api.policy import Eviction
from apiserver.protobuf.body import MAGIC
from apiserver.protobuf.messages import without_none
from apiserver.registry.table import table

FIXTURES = Path(__file__).parents[1] / "fixtures" / "protobuf"
#: Bodies that have no row of their own in the table.
OTHER_BODIES: tuple[type, ...] = (DeleteOptions, Eviction, Scale, TokenRequest)


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def field(number: int, value: bytes | str | int) -> bytes:
    """A number as a varint, all else with its length before it."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def body(content: bytes, kind: str = "", api_version: str = "v1") -> bytes:
    meta = field(1, api_version) + field(2, kind)
    return MAGIC + field(1, meta) + field(2, content) + field(3, "") + field(4, "")


def recorded() -> list[str]:
    """Names of bodies that Kubernetes' own types wrote; `NAME.json` beside each says what it means."""
    return sorted(path.stem for path in FIXTURES.glob("*.bin"))


def recorded_body(name: str) -> bytes:
    return (FIXTURES / f"{name}.bin").read_bytes()


def recorded_json(name: str) -> bytes:
    return (FIXTURES / f"{name}.json").read_bytes()


def recorded_type(name: str) -> type:
    document = msgspec.json.decode(recorded_json(name))
    others = {each.__name__: each for each in OTHER_BODIES}
    kind: str = document["kind"]
    return others.get(kind) or table().of_kind(document["apiVersion"], kind).type


def kinds() -> set[type]:
    """The types of Kubernetes' own versions that can be sent; ours have no protobuf form."""
    return {row.type for row in table().rows if row.version != "v1alpha1" and not row.computed}


def sendable() -> set[type]:
    """Every struct that a body of Kubernetes' own kinds can hold."""
    found: set[type] = set()
    for each in (*kinds(), *OTHER_BODIES):
        _collect(each, found)
    return found


def _collect(hint: Any, found: set[type]) -> None:
    hint = without_none(hint)
    for inner in typing.get_args(hint):
        _collect(inner, found)
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct) and hint not in found:
        found.add(hint)
        for inner in typing.get_type_hints(hint, include_extras=True).values():
            _collect(inner, found)
