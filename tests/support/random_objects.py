"""Random objects of any struct type of the API, for properties: well-typed, not necessarily valid.

Names come from a small alphabet, so that lists meet the same names again and again.
"""

from __future__ import annotations

import typing
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar

import msgspec
from hypothesis import strategies as st

T = TypeVar("T", bound=msgspec.Struct)
FIELDS_MAX = 5  # set at once in one struct, beside those asked for
DEPTH_MAX = 6  # types refer to themselves

WORDS = st.sampled_from(["a", "b", "c", "100m", "128Mi", "TCP"])
_SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    str: WORDS,
    int: st.integers(0, 3),
    float: st.sampled_from([0.5, 1.5]),
    bool: st.booleans(),
    Any: st.just({"f:a": {}}),
}


@cache
def _hints(type_: type[msgspec.Struct]) -> dict[str, Any]:
    return typing.get_type_hints(type_)


def values(hint: Any, depth: int = 0) -> st.SearchStrategy[Any]:
    """Values of a field's type; None where it may be."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in _SCALARS:
        return _SCALARS[hint]
    if hint is NoneType:
        return st.none()
    if origin in (UnionType, typing.Union):
        return st.one_of([values(each, depth) for each in arguments])
    if origin is typing.Annotated:
        return values(arguments[0], depth)
    if origin is list:
        return st.lists(values(arguments[0], depth + 1), max_size=3)
    if origin is dict:
        return st.dictionaries(WORDS, values(arguments[1], depth + 1), max_size=3)
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return st.just(hint()) if depth > DEPTH_MAX else objects(hint, depth=depth + 1)
    raise TypeError(f"no values for {hint}")


@st.composite
def objects(
    draw: st.DrawFn, /, type_: type[T], *, always: tuple[str, ...] = (), depth: int = 0, **given: st.SearchStrategy[Any]
) -> T:
    """Objects of a type: some fields filled, `always` among them, and `given` ones from strategies of the caller's."""
    hints = _hints(type_)
    free = sorted(set(hints) - set(given) - set(always))
    chosen = draw(st.lists(st.sampled_from(free), unique=True, max_size=FIELDS_MAX)) if free else []
    fields = {name: draw(values(hints[name], depth)) for name in (*chosen, *always)}
    return type_(**fields, **{name: draw(strategy) for name, strategy in given.items()})
