"""Events are kept for a while, and then deleted (the API server of Kubernetes has etcd forget them; we are a client).

An event's time begins anew whenever it is written, as there. Its age is told by revisions, not by clocks: we note which
revision the store was at and when, by our monotonic clock, and what has not changed since a revision that was noted
`event_ttl_s` ago is old. No wall clock that jumps takes events away early. A new leader has noted nothing: what was
there before counts as written when it began, unless its timestamp says that it is very old.

No copy of all events is kept: their metadata is read page by page, and only when something may have become old.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from apiserver.api.core.event import Event
from apiserver.api.errors import ApiError, Conflict, Fenced, NotFound
from apiserver.api.kinds import kind_of
from apiserver.api.meta import DeleteOptions, Preconditions
from apiserver.client import ListOptions, metadata
from controlplane.runtime import Context, Part

from .periodic import Periodic, Refusals

NAME = "event-ttl"
KIND = kind_of(Event)
PAGE_SIZE = 500
DELETED_MAX = 2_000  # of one sweep
PAUSE_S = 10.0  # before the next one when there is more
MARKS_IN_TTL = 12
#: Older than this many times its time by its timestamp, and not written since we began: no leader lasted long enough.
VERY_OLD = 4


class Mark(NamedTuple):
    """The store was at this revision then. Monotonic seconds."""

    at: float
    revision: int


def parts(context: Context) -> list[Part]:
    return [Periodic(context, NAME, EventSweeper(context))]


class EventSweeper:
    """A Sweep."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._pace = context.pace
        self._ttl_s = context.options.event_ttl_s
        self._period_s = self._ttl_s / MARKS_IN_TTL
        self._marks: deque[Mark] = deque(maxlen=2 * MARKS_IN_TTL)
        self._began: int | None = None  # the revision at which we began
        self._lowest: int | None = None  # no event has a lower revision; None while nobody has looked
        self._deleted = context.metrics.counter("kmini_events_expired_total", "Events deleted because they were old")

    async def sweep(self) -> float:
        now, revision = self._clock.monotonic(), await self._revision()
        self._marks.append(Mark(now, revision))
        if self._began is None:
            self._began = revision
        old = max((mark.revision for mark in self._marks if now - mark.at >= self._ttl_s), default=0)
        if self._lowest is not None and self._lowest > old:
            return self._period_s
        complete = await self._delete_until(old)
        return self._period_s if complete else min(PAUSE_S, self._period_s)

    async def _revision(self) -> int:
        """The store's, now: what is written from here on has a higher one."""
        page = await metadata.list_page(self._client, KIND, options=ListOptions(limit=1))
        return int(page.metadata.resource_version)

    async def _delete_until(self, old: int) -> bool:
        """Go over all events once. False when there were more old ones than one sweep may delete."""
        left, lowest, refusals = DELETED_MAX, None, Refusals(NAME)
        options = ListOptions(limit=PAGE_SIZE)
        while True:
            page = await metadata.list_page(self._client, KIND, options=options)
            for event in page.items:
                revision = int(event.resource_version)
                stays = revision > old and not self._is_very_old(event, revision)
                if not stays:
                    if left <= 0:
                        return False
                    left -= 1
                    stays = not await self._delete(event, refusals)
                if stays:
                    lowest = revision if lowest is None else min(lowest, revision)
                await self._pace.breathe()
            if not page.metadata.continue_:
                break
            options = ListOptions(limit=PAGE_SIZE, continue_=page.metadata.continue_)
        self._lowest = lowest if lowest is not None else int(page.metadata.resource_version) + 1
        return True

    def _is_very_old(self, event: metadata.Metadata, revision: int) -> bool:
        if self._began is None or revision > self._began or not event.creation_timestamp:
            return False
        return self._clock.age_s(event.creation_timestamp) >= VERY_OLD * self._ttl_s

    async def _delete(self, event: metadata.Metadata, refusals: Refusals) -> bool:
        """This version of it: one that is written meanwhile has its whole time again. False when it may not go."""
        options = DeleteOptions(preconditions=Preconditions(uid=event.uid, resource_version=event.resource_version))
        try:
            await metadata.delete(self._client, KIND, event.name, namespace=event.namespace, options=options)
        except Fenced:
            raise
        except (Conflict, NotFound):
            return True
        except ApiError as error:
            refusals.bear(error, f"{event.namespace}/{event.name}")
            return False
        self._deleted.inc()
        return True
