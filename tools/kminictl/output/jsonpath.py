"""kubectl's jsonpath: templates such as `{range .items[*]}{.metadata.name}{"\\n"}{end}`.

Parsed once, used on many objects. Fields that are not there give nothing. The dialect is that of
kubernetes.io/docs/reference/kubectl/jsonpath: fields, `*`, `..`, indices and slices, unions, filters, range and end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from . import gojson
from .jsonpath_parser import (
    Each,
    End,
    Everything,
    Field,
    Filter,
    Indices,
    Node,
    Path,
    Range,
    Recursive,
    Root,
    Slice,
    Text,
    Union,
    parse,
)

MISSING = object()
DEPTH_MAX = 100


class JsonPath:
    """Raises ValueError for a template that makes no sense."""

    def __init__(self, template: str) -> None:
        self._nodes = parse(template)

    def text(self, document: Any) -> str:
        return "".join(_rendered(self._nodes, document, document))

    def values(self, document: Any) -> list[list[Any]]:
        """What each `{...}` finds, in order; text in between is left out."""
        return [found for node, found in _results(self._nodes, document, document) if not isinstance(node, Text)]


def relaxed(expression: str) -> str:
    """`metadata.name`, `.metadata.name` and `{.metadata.name}` mean the same. Raises ValueError."""
    import re

    match = re.fullmatch(r"\{\.?([^{}]+)\}|\.?([^{}]+)", expression.strip())
    if match is None:
        raise ValueError(
            "unexpected path string, expected a 'name1.name2' or '.name1.name2' or '{name1.name2}' or '{.name1.name2}'"
        )
    return f"{{.{match[1] or match[2]}}}"


def _rendered(nodes: list[Node], here: Any, root: Any) -> Iterator[str]:
    for node, found in _results(nodes, here, root):
        yield node.text if isinstance(node, Text) else " ".join(map(shown, found))


def _results(nodes: list[Node], here: Any, root: Any) -> Iterator[tuple[Node, list[Any]]]:
    """Every text and path of the template with what it finds; those of a range once for each of its values."""
    for node in nodes:
        if isinstance(node, Range):
            for each in find(node.path, here, root):
                yield from _results(node.body, each, root)
        elif isinstance(node, Text):
            yield node, []
        elif isinstance(node, Path):
            yield node, find(node, here, root)
        else:
            assert isinstance(node, End), node


def shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict | list):
        return gojson.compact(value)
    return gojson.sprint(value)


def find(path: Path, here: Any, root: Any) -> list[Any]:
    """All values that the path leads to."""
    found = [here]
    for step in path.steps:
        found = [each for value in found for each in _step(step, value, root)]
    return found


def _step(step: Node, value: Any, root: Any) -> list[Any]:
    match step:
        case Root():
            return [root]
        case Text():
            return [step.text]
        case Field():
            return [value[step.name]] if isinstance(value, dict) and step.name in value else []
        case Each() | Everything():
            return list(value.values()) if isinstance(value, dict) else list(value) if isinstance(value, list) else []
        case Indices():
            return _indexed(value, step.indices)
        case Slice():
            return value[slice(step.start, step.stop, step.step)] if isinstance(value, list) else []
        case Union():
            return [each for path in step.paths for each in find(path, value, root)]
        case Filter():
            return [each for each in _members(value) if _holds(step, each, root)]
        case Recursive():
            return list(_descendants(value, 0))
    raise AssertionError(step)


def _members(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []


def _indexed(value: Any, indices: tuple[int, ...]) -> list[Any]:
    if not isinstance(value, list):
        return []
    found = []
    for index in indices:
        if not -len(value) <= index < len(value):
            raise ValueError(f"array index out of bounds: index {index}, length {len(value)}")
        found.append(value[index])
    return found


def _descendants(value: Any, depth: int) -> Iterator[Any]:
    yield value
    if depth < DEPTH_MAX:
        for child in _members(value):
            if isinstance(child, dict | list):
                yield from _descendants(child, depth + 1)


def _holds(condition: Filter, value: Any, root: Any) -> bool:
    left = find(condition.left, value, root)
    if condition.right is None:
        return bool(left)
    right = find(condition.right, value, root)
    if not left or not right:
        return False
    return _compared(left[0], condition.operator, right[0])


def _compared(left: Any, operator: str, right: Any) -> bool:
    if operator == "==":
        return bool(left == right)
    if operator == "!=":
        return bool(left != right)
    if isinstance(left, str) != isinstance(right, str) or isinstance(left, dict | list):
        raise ValueError("incompatible types for comparison")
    comparisons = {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}
    return bool(comparisons[operator])
