"""Columns of events, for both of their shapes: the core group's and that of events.k8s.io."""

from __future__ import annotations

from typing import Any, NamedTuple

from apiserver.registry.resource import Column

from .cells import NAME, UNKNOWN, since


class Names(NamedTuple):
    """What the two shapes call the same thing."""

    target: str
    message: str
    source: str
    first: str
    last: str
    times: str


CORE = Names("involved_object", "message", "source", "first_timestamp", "last_timestamp", "count")
NEW = Names(
    "regarding",
    "note",
    "deprecated_source",
    "deprecated_first_timestamp",
    "deprecated_last_timestamp",
    "deprecated_count",
)


def _names(event: Any) -> Names:
    return CORE if hasattr(event, "involved_object") else NEW


def _first_seen(event: Any, now_s: float) -> str:
    seen = since(getattr(event, _names(event).first), now_s)
    return since(event.event_time, now_s) if seen == UNKNOWN else seen


def _last_seen(event: Any, now_s: float) -> str:
    if event.series is not None:
        return since(event.series.last_observed_time, now_s)
    seen = since(getattr(event, _names(event).last), now_s)
    return _first_seen(event, now_s) if seen == UNKNOWN else seen


def _target(event: Any) -> Any:
    return getattr(event, _names(event).target)


def _object(event: Any, now_s: float) -> str:
    target = _target(event)
    kind = (target.kind if target else "").lower()
    return f"{kind}/{target.name}" if target and target.name else kind


def _subobject(event: Any, now_s: float) -> str:
    target = _target(event)
    return target.field_path if target else ""


def _source(event: Any, now_s: float) -> str:
    source = getattr(event, _names(event).source)
    controller = getattr(event, "reporting_component", "") or getattr(event, "reporting_controller", "")
    component = (source.component if source else "") or controller
    instance = (source.host if source else "") or event.reporting_instance
    return f"{component}, {instance}" if instance else component


def _count(event: Any, now_s: float) -> int:
    """An event that happened once carries no count in its new form."""
    return event.series.count if event.series is not None else getattr(event, _names(event).times) or 1


EVENT = (
    Column("Last Seen", _last_seen, "Time since it happened last."),
    Column("Type", lambda obj, _: obj.type, "Normal or Warning."),
    Column("Reason", lambda obj, _: obj.reason, "What happened, in one word."),
    Column("Object", _object, "What it happened to."),
    Column("Subobject", _subobject, "Which part of that.", priority=1),
    Column("Source", _source, "Who says so.", priority=1),
    Column("Message", lambda obj, _: getattr(obj, _names(obj).message).strip(), "What happened, in a sentence."),
    Column("First Seen", _first_seen, "Time since it happened first.", priority=1),
    Column("Count", _count, "How often it happened.", priority=1),
    NAME._replace(priority=1),
)
