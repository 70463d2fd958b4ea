"""Our structs beside the models of the official client: which fields each has, and what they hold."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Collection, Iterator
from typing import Any

import kubernetes.client.models as models
import msgspec

from apiserver.api.base import Object

SCALARS: dict[str, set[Any]] = {
    "str": {str},
    "datetime": {str},
    "bytes": {str},
    "int": {int},
    "bool": {bool},
    "object": {int, str},
}

FREE_FORM = ("object", [dict[str, Any]])


def bare(hint: Any) -> list[Any]:
    """What a field may hold, without Annotated and None."""
    if typing.get_origin(hint) is typing.Annotated:
        return bare(typing.get_args(hint)[0])
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return [each for member in typing.get_args(hint) if member is not types.NoneType for each in bare(member)]
    return [hint]


def pairs_of(
    model: str, type_: type[Object], elsewhere: Collection[str] = ()
) -> Iterator[tuple[str, type[Object], str, str, Any]]:
    """Every field of the type and of the types below it: model, struct, JSON name, the model's type, our hint.

    Models named in `elsewhere` are left out, with what is below them.
    """
    waiting, seen = [(model, type_)], set()
    while waiting:
        name, struct = waiting.pop()
        if name in seen or name in elsewhere:
            continue
        seen.add(name)
        theirs = getattr(models, name)
        hints = typing.get_type_hints(struct, include_extras=True)
        ours = {field.encode_name: hints[field.name] for field in msgspec.structs.fields(struct)}
        for python_name, kind in theirs.openapi_types.items():
            json_name = theirs.attribute_map[python_name]
            yield name, struct, json_name, kind, ours.get(json_name)
            inner = re.sub(r"^(?:List\[|Dict\[str, |list\[|dict\(str, )|[\])]$", "", kind)
            if hasattr(models, inner) and json_name in ours:
                waiting.append((inner, struct_in(ours[json_name])))


def struct_in(hint: Any) -> type[Object]:
    (inner,) = bare(hint)
    if typing.get_origin(inner) in (list, dict):
        return struct_in(typing.get_args(inner)[-1])
    assert isinstance(inner, type)
    assert issubclass(inner, Object)
    return inner


def fits(kind: str, hint: Any) -> bool:
    """Whether a value of the model's type is one of ours. Quantities are text in the models and more in ours."""
    held = bare(hint)
    if kind.startswith("List["):
        return len(held) == 1 and typing.get_origin(held[0]) is list and fits(kind[5:-1], typing.get_args(held[0])[0])
    if kind.startswith("Dict["):
        inner = kind.removeprefix("Dict[str, ")[:-1]
        return len(held) == 1 and typing.get_origin(held[0]) is dict and fits(inner, typing.get_args(held[0])[1])
    if kind in SCALARS:
        return SCALARS[kind] <= set(held) or (kind, held) == FREE_FORM
    return len(held) == 1 and isinstance(held[0], type) and issubclass(held[0], Object)


def docstrings(struct: type[Object]) -> str:
    return "\n".join(base.__doc__ or "" for base in struct.__mro__ if issubclass(base, Object))
