"""Watches: one light object per connection, fed by its resource's feed, writing shared bytes.

What must always hold: a watch that began at revision R tells every change of its objects after R once and in order, as
etcd's guarantees have it; it ends with its connection, its time, a slow reader, or an error that says how to go on.
A watch whose start lies behind the feed catches up with a watcher of its own and joins the feed at the very revision.
Nothing is queued here: the transport's buffer is the queue, and its bound drops a slow reader after a bookmark.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from apiserver.api.errors import ApiError, Gone
from apiserver.failures import api_error
from apiserver.feed.change import ADDED, Change
from apiserver.feed.feed import Batch, Feed, changes_of
from apiserver.http.forms import Look
from apiserver.http.negotiation import Form
from apiserver.storage import Storage, Stored, range_of
from apiserver.verbs.selection import Selection
from raftstore.errors import SlowWatcher, StoreError, WatchCanceled, WatchCompacted

BUFFER_BYTES_MAX = 8 * 1024 * 1024  # written and not yet read by the client: beyond that it is dropped
BUFFER_BYTES_PAUSE = 1024 * 1024  # what initial events fill before they wait
INITIAL_EVENTS_END = "k8s.io/initial-events-end"

_encode = msgspec.json.Encoder().encode


class Wire(Protocol):
    """What is written to: a transport, or an in-memory twin of one."""

    def write(self, data: bytes) -> None: ...
    def get_write_buffer_size(self) -> int: ...
    def is_closing(self) -> bool: ...

    async def drain(self, bytes_max: int) -> None:
        """Return once no more than that is buffered, or the connection is gone; never at once."""


class Framing:
    """Events of one look as bytes: JSON lines or server-sent events, each in a chunk of HTTP's."""

    def __init__(self, look: Look, *, event_stream: bool) -> None:
        self.look = look
        self.key = f"{look.key}/sse" if event_stream else look.key
        self._event_stream = event_stream
        self._columns_due = look.accepted.form is Form.TABLE
        self._first = True

    def event(self, type_: str, stored: Stored) -> bytes:
        body = self.look.object(stored, headers=self._columns_due and self._first)
        return self._frame(type_, body, stored.revision)

    def initial(self, stored: Stored) -> bytes:
        """An object that was there before: no place to resume from, since they do not come in order."""
        body = self.look.object(stored, headers=self._columns_due and self._first)
        self._first = False
        return self._frame(ADDED, body, 0)

    def place(self, revision: int) -> bytes:
        """What lets a client resume from here, without an event; JSON lines have nothing of the kind."""
        return b"id: %d\n\n" % revision if self._event_stream else b""

    def frame_of(self, change: Change, type_: str) -> bytes:
        """The frame of a change, shared with equal watches. The first row of a Table carries its columns."""
        if self._columns_due and self._first:
            frame = self.event(type_, change.shown(type_))
            self._first = False
            return frame
        return change.rendered(self.key, type_, self.event)

    @property
    def shares(self) -> bool:
        """Whether whole batches may be shared with equal watches."""
        return not (self._columns_due and self._first)

    def bookmark(self, revision: int, *, initial_end: bool = False) -> bytes:
        resource = self.look.view.resource
        metadata: dict[str, Any] = {"resourceVersion": str(revision), "creationTimestamp": None}
        if initial_end:
            metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
        body: dict[str, Any] = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        if self.look.accepted.form is Form.PARTIAL:
            body |= {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{self.look.accepted.version}"}
        if self.look.accepted.form is Form.TABLE:
            row = {"cells": [], "object": body}
            body = {
                "kind": "Table",
                "apiVersion": f"meta.k8s.io/{self.look.accepted.version}",
                "metadata": {"resourceVersion": str(revision)},
                "columnDefinitions": None,
                "rows": [row],
            }
        return self._frame("BOOKMARK", _encode(body), revision)

    def error(self, error: ApiError) -> bytes:
        return self._frame("ERROR", _encode(error.status()), 0)

    def _frame(self, type_: str, body: bytes, revision: int) -> bytes:
        if not self._event_stream:
            return b'{"type":"%s","object":%s}\n' % (type_.encode(), body)
        identity = b"id: %d\n" % revision if revision else b""
        return b"%sevent: %s\ndata: %s\n\n" % (identity, type_.encode(), body)


def chunk(data: bytes) -> bytes:
    """A chunk of a chunked HTTP body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"


class WatchSession:
    """One watch. `run` returns when it is over; `end` ends it from outside. A Subscriber of the feed."""

    def __init__(
        self,
        storage: Storage,
        feed: Feed,
        wire: Wire,
        framing: Framing,
        selection: Selection,
        namespace: str,
        *,
        bookmarks: bool,
    ) -> None:
        self._storage = storage
        self._feed = feed
        self._wire = wire
        self._framing = framing
        self._selection = selection
        self._matches = selection.matches
        self._namespace = namespace
        self._everything = selection.matches is None and not selection.by_place
        self.bookmarks = bookmarks
        self.revision = 0  # everything up to it was told
        self.events = 0
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.joined = False  # the feed hands its changes over

    # --- telling ------------------------------------------------------------------------------------

    def deliver(self, batch: Batch) -> None:
        changes = batch.changes
        if changes[0].revision <= self.revision:
            changes = [change for change in changes if change.revision > self.revision]
            if not changes:
                return
            self._tell(changes)
        elif self._everything and self._framing.shares:
            self._send(batch.shared(self._framing.key, self._chunk_of_all))
            self.events += len(changes)
        else:
            self._tell(changes)
        self.revision = changes[-1].revision

    def _chunk_of_all(self, changes: Sequence[Change]) -> bytes:
        return chunk(b"".join([self._framing.frame_of(change, change.type_for_all()) for change in changes]))

    def _tell(self, changes: Sequence[Change]) -> None:
        frames = [frame for change in changes if (frame := self._frame_of(change))]
        if frames:
            self.events += len(frames)
            self._send(chunk(b"".join(frames)))

    def _frame_of(self, change: Change) -> bytes:
        if not self._everything and not self._selection.wants(change.namespace, change.name):
            return b""
        type_ = change.type_for_all() if self._matches is None else change.type_for(self._matches)
        if not type_:
            return b""
        return self._framing.frame_of(change, type_)

    def _send(self, data: bytes) -> None:
        if self._over.done():
            return
        if self._wire.is_closing():
            self.end()
        elif self._wire.get_write_buffer_size() > BUFFER_BYTES_MAX:
            self.end(too_slow=True)
        else:
            self._wire.write(data)

    def bookmark(self) -> None:
        """Tell how far the watch is, so that it can be resumed from there."""
        if self.joined and not self._over.done():
            self._feed.drain()
            self.revision = max(self.revision, self._feed.revision)
            self._send(chunk(self._framing.bookmark(self.revision)))

    def ended(self, error: ApiError) -> None:
        """The feed ended."""
        if isinstance(error, Gone):
            self.fail(error)
        else:
            self.end()

    def fail(self, error: ApiError) -> None:
        """Tell why no more events come, and end."""
        if not self._over.done():
            if not self._wire.is_closing():
                self._wire.write(chunk(self._framing.error(error)))
            self._over.set_result(None)

    def end(self, *, too_slow: bool = False) -> None:
        """No more events. The client resumes from the last it read, or from the bookmark. Idempotent."""
        if self._over.done():
            return
        if (too_slow or self.bookmarks) and self.revision and not self._wire.is_closing():
            self._wire.write(chunk(self._framing.bookmark(self.revision)))
        self._over.set_result(None)

    # --- the way into the feed ----------------------------------------------------------------------

    async def run(self, start: int, initial: AsyncItems | None, *, mark_initial_end: bool) -> None:
        """Tell what happens after revision `start`; first, with `initial`, everything that is there at `start`.

        Returns when the watch is over. Raises ApiError before anything was told only if `initial` is None.
        """
        try:
            if initial is not None:
                await self._tell_initial(initial)
            self.revision = max(self.revision, start)
            await self._catch_up(start)
            if initial is not None:
                self._tell_initial_end(mark=mark_initial_end)
            await self._over
        finally:
            self._feed.unsubscribe(self, self._namespace)

    async def _tell_initial(self, initial: AsyncItems) -> None:
        async for stored in initial():
            self.events += 1
            self._send(chunk(self._framing.initial(stored)))
            if self._wire.get_write_buffer_size() > BUFFER_BYTES_PAUSE:
                await self._wire.drain(BUFFER_BYTES_PAUSE)
            elif self.events % self._framing.look.per_step == 0:
                await asyncio.sleep(0)
            if self._over.done():
                return

    def _tell_initial_end(self, *, mark: bool) -> None:
        if mark:
            self._send(chunk(self._framing.bookmark(self.revision, initial_end=True)))
        elif place := self._framing.place(self.revision):
            self._send(chunk(place))

    async def _catch_up(self, start: int) -> None:
        """Join the feed at `start`, with a watcher of our own over what lies between."""
        if self._over.done():
            return
        self._feed.drain()
        if self._feed.revision <= start:
            self._join()
            return
        ready = asyncio.Event()
        watcher = self._open_watcher(start + 1, ready.set)
        try:
            while not self._over.done():
                ready.clear()
                events = watcher.take()
                if events:
                    self.deliver(Batch(changes_of(self._storage, self._feed.resource, events)))
                    await self._wire.drain(BUFFER_BYTES_PAUSE)
                    continue
                self._feed.drain()
                if watcher.progress_revision and watcher.progress_revision >= self._feed.revision:
                    self._join()
                    return
                await self._either(ready)
        except WatchCanceled as error:
            if isinstance(error, WatchCompacted) or error.resume_revision <= self.revision:
                self.fail(Gone(f"too old resource version: {start} ({error.compact_revision}): list anew"))
            else:
                self.end(too_slow=isinstance(error, SlowWatcher))
        finally:
            watcher.cancel()

    async def _either(self, ready: asyncio.Event) -> None:
        waiting: asyncio.Future[Any] = asyncio.ensure_future(ready.wait())
        over: asyncio.Future[Any] = self._over
        try:
            await asyncio.wait({waiting, over}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()

    def _join(self) -> None:
        self.joined = True
        self._feed.subscribe(self, self._namespace)

    def _open_watcher(self, start_revision: int, on_ready: Callable[[], None]) -> Any:
        key, end = range_of(self._feed.resource, self._namespace)
        try:
            return self._storage.store.watcher(key, end, start_revision=start_revision, prev_kv=True, on_ready=on_ready)
        except WatchCompacted as error:
            raise Gone(f"too old resource version: {start_revision - 1} ({error.compact_revision})") from error
        except StoreError as error:
            raise api_error(error) from error


class AsyncItems(Protocol):
    """Objects that are there when the watch begins."""

    def __call__(self) -> Any: ...
