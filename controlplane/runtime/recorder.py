"""Events: what people must know about an object, written beside it without anybody waiting.

The same thing said again raises the count of the event that is there. What cannot be written is dropped and counted:
an event is news, never state. Bounded: BURST at once for one object and then one in REFILL_S, writes of one event's
count likewise (what is not written counts all the same), WAITING_MAX that wait, KNOWN_MAX that can be counted up.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from typing import Literal, NamedTuple

import msgspec

from apiserver.api.core.event import Event, EventSource
from apiserver.api.core.references import ObjectReference
from apiserver.api.errors import AlreadyExists, ApiError, Fenced, NotFound
from apiserver.api.kinds import Kind, kind_named, kind_of
from apiserver.api.meta import ObjectMeta, TopObject
from apiserver.client import Client

from .clock import Clock
from .metrics import Metrics

log = logging.getLogger("controlplane.events")

BURST, REFILL_S = 25, 300.0
WAITING_MAX = 4_096
KNOWN_MAX = 8_192  # more than can wait: what waits is not forgotten
WRITERS = 4
MESSAGE_CHARACTERS_MAX = 1024


def _kind(about: TopObject) -> Kind:
    named = kind_named(about.api_version, about.kind) if type(about) is TopObject else None
    return named or kind_of(type(about))


class _What(NamedTuple):
    """Two events with the same are one that came again."""

    reference: tuple[str, str, str, str, str, str]  # apiVersion, kind, namespace, name, uid, field path
    type: str
    reason: str
    message: str
    component: str


class _Known(msgspec.Struct):
    name: str
    first: str
    last: str
    count: int = 1
    written: int = 0  # the count that the API has
    queued: bool = False


class Recorder:
    """A Part: `run` writes what `event` was told."""

    name = "events"

    def __init__(self, client: Client, clock: Clock, metrics: Metrics, *, instance: str = "") -> None:
        self._client = client
        self._clock = clock
        self._instance = instance
        self._known: OrderedDict[_What, _Known] = OrderedDict()
        #: Uid of an object, or an event that comes again -> what is left of its burst, as of when.
        self._spent: OrderedDict[str | _What, tuple[float, float]] = OrderedDict()
        self._waiting: deque[_What] = deque()
        self._some = asyncio.Event()
        self._number = 0
        self._written = metrics.counter("kmini_events_written_total", "Events written to the API")
        self._dropped = metrics.counter("kmini_events_dropped_total", "Events that were not written", ("why",))

    def event(
        self, about: TopObject, type_: Literal["Normal", "Warning"], reason: str, message: str, *, component: str
    ) -> None:
        """Never waits, never raises. A bare TopObject says by apiVersion and kind what it stands for."""
        kind, meta = _kind(about), about.metadata
        reference = (kind.api_version, kind.kind, meta.namespace, meta.name, meta.uid, "")
        what = _What(reference, type_, reason, message[:MESSAGE_CHARACTERS_MAX], component)
        now = self._clock.now_text()
        known = self._known.get(what)
        if known is not None:
            known.count += 1
            known.last = now
            self._known.move_to_end(what)
            if not known.queued and not self._may_spend(what):
                self._dropped.labels("rate").inc()
                return
        elif not self._may_spend(meta.uid or meta.name):
            self._dropped.labels("rate").inc()
            return
        else:
            known = self._known[what] = _Known(self._new_name(meta.name), now, now)
            while len(self._known) > KNOWN_MAX:
                self._known.popitem(last=False)
        self._queue(what, known)

    def _queue(self, what: _What, known: _Known) -> None:
        if known.queued:
            return
        if len(self._waiting) >= WAITING_MAX:
            self._dropped.labels("queue").inc()
            return
        known.queued = True
        self._waiting.append(what)
        self._some.set()

    def _may_spend(self, whose: str | _What) -> bool:
        now = self._clock.monotonic()
        left, since = self._spent.pop(whose, (float(BURST), now))
        left = min(float(BURST), left + (now - since) / REFILL_S)
        self._spent[whose] = (max(left - 1.0, 0.0) if left >= 1.0 else left, now)
        while len(self._spent) > KNOWN_MAX:
            self._spent.popitem(last=False)
        return left >= 1.0

    def _new_name(self, about: str) -> str:
        self._number += 1
        moment = int(self._clock.wall() * 1e6) + self._number
        return f"{about[:200]}.{moment:x}"

    # --- writing --------------------------------------------------------------------------------------

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(WRITERS):
                group.create_task(self._write_on(), name="event writer")

    async def _write_on(self) -> None:
        while True:
            while not self._waiting:
                self._some.clear()
                await self._some.wait()
            what = self._waiting.popleft()
            known = self._known.get(what)
            if known is None:
                self._dropped.labels("known").inc()  # so many others came that it was forgotten
                continue
            known.queued = False
            try:
                await self._write(what, known)
            except Fenced:
                raise
            except (ApiError, OSError) as error:
                self._dropped.labels("refused").inc()
                log.debug("an event was not written", extra={"reason": what.reason, "error": str(error)})
            except Exception:  # news of one object is no reason to stop all controllers
                self._dropped.labels("broken").inc()
                log.exception("an event cannot be written", extra={"reason": what.reason})
            else:
                self._written.inc()

    async def _write(self, what: _What, known: _Known) -> None:
        count = known.count
        namespace = what.reference[2] or "default"
        if known.written:
            patch = {"count": count, "lastTimestamp": known.last}
            try:
                await self._client.patch(Event, known.name, patch, namespace=namespace)
            except NotFound:  # its time was over: it begins anew
                known.name, known.first, known.written = self._new_name(what.reference[3]), known.last, 0
                known.count = count = 1
        if not known.written:
            try:
                await self._client.create(self._event(what, known, namespace))
            except AlreadyExists:  # nobody else's has the name: an answer was lost
                count = 1
        known.written = count

    def _event(self, what: _What, known: _Known, namespace: str) -> Event:
        api_version, kind, about_namespace, name, uid, field = what.reference
        return Event(
            metadata=ObjectMeta(name=known.name, namespace=namespace),
            involved_object=ObjectReference(
                api_version=api_version, kind=kind, namespace=about_namespace, name=name, uid=uid, field_path=field
            ),
            type=what.type,
            reason=what.reason,
            message=what.message,
            source=EventSource(component=what.component),
            first_timestamp=known.first,
            last_timestamp=known.last,
            count=known.count,
            reporting_component=what.component,
            reporting_instance=self._instance,
        )
