"""events.k8s.io/v1: Event in its newer form. It is stored as the core group's Event, and both show the same objects."""

from __future__ import annotations

import msgspec

from .base import Int32, MicroTime, Object, Time, always
from .core.event import EventSource
from .core.references import ObjectReference
from .meta import TopObject


class EventSeries(Object):
    """The same event again and again.

    count: How often it was seen so far.
    last_observed_time: When it was seen last.
    """

    count: Int32 = always(0)
    last_observed_time: MicroTime | None = None


class Event(TopObject):
    """What happened to an object. Kept for a while, never a thing to rely on.

    event_time: When it was seen first, with microseconds.
    series: The series it belongs to, when it came again.
    reporting_controller: Name of the controller that told.
    reporting_instance: Which instance of the controller told.
    action: What was done or failed.
    reason: Why, in a word for programs.
    regarding: Object the event is about.
    related: A second object the event is about.
    note: What happened, for people.
    type: Normal or Warning.
    deprecated_source: Who told, in the older form.
    deprecated_first_timestamp: When it was seen first, in the older form.
    deprecated_last_timestamp: When it was seen last, in the older form.
    deprecated_count: How often it was seen, in the older form.
    """

    event_time: MicroTime | None = None
    series: EventSeries | None = None
    reporting_controller: str = ""
    reporting_instance: str = ""
    action: str = ""
    reason: str = ""
    regarding: ObjectReference = msgspec.field(default_factory=ObjectReference)
    related: ObjectReference | None = None
    note: str = ""
    type: str = ""
    deprecated_source: EventSource = msgspec.field(default_factory=EventSource)
    deprecated_first_timestamp: Time | None = None
    deprecated_last_timestamp: Time | None = None
    deprecated_count: Int32 = 0
