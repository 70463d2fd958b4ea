"""core/v1 Event: what happened to an object, told by a component. The stored form of events.k8s.io's Event too."""

from __future__ import annotations

import msgspec

from apiserver.api.base import Int32, MicroTime, Object, Time, always
from apiserver.api.meta import TopObject

from .references import ObjectReference


class EventSource(Object):
    """Who told.

    component: Name of the component.
    host: Node the component runs on.
    """

    component: str = ""
    host: str = ""


class EventSeries(Object):
    """The same event again and again.

    count: How often it was seen so far.
    last_observed_time: When it was seen last.
    """

    count: Int32 = 0
    last_observed_time: MicroTime | None = None


class Event(TopObject):
    """What happened to an object. Kept for a while, never a thing to rely on.

    involved_object: Object the event is about.
    reason: Why, in a word for programs.
    message: What happened, for people.
    source: Who told.
    first_timestamp: When it was seen first.
    last_timestamp: When it was seen last.
    count: How often it was seen.
    type: Normal or Warning.
    event_time: When it was seen first, with microseconds.
    series: The series it belongs to, when it came again.
    action: What was done or failed.
    related: A second object the event is about.
    reporting_component: Name of the controller that told.
    reporting_instance: Which instance of the controller told.
    """

    involved_object: ObjectReference = msgspec.field(default_factory=ObjectReference)
    reason: str = ""
    message: str = ""
    source: EventSource = msgspec.field(default_factory=EventSource)
    first_timestamp: Time | None = None
    last_timestamp: Time | None = None
    count: Int32 = 0
    type: str = ""
    event_time: MicroTime | None = None
    series: EventSeries | None = None
    action: str = ""
    related: ObjectReference | None = None
    reporting_component: str = always("")
    reporting_instance: str = always("")
