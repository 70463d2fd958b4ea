"""The feed of one resource: one watcher of the store, fanned out.

What must always hold: a subscriber that joined at revision R gets every change after R once and in order, or is told
that it ended and from where to resume. `revision` is how far everything handed out reaches. All of it runs on the
event loop, without tasks: the store calls, the feed drains, subscribers are called. Parts of the server are called at
once; of many clients' watches some are called in this turn of the loop and the others in the next ones, unless somebody
drains: then all are, before anything else.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from apiserver.api.errors import ApiError, Gone, InternalError, ServiceUnavailable
from apiserver.failures import RETRY_AFTER_S, api_error
from apiserver.feed.change import Change
from apiserver.registry.resource import Resource
from apiserver.storage import Storage, place_of, range_of
from raftstore import Event
from raftstore.errors import StoreError, WatchCanceled, WatchCompacted

log = logging.getLogger(__name__)

REOPEN_AFTER_S = 0.5
HANDED_PER_TURN = 250  # watches told in one turn of the event loop: a few milliseconds
LATE_MAX = 20_000  # still to be told; beyond that writers wait until all are


class Subscriber(Protocol):
    """`deliver` must not block and must not raise; it may unsubscribe."""

    def deliver(self, batch: Batch) -> None: ...

    def ended(self, error: ApiError) -> None:
        """No more changes come: resume from the last one, or list anew when the error is Gone."""


class Batch:
    """Changes that became known together; what is rendered of them as a whole is shared by equal subscribers."""

    __slots__ = ("_shared", "changes")

    def __init__(self, changes: Sequence[Change]) -> None:
        self.changes = changes
        self._shared: dict[str, bytes] = {}

    @property
    def revision(self) -> int:
        return self.changes[-1].revision

    def shared(self, form: str, make: Callable[[Sequence[Change]], bytes]) -> bytes:
        known = self._shared.get(form)
        if known is None:
            known = self._shared[form] = make(self.changes)
        return known


def changes_of(storage: Storage, resource: Resource, events: Sequence[Event]) -> list[Change]:
    """Events of the store as changes of objects, decrypted. Raises Gone when what was before one is compacted away."""
    return [_change(storage, resource, event) for event in events]


def _change(storage: Storage, resource: Resource, event: Event) -> Change:
    kv, previous = event.kv, event.prev_kv
    if previous is None and event.previous_revision:
        raise Gone(f"too old resource version: what was before {kv.mod_revision} is compacted away: list anew")
    return Change(
        resource,
        kv.key,
        place_of(resource, kv.key),
        kv.mod_revision,
        storage.opened_bytes(kv.key, kv.value) if event.type == 0 else None,
        storage.opened_bytes(kv.key, previous.value) if previous is not None else None,
    )


class Feed:
    """Made by `Feeds.of`. Open while the server runs."""

    def __init__(self, storage: Storage, resource: Resource) -> None:
        self.resource = resource
        self.revision = 0
        self._storage = storage
        self._inner: dict[Subscriber, None] = {}
        self._everywhere: dict[Subscriber, None] = {}
        self._by_namespace: dict[str, dict[Subscriber, None]] = {}
        self._draining = False
        self._late: deque[tuple[Subscriber, Batch, str]] = deque()  # to be handed out in the next turns, in this order
        self._going_on = False
        self._watcher: Any | None = None  # None: the store could not be watched; nobody is subscribed then
        self._reopening: asyncio.TimerHandle | None = None
        self._closed = False
        self._open(0)

    @property
    def subscribers(self) -> int:
        return len(self._inner) + len(self._everywhere) + sum(map(len, self._by_namespace.values()))

    def _open(self, start_revision: int) -> None:
        key, end = range_of(self.resource)
        watcher = self._storage.store.watcher(
            key, end, start_revision=start_revision, prev_kv=True, on_ready=self._published
        )
        self._watcher = watcher
        self.revision = start_revision - 1 if start_revision else watcher.progress_revision

    def subscribe(self, subscriber: Subscriber, namespace: str = "", *, inner: bool = False) -> int:
        """Join; the revision from which on (exclusive) changes will be delivered. Raises ServiceUnavailable.

        `inner`: a part of the server, which learns of every namespace's changes before any client.
        """
        self.drain()
        if self._watcher is None:
            raise ServiceUnavailable(f"{self.resource.plural} cannot be watched now", retry_after_s=RETRY_AFTER_S)
        if inner:
            self._inner[subscriber] = None
        elif namespace:
            self._by_namespace.setdefault(namespace, {})[subscriber] = None
        else:
            self._everywhere[subscriber] = None
        return self.revision

    def unsubscribe(self, subscriber: Subscriber, namespace: str = "") -> None:
        """Leave. Idempotent."""
        if not namespace:
            self._everywhere.pop(subscriber, None)
            self._inner.pop(subscriber, None)
            return
        group = self._by_namespace.get(namespace)
        if group is not None:
            group.pop(subscriber, None)
            if not group:
                del self._by_namespace[namespace]

    def drain(self) -> None:
        """Hand out what the store has published; afterwards `revision` is what it has published."""
        if not self._draining:
            self._hand_late(len(self._late))
            self._take()

    def _published(self) -> None:
        """The store has something."""
        if len(self._late) > LATE_MAX:
            self.drain()
        elif not self._draining:
            self._take(HANDED_PER_TURN)

    def _go_on(self) -> None:
        """The next turn's share; there is none left when somebody drained or all were ended."""
        self._going_on = False
        self._hand_late(HANDED_PER_TURN)
        self._go_on_soon()

    def _go_on_soon(self) -> None:
        if self._late and not self._going_on:
            self._going_on = True
            asyncio.get_running_loop().call_soon(self._go_on)

    def _hand_late(self, count: int) -> None:
        self._draining = True
        try:
            for _ in range(min(count, len(self._late))):
                subscriber, batch, namespace = self._late.popleft()
                if subscriber in (self._by_namespace.get(namespace, {}) if namespace else self._everywhere):
                    self._hand(subscriber, batch, namespace)
        finally:
            self._draining = False

    def _take(self, at_once: int | None = None) -> None:
        """Take what the store has, and call everybody, or `at_once` of the clients and the rest in the next turns."""
        watcher = self._watcher
        if watcher is None:
            return
        self._draining = True
        try:
            while events := watcher.take():
                self._publish(changes_of(self._storage, self.resource, events), 0 if self._late else at_once)
            self.revision = max(self.revision, watcher.progress_revision)
        except WatchCanceled as error:
            self._lost(error)
        except ApiError as error:  # a value that does not open: its key is gone from the ring
            log.error("feed stopped", extra={"resource": self.resource.key, "reason": error.message})
            self._begin_anew(error)
        finally:
            self._draining = False

    def _publish(self, changes: list[Change], at_once: int | None) -> None:
        self.revision = changes[-1].revision
        everything = Batch(changes)
        for subscriber in list(self._inner):
            self._hand(subscriber, everything)
        wanted = self._wanted(changes, everything)
        for subscriber, batch, namespace in wanted[:at_once]:
            self._hand(subscriber, batch, namespace)
        if at_once is not None:
            self._late.extend(wanted[at_once:])
            self._go_on_soon()

    def _wanted(self, changes: list[Change], everything: Batch) -> list[tuple[Subscriber, Batch, str]]:
        """Which clients are told what: subscriber, changes, and the namespace it subscribed to."""
        wanted = [(subscriber, everything, "") for subscriber in self._everywhere]
        if not self._by_namespace:
            return wanted
        by_namespace: dict[str, list[Change]] = {}
        for change in changes:
            if change.namespace in self._by_namespace:
                by_namespace.setdefault(change.namespace, []).append(change)
        for namespace, own in by_namespace.items():
            batch = Batch(own)
            wanted += [(subscriber, batch, namespace) for subscriber in self._by_namespace[namespace]]
        return wanted

    def _hand(self, subscriber: Subscriber, batch: Batch, namespace: str = "") -> None:
        """One that fails is ended: the others get every change all the same."""
        try:
            subscriber.deliver(batch)
        except Exception:
            log.exception("a change could not be taken", extra={"resource": self.resource.key})
            self.unsubscribe(subscriber, namespace)
            subscriber.ended(InternalError(f"a change of {self.resource.plural} could not be shown"))

    def _lost(self, error: WatchCanceled) -> None:
        """Our own watcher ended. One that was too slow goes on where it was; otherwise everybody lists anew.

        A store whose state was replaced names a revision that was handed out already: what was told may not be so.
        """
        gone = Gone(f"the history of {self.resource.plural} is not to be had any more: list anew")
        if error.resume_revision <= self.revision:
            self._begin_anew(gone)
            return
        try:
            self._open(error.resume_revision)
        except WatchCompacted:
            self._begin_anew(gone)
        except StoreError as failure:
            self._begin_anew(api_error(failure))

    def _begin_anew(self, error: ApiError) -> None:
        """End everybody, and be there for those who come back."""
        if self._watcher is not None:
            self._watcher.cancel()
            self._watcher = None
        self._end_all(error)
        self._reopen()

    def _end_all(self, error: ApiError) -> None:
        everyone = [*self._inner, *self._everywhere, *(each for group in self._by_namespace.values() for each in group)]
        self._inner, self._everywhere, self._by_namespace = {}, {}, {}
        self._late.clear()
        for subscriber in everyone:
            subscriber.ended(error)

    def _reopen(self) -> None:
        if self._closed:
            return
        try:
            self._open(0)
        except StoreError as error:
            log.info("feed is not open yet", extra={"resource": self.resource.key, "reason": error.message})
            self._reopening = asyncio.get_running_loop().call_later(REOPEN_AFTER_S, self._reopen)

    def close(self, error: ApiError) -> None:
        """End everybody with `error`."""
        self._closed = True
        if self._watcher is not None:
            self._watcher.cancel()
            self._watcher = None
        if self._reopening is not None:
            self._reopening.cancel()
        self._end_all(error)


class Feeds:
    """The feeds of a server, opened when first needed."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._feeds: dict[str, Feed] = {}

    def of(self, resource: Resource) -> Feed:
        """The feed of a stored resource. Raises ServiceUnavailable when the store cannot be watched now."""
        feed = self._feeds.get(resource.key)
        if feed is None:
            try:
                feed = self._feeds[resource.key] = Feed(self.storage, resource)
            except StoreError as error:
                raise api_error(error) from error
        return feed

    def all(self) -> Sequence[Feed]:
        return tuple(self._feeds.values())

    def close(self, error: ApiError) -> None:
        for feed in self._feeds.values():
            feed.close(error)
