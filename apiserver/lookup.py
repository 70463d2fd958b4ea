"""Objects for those who decide about requests: admission, authentication, authorization.

Decoded objects are kept by key and revision, so that asking again costs a look at the key; they are shared and must
not be changed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from apiserver.api.errors import ApiError
from apiserver.feed.feed import Batch, Feeds
from apiserver.registry.resource import Resource
from apiserver.registry.table import Table
from apiserver.storage import PAGE_KEYS, Storage, decode, key_of, range_of

KEPT_MAX = 512
LISTED_MAX = 10_000


class _Listed:
    """All objects of a kind, until one of them changes. A subscriber of the kind's feed."""

    def __init__(self) -> None:
        self.objects: Sequence[Any] | None = None
        self.joined = False

    def deliver(self, batch: Batch) -> None:
        self.objects = None

    def ended(self, error: ApiError) -> None:
        self.objects, self.joined = None, False


class StorageLookup:
    """See apiserver/admission/plugin.py, Lookup."""

    def __init__(self, storage: Storage, table: Table, feeds: Feeds) -> None:
        self._storage = storage
        self._table = table
        self._feeds = feeds
        self._lists: dict[str, _Listed] = {}  # by key of a kind
        self._kept: OrderedDict[bytes, tuple[int, Any]] = OrderedDict()

    async def get(self, key: str, namespace: str, name: str, *, linearizable: bool = False) -> Any | None:
        resource = self._table.of_key(key)
        if linearizable:
            await self._storage.linearize()
        store_key = key_of(resource, namespace, name)
        found = self._storage.peek_key(store_key)
        if found is None:
            self._kept.pop(store_key, None)
            return None
        kept = self._kept.get(store_key)
        if kept is not None and kept[0] == found.mod_revision:
            self._kept.move_to_end(store_key)
            return kept[1]
        obj = decode(resource, self._storage.opened(store_key, found))
        self._kept[store_key] = (found.mod_revision, obj)
        self._kept.move_to_end(store_key)
        if len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)
        return obj

    async def list(self, key: str, namespace: str = "") -> Sequence[Any]:
        resource = self._table.of_key(key)
        if namespace:
            return self._read(resource, namespace)
        feed = self._feeds.of(resource)
        feed.drain()
        listed = self._lists.setdefault(key, _Listed())
        if not listed.joined:
            feed.subscribe(listed, inner=True)
            listed.joined, listed.objects = True, None
        if listed.objects is None:
            listed.objects = self._read(resource, "")
        return listed.objects

    def _read(self, resource: Resource, namespace: str) -> Sequence[Any]:
        following: bytes | None
        following, end = range_of(resource, namespace)
        found: list[Any] = []
        revision = 0
        while following is not None and len(found) < LISTED_MAX:
            page = self._storage.page(following, end, limit=PAGE_KEYS, revision=revision)
            found += [decode(resource, stored) for _, stored in page.items]
            following, revision = page.following, page.revision
        return found
