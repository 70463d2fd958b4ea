"""The order of a merged list: the patch's among what it names, the old one among the rest, and old neighbours kept.

As Kubernetes does it: both orders are merged; an element only the server knows goes before one of the patch when it
stood before it, and after what is new.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")
Scalar = str | int | float | None
#: A value in a form that can be hashed and does not confuse 1 with true.
Identity = tuple[bool, Scalar]


def identity(value: Scalar) -> Identity:
    return isinstance(value, bool), value


def ranks(keys: Sequence[Identity]) -> dict[Identity, int]:
    """Where each key stands; the first place counts."""
    found: dict[Identity, int] = {}
    for index, key in enumerate(keys):
        found.setdefault(key, index)
    return found


def ordered(groups: dict[Identity, list[T]], *, wanted: Sequence[Identity], before: Sequence[Identity]) -> list[T]:
    """The elements of `groups` (by key) in their order: `wanted` is the patch's, `before` that of the old list."""
    old, new = ranks(before), ranks(wanted)
    named = [key for key in new if key in groups]
    others = sorted((key for key in groups if key not in new), key=lambda key: old.get(key, len(old)))
    result: list[T] = []
    position = 0
    for key in others:
        while position < len(named) and not _stood_before(key, named[position], old):
            result += groups[named[position]]
            position += 1
        result += groups[key]
    for key in named[position:]:
        result += groups[key]
    return result


def _stood_before(one: Identity, other: Identity, old: dict[Identity, int]) -> bool:
    return one in old and other in old and old[one] < old[other]
