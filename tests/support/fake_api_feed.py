"""Watches of the fake API: every change of a kind in order, delivered as late and as brokenly as the faults say.

A watch sees each change after its resource version once and in order. Lag delays what it is told; a broken stream ends
with an error; a new one may begin with changes that were told before.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncGenerator, Callable, Mapping
from random import Random
from typing import Any, NamedTuple

import msgspec
from fake_api_store import Changed

from apiserver.api.errors import ApiError, Gone
from apiserver.client.transport import TransportError
from apiserver.feed.change import Change, Facts
from apiserver.http.forms import ResourceView
from apiserver.registry.resource import Resource
from apiserver.storage import Stored, place_of
from apiserver.verbs.selection import Selection

BOOKMARK_EVERY_S = 55.0


class FeedFaults(msgspec.Struct):
    """Of watches. Seconds are ranges, chances are from 0 to 1."""

    watch_lag_s: tuple[float, float] = (0.0, 0.0)  # until an event is told
    watch_break: float = 0.0  # chance per event: the stream breaks before it
    watch_repeats: int = 0  # at most so many old events come again when a stream begins
    history_gone: float = 0.0  # chance per stream: 410


class Feed:
    """The changes of one kind since the last compaction."""

    def __init__(self, resource: Resource, view: ResourceView) -> None:
        self.resource = resource
        self.view = view
        self.changes: list[Change] = []
        self.revisions: list[int] = []
        self.moments: list[float] = []
        self.dropped = 0  # how many came before the first that is kept
        self._waiting: dict[asyncio.Future[None], None] = {}  # in their order: a set's is not the seed's

    def add(self, changed: Changed, now_s: float) -> None:
        before = changed.before.value if changed.before else None
        after = changed.after.value if changed.after else None
        place = place_of(self.resource, changed.key)
        self.changes.append(Change(self.resource, changed.key, place, changed.revision, after, before))
        self.revisions.append(changed.revision)
        self.moments.append(now_s)

    def drop(self) -> None:
        self.dropped += len(self.changes)
        self.changes, self.revisions, self.moments = [], [], []

    def after(self, revision: int) -> int:
        """The place of the first change after a revision."""
        return self.dropped + bisect_right(self.revisions, revision)

    @property
    def end(self) -> int:
        return self.dropped + len(self.changes)

    def wake(self) -> None:
        for future in self._waiting:
            _resolve(future)

    async def moved(self, until_s: float) -> None:
        """Return once there is something to look at, or at a moment of the loop's clock."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        timer = loop.call_at(until_s, _resolve, future)
        self._waiting[future] = None
        try:
            await future
        finally:
            timer.cancel()
            del self._waiting[future]


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Streams:
    """What all watches share. `revision` is the store's; another number of `breaks` ends every stream there is."""

    def __init__(self, random: Random, revision: Callable[[], int]) -> None:
        self.random = random
        self.revision = revision
        self.breaks = 0


class WatchWish(NamedTuple):
    """What a watch was asked for. `initial`: what is there, to be told first."""

    selection: Selection
    namespace: str
    start: int
    initial: list[Stored] | None
    mark_initial_end: bool
    bookmarks: bool
    timeout_s: float


class WatchStream:
    """One watch. `lines` ends with its time, and raises TransportError when it breaks."""

    def __init__(self, streams: Streams, feed: Feed, wish: WatchWish, faults: FeedFaults) -> None:
        self._streams = streams
        self._faults = faults
        self._feed = feed
        self._wish = wish
        self._breaks = streams.breaks
        self._told = wish.start
        self._at = feed.after(wish.start)
        if wish.initial is None and faults.watch_repeats:
            self._at = max(feed.dropped, self._at - streams.random.randint(0, faults.watch_repeats))

    async def lines(self) -> AsyncGenerator[bytes, None]:
        wish, feed = self._wish, self._feed
        for stored in wish.initial or ():
            yield _line("ADDED", feed.view, stored)
        if wish.mark_initial_end:
            yield _bookmark(feed.resource, wish.start, initial_end=True)
        time = asyncio.get_running_loop().time
        end_s, bookmark_s = time() + wish.timeout_s, time() + BOOKMARK_EVERY_S
        while time() < end_s:
            while self._at < feed.end:
                if self._at < feed.dropped:
                    yield _error(Gone("too old resource version"))
                    return
                line = await self._next()
                if line is not None:
                    yield line
            self._check()
            if time() >= bookmark_s:
                bookmark_s = time() + BOOKMARK_EVERY_S
                if wish.bookmarks:
                    yield _bookmark(feed.resource, max(self._told, self._streams.revision()))
            else:
                await feed.moved(min(end_s, bookmark_s))

    async def _next(self) -> bytes | None:
        """The next change as it is told, once its time has come; None when it is none of this watch's business."""
        feed, streams, faults, at = self._feed, self._streams, self._faults, self._at - self._feed.dropped
        change, moment = feed.changes[at], feed.moments[at]
        self._at += 1
        self._told = max(self._told, change.revision)
        line = wanted_line(feed, change, self._wish.selection, self._wish.namespace)
        if line is None:
            return None
        wait_s = moment + streams.random.uniform(*faults.watch_lag_s) - asyncio.get_running_loop().time()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        self._check()
        if faults.watch_break and streams.random.random() < faults.watch_break:
            raise _cut()
        return line

    def _check(self) -> None:
        if self._breaks != self._streams.breaks:
            raise _cut()


def _cut() -> TransportError:
    return TransportError("the watch was cut off", sent=True)


def wanted_line(feed: Feed, change: Change, selection: Selection, namespace: str) -> bytes | None:
    """What a watch with a selection is told of a change; None: nothing."""
    if namespace and change.namespace != namespace:
        return None
    if selection.by_place and not selection.wants(change.namespace, change.name):
        return None
    matches: Callable[[Facts], bool] | None = selection.matches
    type_ = change.type_for_all() if matches is None else change.type_for(matches)
    if not type_:
        return None
    view = feed.view
    return change.rendered(view.resource.api_version, type_, lambda shown, stored: _line(shown, view, stored))


def _line(type_: str, view: ResourceView, stored: Stored) -> bytes:
    return b'{"type":"%s","object":%s}' % (type_.encode(), view.object(stored))


def _bookmark(resource: Resource, revision: int, *, initial_end: bool = False) -> bytes:
    metadata: dict[str, Any] = {"resourceVersion": str(revision)}
    if initial_end:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    obj = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
    return msgspec.json.encode({"type": "BOOKMARK", "object": obj})


def _error(error: ApiError) -> bytes:
    return msgspec.json.encode({"type": "ERROR", "object": error.status()})


async def no_lines() -> AsyncGenerator[bytes, None]:
    nothing: tuple[bytes, ...] = ()
    for line in nothing:
        yield line


class FakeStream:
    """See apiserver/client/transport.py, Stream."""

    def __init__(self, status: int, lines: AsyncGenerator[bytes, None], body: bytes) -> None:
        self.status = status
        self.headers: Mapping[str, str] = {}
        self._lines = lines
        self._body = body

    def lines(self) -> AsyncGenerator[bytes, None]:
        return self._lines

    async def read(self) -> bytes:
        return self._body

    def abort(self) -> None:
        """Nobody calls it: with one server known there is no elsewhere (apiserver/client/pulse.py)."""
        raise AssertionError("the only server is never given up")
