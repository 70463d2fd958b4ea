"""What the patches share: plain JSON values, how deep they may be, when two are the same, where one differs.

Values are what `msgspec.json.decode` gives: dict, list, str, int, float, bool, None.
"""

from __future__ import annotations

from typing import Any

from apiserver.api.errors import BadRequest
from apiserver.decode import DEPTH_MAX


def check_depth(value: Any, *, what: str) -> None:
    """BadRequest when it is nested deeper than a document may be. Does not recurse."""
    pending = [(value, 1)]
    while pending:
        container, depth = pending.pop()
        if not isinstance(container, dict | list):
            continue
        if depth > DEPTH_MAX:
            raise BadRequest(f"{what} is nested deeper than {DEPTH_MAX} levels")
        children = container.values() if isinstance(container, dict) else container
        pending.extend((child, depth + 1) for child in children if isinstance(child, dict | list))


def clone(value: Any) -> Any:
    """A copy that shares no container with the value, whose depth has been checked."""
    if isinstance(value, dict):
        return {key: clone(child) for key, child in value.items()}
    if isinstance(value, list):
        return [clone(child) for child in value]
    return value


def same(left: Any, right: Any) -> bool:
    """Equal as JSON: 1 and 1.0 are, 1 and true are not, the order of members does not matter."""
    if isinstance(left, dict):
        return isinstance(right, dict) and left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    if isinstance(left, list):
        return (
            isinstance(right, list)
            and len(left) == len(right)
            and all(same(one, other) for one, other in zip(left, right, strict=True))
        )
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)
