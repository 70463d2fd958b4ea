"""All objects of a kind, each made into something small, kept up with the feed.

The label and field index is a mirror (`facts_of`), and so are the roles, bindings and graphs that authorization looks
into. A mirror knows the revision it reflects, which is the feed's: everything up to it is in, nothing beyond.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, ItemsView
from typing import Any, Generic, TypeVar

from apiserver.api.errors import ApiError
from apiserver.feed.change import Change
from apiserver.feed.feed import Batch, Feed
from apiserver.registry.resource import Resource
from apiserver.storage import PAGE_KEYS, Storage, Stored, decode, place_of, range_of

log = logging.getLogger(__name__)

T = TypeVar("T")
#: Called with (namespace, name, what was made or None when the object is gone).
Listener = Callable[[str, str, Any], None]

REBUILD_AFTER_S = 0.2


class Mirror(Generic[T]):
    """`make(object)` gives what is kept of an object. Built by the first `ready`, rebuilt after the feed was lost."""

    def __init__(self, storage: Storage, feed: Feed, make: Callable[[Any], T]) -> None:
        self._storage = storage
        self._feed = feed
        self._make = make
        self._kept: dict[bytes, T] = {}
        self._late: list[Change] | None = None  # changes that came while the mirror is built
        self._built: asyncio.Task[None] | None = None
        self._listeners: list[Listener] = []
        self._lost = False
        self._closed = False

    @property
    def resource(self) -> Resource:
        return self._feed.resource

    def listen(self, listener: Listener) -> None:
        """Be told of every object, those that are there by the time the mirror is built included."""
        self._listeners.append(listener)
        for key, kept in self._kept.items():
            listener(*place_of(self.resource, key), kept)

    async def ready(self) -> None:
        """Return once the mirror is built. Raises ApiError when the store cannot be read."""
        if self._built is None or (self._built.done() and self._built.exception() is not None):
            self._built = asyncio.create_task(self._build(), name=f"mirror {self.resource.key}")
        await asyncio.shield(self._built)

    async def _build(self) -> None:
        """Copy what is there, then take in what came meanwhile; all anew when the feed was lost in between."""
        copied: dict[bytes, T] | None = None
        while copied is None:
            copied, revision = await self._copy()
        before, self._kept = self._kept, copied
        late, self._late = self._late or [], None
        for gone in before.keys() - copied.keys():
            self._tell(gone, None)
        for found, made in copied.items():
            self._tell(found, made)
        for change in late:
            if change.revision > revision:
                self._take(change)

    async def _copy(self) -> tuple[dict[bytes, T] | None, int]:
        """Everything as of the revision at which the feed was joined; None when the feed was lost meanwhile."""
        self._late, self._lost = [], False
        self._feed.unsubscribe(self)
        revision = self._feed.subscribe(self, inner=True)
        copied: dict[bytes, T] = {}
        following: bytes | None
        following, end = range_of(self.resource)
        try:
            while following is not None and not self._lost:
                page = self._storage.page(following, end, limit=PAGE_KEYS, revision=revision)
                for found, stored in page.items:
                    copied[found] = self._make(decode(self.resource, stored))
                following = page.following
                await asyncio.sleep(0)
        except Exception:
            self._feed.unsubscribe(self)  # or what comes would be kept for nobody
            raise
        return (None if self._lost else copied), revision

    # --- the feed's subscriber ----------------------------------------------------------------------

    def deliver(self, batch: Batch) -> None:
        if self._late is not None:
            self._late.extend(batch.changes)
            return
        for change in batch.changes:
            self._take(change)

    def _take(self, change: Change) -> None:
        if change.plain is None:
            self._kept.pop(change.key, None)
            self._tell(change.key, None)
            return
        made = self._make(decode(self.resource, Stored(change.plain, change.revision)))
        self._kept[change.key] = made
        self._tell(change.key, made)

    def ended(self, error: ApiError) -> None:
        """The feed was lost: what is kept stays until a new copy replaces it."""
        self._lost = True
        if self._built is not None and not self._built.done():
            return  # it begins anew
        self._built = None
        if not self._closed:
            asyncio.get_running_loop().call_later(REBUILD_AFTER_S, self._rebuild)

    def _rebuild(self) -> None:
        if self._built is None and not self._closed:
            self._built = asyncio.create_task(self._rebuilt(), name=f"mirror {self.resource.key}")

    async def _rebuilt(self) -> None:
        while not self._closed:
            try:
                await self._build()
                return
            except Exception as error:  # what is kept is old: whatever is wrong, it is tried again
                if not isinstance(error, ApiError):
                    log.exception("a mirror cannot be built", extra={"resource": self.resource.key})
                await asyncio.sleep(REBUILD_AFTER_S)

    def _tell(self, key: bytes, made: T | None) -> None:
        if self._listeners:
            namespace, name = place_of(self.resource, key)
            for listener in self._listeners:
                listener(namespace, name, made)

    # --- looking ------------------------------------------------------------------------------------

    @property
    def revision(self) -> int:
        """What the mirror reflects, after everything published was taken in; 0 while it is built anew."""
        self._feed.drain()
        return 0 if self._lost or self._late is not None else self._feed.revision

    def items(self) -> ItemsView[bytes, T]:
        return self._kept.items()

    def get(self, key: bytes) -> T | None:
        return self._kept.get(key)

    def __len__(self) -> int:
        return len(self._kept)

    def close(self) -> None:
        self._closed = True
        self._feed.unsubscribe(self)
        if self._built is not None:
            self._built.cancel()
