"""Events: one stored form, the core group's, and the newer form of events.k8s.io that shows the same objects."""

from __future__ import annotations

from typing import TypeVar

from apiserver.api import events as newer
from apiserver.api.core.event import Event, EventSeries
from apiserver.api.fields import Causes
from apiserver.api.names import is_qualified_name
from apiserver.api.validation import check
from apiserver.registry.strategy import Strategy

WORD_CHARACTERS_MAX = 128
NOTE_BYTES_MAX = 1024
#: Where events about objects of cluster scope may lie.
_PLACES_OF_THE_CLUSTER = ("", "default", "kube-system")


class EventStrategy(Strategy[Event]):
    """Events with an eventTime are written by newer reporters, and more is demanded of them."""

    allow_create_on_update = True

    def validate(self, obj: Event, causes: Causes) -> None:
        _validate_place(obj, causes)
        if obj.event_time is not None:
            _validate_newer(obj, causes)


EVENT = EventStrategy()


def _validate_place(event: Event, causes: Causes) -> None:
    """Else who may write events in one namespace could tell of another."""
    about = event.involved_object.namespace
    namespace = event.metadata.namespace
    if namespace not in ((about,) if about else _PLACES_OF_THE_CLUSTER):
        causes.invalid("involvedObject.namespace", about, "does not match event.namespace")


def _validate_newer(event: Event, causes: Causes) -> None:
    if not event.reporting_component:
        causes.required("reportingComponent")
    else:
        check(is_qualified_name, event.reporting_component, causes, "reportingComponent")
    for path, text in (
        ("reportingInstance", event.reporting_instance),
        ("action", event.action),
        ("reason", event.reason),
    ):
        if not text:
            causes.required(path)
        elif len(text) > WORD_CHARACTERS_MAX:
            causes.invalid(path, "", f"can have at most {WORD_CHARACTERS_MAX} characters")
    if len(event.message.encode()) > NOTE_BYTES_MAX:
        causes.invalid("message", "", f"can have at most {NOTE_BYTES_MAX} characters")
    if event.type not in ("", "Normal", "Warning"):
        causes.invalid("type", "", f"has invalid value: {event.type}")
    if event.series is not None:
        if event.series.count < 2:
            causes.invalid("series.count", "", "should be at least 2")
        if event.series.last_observed_time is None:
            causes.required("series.lastObservedTime")


class EventConversion:
    """Between events.k8s.io's form and the core group's: the same fields under other names, nothing is lost."""

    def to_stored(self, obj: newer.Event, old: Event | None) -> Event:
        return Event(
            api_version="v1",
            kind="Event",
            metadata=obj.metadata,
            involved_object=obj.regarding,
            reason=obj.reason,
            message=obj.note,
            source=obj.deprecated_source,
            first_timestamp=obj.deprecated_first_timestamp,
            last_timestamp=obj.deprecated_last_timestamp,
            count=obj.deprecated_count,
            type=obj.type,
            event_time=obj.event_time,
            series=_series(obj.series, EventSeries),
            action=obj.action,
            related=obj.related,
            reporting_component=obj.reporting_controller,
            reporting_instance=obj.reporting_instance,
        )

    def from_stored(self, stored: Event) -> newer.Event:
        return newer.Event(
            api_version="events.k8s.io/v1",
            kind="Event",
            metadata=stored.metadata,
            regarding=stored.involved_object,
            reason=stored.reason,
            note=stored.message,
            deprecated_source=stored.source,
            deprecated_first_timestamp=stored.first_timestamp,
            deprecated_last_timestamp=stored.last_timestamp,
            deprecated_count=stored.count,
            type=stored.type,
            event_time=stored.event_time,
            series=_series(stored.series, newer.EventSeries),
            action=stored.action,
            related=stored.related,
            reporting_controller=stored.reporting_component,
            reporting_instance=stored.reporting_instance,
        )


Series = TypeVar("Series", EventSeries, newer.EventSeries)


def _series(series: EventSeries | newer.EventSeries | None, form: type[Series]) -> Series | None:
    return None if series is None else form(count=series.count, last_observed_time=series.last_observed_time)


def reporter(event: Event) -> str:
    """Who told, in whichever of the two fields it is."""
    return event.source.component or event.reporting_component
