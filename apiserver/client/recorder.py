"""Events: what people must know about an object, written beside it without anybody waiting.

The same thing said again raises the count of the event that is there. What cannot be written is dropped and counted:
an event is news, never state. An answer that did not come is asked for again, TRIES times in all; the name is the
event's own, so that twice is once. Bounded: BURST at once for one object and then one in REFILL_S, writes of one
event's count likewise (what is not written counts all the same), WAITING_MAX that wait, KNOWN_MAX that can be counted
up.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from random import Random
from typing import Literal, NamedTuple

import msgspec

from apiserver.api.core.event import Event, EventSource
from apiserver.api.core.references import ObjectReference
from apiserver.api.errors import AlreadyExists, ApiError, Fenced, NotFound, ServiceUnavailable, Timeout
from apiserver.api.kinds import Kind, kind_named, kind_of
from apiserver.api.meta import ObjectMeta, TopObject
from apiserver.api.times import now_text

from .client import Client
from .retry import Backoff

log = logging.getLogger(__name__)

BURST, REFILL_S = 25, 300.0
WAITING_MAX = 4_096
KNOWN_MAX = 8_192  # more than can wait: what waits is not forgotten
WRITERS = 4
TRIES = 4
BACKOFF = Backoff(first_s=0.25)
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


WRITTEN = "written"


def _uncounted(outcome: str) -> None:
    """Nobody asks."""


class Recorder:
    """`run` writes what `event` was told. `counted` hears what became of each: WRITTEN, or why it was dropped.

    `host` is the node that it speaks from, `instance` who of many speaks. Intervals are measured with `monotonic`.
    For `gather_s` events are gathered and then written beside each other: that costs a server half as much.
    """

    name = "events"

    def __init__(
        self,
        client: Client,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        random: Random | None = None,
        counted: Callable[[str], None] = _uncounted,
        instance: str = "",
        host: str = "",
        gather_s: float = 0.0,
    ) -> None:
        self._client = client
        self._wall = wall
        self._monotonic = monotonic
        self._random = random or Random()
        self._counted = counted
        self._instance = instance
        self._host = host
        self._gather_s = gather_s
        self._known: OrderedDict[_What, _Known] = OrderedDict()
        #: Uid of an object, or an event that comes again -> what is left of its burst, as of when.
        self._spent: OrderedDict[str | _What, tuple[float, float]] = OrderedDict()
        self._waiting: deque[_What] = deque()
        self._some = asyncio.Event()
        self._number = 0

    def event(
        self,
        about: TopObject,
        type_: Literal["Normal", "Warning"],
        reason: str,
        message: str,
        *,
        component: str,
        field_path: str = "",
    ) -> None:
        """Never waits, never raises. A bare TopObject says by apiVersion and kind what it stands for. `field_path`
        names the part of it that is meant, such as spec.containers{main}."""
        kind, meta = _kind(about), about.metadata
        reference = (kind.api_version, kind.kind, meta.namespace, meta.name, meta.uid, field_path)
        what = _What(reference, type_, reason, message[:MESSAGE_CHARACTERS_MAX], component)
        now = now_text(self._wall)
        known = self._known.get(what)
        if known is not None:
            known.count += 1
            known.last = now
            self._known.move_to_end(what)
            if not known.queued and not self._may_spend(what):
                self._counted("rate")
                return
        elif not self._may_spend(meta.uid or meta.name):
            self._counted("rate")
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
            self._counted("queue")
            return
        known.queued = True
        self._waiting.append(what)
        self._some.set()

    def _may_spend(self, whose: str | _What) -> bool:
        now = self._monotonic()
        left, since = self._spent.pop(whose, (float(BURST), now))
        left = min(float(BURST), left + (now - since) / REFILL_S)
        self._spent[whose] = (max(left - 1.0, 0.0) if left >= 1.0 else left, now)
        while len(self._spent) > KNOWN_MAX:
            self._spent.popitem(last=False)
        return left >= 1.0

    def _new_name(self, about: str) -> str:
        self._number += 1
        moment = int(self._wall() * 1e6) + self._number
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
                await asyncio.sleep(self._gather_s)
            what = self._waiting.popleft()
            known = self._known.get(what)
            if known is None:
                self._counted("known")  # so many others came that it was forgotten
                continue
            known.queued = False
            try:
                await self._write_patiently(what, known)
            except Fenced:
                raise
            except (ApiError, OSError) as error:
                self._counted("refused")
                log.debug("an event was not written", extra={"reason": what.reason, "error": str(error)})
            except Exception:  # news of one object is no reason to stop all controllers
                self._counted("broken")
                log.exception("an event cannot be written", extra={"reason": what.reason})
            else:
                self._counted(WRITTEN)

    async def _write_patiently(self, what: _What, known: _Known) -> None:
        for failures in range(TRIES - 1):
            try:
                await self._write(what, known)
            except (Timeout, ServiceUnavailable, OSError):
                await asyncio.sleep(BACKOFF.wait_s(failures, self._random))
            else:
                return
        await self._write(what, known)

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
            source=EventSource(component=what.component, host=self._host),
            first_timestamp=known.first,
            last_timestamp=known.last,
            count=known.count,
            reporting_component=what.component,
            reporting_instance=self._instance,
        )
