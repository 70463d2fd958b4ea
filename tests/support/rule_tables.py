"""Objects as the API server would take them in, and the rules they break: for tests that are tables."""

from __future__ import annotations

import copy
from typing import Any

import msgspec

from apiserver.api.fields import Causes
from apiserver.decode import convert_object
from apiserver.registry.resource import Resource
from apiserver.registry.table import table

#: A value for `changed` that takes the field away.
GONE: Any = object()
#: (reason without its `FieldValue`, path)
Broken = list[tuple[str, str]]


def row_of(document: dict[str, Any]) -> Resource:
    row = table().by_kind(document["apiVersion"], document["kind"])
    assert row is not None
    return row


def read(document: dict[str, Any]) -> Any:
    """The document as an object, without defaults. Unknown fields are an error of the test."""
    return convert_object(document, row_of(document).type, strictness="Strict").obj


def created(document: dict[str, Any]) -> Any:
    """As it is before its rules are looked at. What a create does with a status is not done."""
    obj, strategy = read(document), row_of(document).strategy
    strategy.prepare_create(obj)
    strategy.default(obj)
    return obj


def updated(document: dict[str, Any], old: Any) -> Any:
    obj, strategy = read(document), row_of(document).strategy
    strategy.prepare_update(obj, old)
    strategy.default(obj)
    return obj


def with_status(document: dict[str, Any], old: Any) -> Any:
    obj, strategy = copy.deepcopy(old), row_of(document).strategy
    obj.status = read(document).status
    strategy.prepare_status(obj, old)
    strategy.default(obj)
    return obj


def broken(document: dict[str, Any]) -> Broken:
    """What is wrong with a new object."""
    causes = Causes()
    row_of(document).strategy.validate(created(document), causes)
    return shown(causes)


def broken_by_update(new: dict[str, Any], old: dict[str, Any]) -> Broken:
    causes, strategy = Causes(), row_of(new).strategy
    before = created(old)
    obj = updated(new, before)
    strategy.validate(obj, causes)
    strategy.validate_update(obj, before, causes)
    return shown(causes)


def broken_by_status(new: dict[str, Any], old: dict[str, Any]) -> Broken:
    causes = Causes()
    before = created(old)
    row_of(new).strategy.validate_status(with_status(new, before), before, causes)
    return shown(causes)


def shown(causes: Causes) -> Broken:
    return [(cause.reason.removeprefix("FieldValue"), cause.field) for cause in causes.found]


def plain(obj: Any) -> Any:
    return msgspec.to_builtins(obj)


def changed(document: dict[str, Any], *changes: tuple[str, Any]) -> dict[str, Any]:
    """A copy with values put at paths like `spec.ports.0.name`; GONE takes away; an index past the end appends."""
    result = copy.deepcopy(document)
    for path, value in changes:
        *way, last = (int(step) if step.isdigit() else step for step in path.split("."))
        place: Any = result
        for step in way:
            place = place.setdefault(step, {}) if isinstance(step, str) else place[step]
        if value is GONE:
            del place[last]
        elif isinstance(last, int) and last >= len(place):
            place.append(value)
        else:
            place[last] = value
    return result
