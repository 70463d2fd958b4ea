"""JSON patch (RFC 6902): operations on places named by JSON pointers (RFC 6901), all of them or none.

A patch that is malformed is a BadRequest. One that is well formed but does not apply (a failed `test`, a place that is
not there) is Invalid, with the message Kubernetes gives and a cause that names the operation.
"""

from __future__ import annotations

import re
from typing import Any, NoReturn

import msgspec

from apiserver.api.errors import BadRequest, Invalid, RequestTooLarge
from apiserver.api.meta import StatusCause
from apiserver.decode import DEPTH_MAX

from .values import check_depth, clone, same

OPERATIONS_MAX = 10_000
#: How much `copy` may add in all; else a short patch could double a document again and again.
COPIED_BYTES_MAX = 3 * 1024 * 1024
#: How many elements of lists may move up or down in all, to make and close gaps.
SHIFTED_ELEMENTS_MAX = 20_000_000

_NEEDS_VALUE = frozenset(("add", "replace", "test"))
_NEEDS_FROM = frozenset(("move", "copy"))
_KINDS = _NEEDS_VALUE | _NEEDS_FROM | {"remove"}
_index_re = re.compile("0|[1-9][0-9]{0,9}")
_escape_re = re.compile("~(?![01])")


class _DoesNotApply(Exception):
    """Why an operation cannot be done on this document."""


class _Operation(msgspec.Struct, frozen=True):
    kind: str
    path: str
    place: tuple[str, ...]
    source: tuple[str, ...] = ()
    value: Any = None


def apply_json_patch(document: dict[str, Any], patch: Any) -> dict[str, Any]:
    """The changed document, which shares nothing with the arguments; they stay as they are."""
    operations = _read(patch)
    run = _Run(clone(document))
    for index, operation in enumerate(operations):
        try:
            run.do(operation)
        except _DoesNotApply as reason:
            _refuse(index, operation, str(reason))
    check_depth(run.document, what="the patched object")
    if not isinstance(run.document, dict):
        raise BadRequest("the patched object is not a JSON object")
    return run.document


def _refuse(index: int, operation: _Operation, reason: str) -> NoReturn:
    cause = StatusCause(
        reason="FieldValueInvalid", message=f"operation {index} ({operation.kind}): {reason}", field=operation.path
    )
    raise Invalid("the server rejected our request due to an error in our request", causes=[cause]) from None


def _read(patch: Any) -> list[_Operation]:
    if not isinstance(patch, list):
        raise BadRequest("a JSON patch must be a list of operations")
    if len(patch) > OPERATIONS_MAX:
        raise RequestTooLarge(f"The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {len(patch)}")
    check_depth(patch, what="the patch")
    return [_read_operation(index, each) for index, each in enumerate(patch)]


def _read_operation(index: int, given: Any) -> _Operation:
    if not isinstance(given, dict):
        raise BadRequest(f"operation {index} of the JSON patch is not an object")
    kind = given.get("op")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise BadRequest(f"operation {index} of the JSON patch: op must be one of {', '.join(sorted(_KINDS))}")
    if kind in _NEEDS_VALUE and "value" not in given:
        raise BadRequest(f"operation {index} of the JSON patch: {kind} needs a value")
    return _Operation(
        kind=kind,
        path=given["path"] if isinstance(given.get("path"), str) else "",
        place=_pointer(index, given, "path"),
        source=_pointer(index, given, "from") if kind in _NEEDS_FROM else (),
        value=given.get("value"),
    )


def _pointer(index: int, given: dict[str, Any], member: str) -> tuple[str, ...]:
    """The steps of a JSON pointer; none for the whole document."""
    text = given.get(member)
    if not isinstance(text, str):
        raise BadRequest(f"operation {index} of the JSON patch: {member} must be a JSON pointer")
    if not text:
        return ()
    if not text.startswith("/") or _escape_re.search(text) or text.count("/") > 2 * DEPTH_MAX:
        raise BadRequest(f"operation {index} of the JSON patch: {member} is not a JSON pointer")
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in text[1:].split("/"))


class _Run:
    """A document of our own, and how much has been copied in it."""

    def __init__(self, document: Any) -> None:
        self.document = document
        self._copied_bytes = 0
        self._shifted_elements = 0

    def do(self, operation: _Operation) -> None:
        if operation.kind == "test":
            if not same(self._get(operation.place), operation.value):
                raise _DoesNotApply("the value there is another one")
        elif operation.kind == "remove":
            self._remove(operation.place)
        elif operation.kind == "add":
            self._add(operation.place, clone(operation.value))
        elif operation.kind == "replace":
            self._replace(operation.place, clone(operation.value))
        elif operation.kind == "copy":
            self._add(operation.place, self._copy(operation.source))
        else:
            self._move(operation.source, operation.place)

    def _get(self, place: tuple[str, ...]) -> Any:
        value = self.document
        for step in place:
            value = _child(value, step)
        return value

    def _add(self, place: tuple[str, ...], value: Any) -> None:
        if not place:
            self.document = value
            return
        parent, step = self._get(place[:-1]), place[-1]
        if isinstance(parent, dict):
            parent[step] = value
        elif isinstance(parent, list):
            index = len(parent) if step == "-" else _index(step, len(parent))
            self._shift(len(parent) - index)
            parent.insert(index, value)
        else:
            raise _DoesNotApply("what should hold the value is neither an object nor a list")

    def _replace(self, place: tuple[str, ...], value: Any) -> None:
        self._get(place)  # it must be there
        if not place:
            self.document = value
            return
        parent, step = self._get(place[:-1]), place[-1]
        parent[step if isinstance(parent, dict) else int(step)] = value

    def _remove(self, place: tuple[str, ...]) -> Any:
        if not place:
            raise _DoesNotApply("the whole document cannot be removed")
        removed = self._get(place)
        parent, step = self._get(place[:-1]), place[-1]
        if isinstance(parent, dict):
            del parent[step]
        else:
            self._shift(len(parent) - int(step))
            del parent[int(step)]
        return removed

    def _shift(self, elements: int) -> None:
        self._shifted_elements += elements
        if self._shifted_elements > SHIFTED_ELEMENTS_MAX:
            raise _DoesNotApply(f"more than {SHIFTED_ELEMENTS_MAX} elements of lists would have to move")

    def _move(self, source: tuple[str, ...], place: tuple[str, ...]) -> None:
        if source == place:
            self._get(source)
            return
        if place[: len(source)] == source:
            raise _DoesNotApply("a value cannot be moved into itself")
        self._add(place, self._remove(source))

    def _copy(self, source: tuple[str, ...]) -> Any:
        value = self._get(source)
        check_depth(value, what="the patched object")  # copies in copies grow deep
        self._copied_bytes += len(msgspec.json.encode(value))
        if self._copied_bytes > COPIED_BYTES_MAX:
            raise _DoesNotApply(f"copies add more than {COPIED_BYTES_MAX} bytes")
        return clone(value)


def _child(value: Any, step: str) -> Any:
    if isinstance(value, dict):
        if step not in value:
            raise _DoesNotApply(f"there is no {_shown(step)}")
        return value[step]
    if isinstance(value, list):
        return value[_index(step, len(value) - 1)]
    raise _DoesNotApply(f"what should hold {_shown(step)} is neither an object nor a list")


def _index(step: str, highest: int) -> int:
    if not _index_re.fullmatch(step) or int(step) > highest:
        raise _DoesNotApply(f"there is no element {_shown(step)}")
    return int(step)


def _shown(step: str) -> str:
    return f'"{step[:100]}"'
