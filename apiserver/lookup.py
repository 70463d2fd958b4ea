"""Objects for those who decide about requests: admission, authentication, authorization.

Decoded objects are kept by key and revision, so that asking again costs a look at the key; they are shared and must
not be changed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from apiserver.registry.table import Table
from apiserver.storage import PAGE_KEYS, Storage, decode, key_of, range_of

KEPT_MAX = 512
LISTED_MAX = 10_000


class StorageLookup:
    """See apiserver/admission/plugin.py, Lookup."""

    def __init__(self, storage: Storage, table: Table) -> None:
        self._storage = storage
        self._table = table
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
        following: bytes | None
        following, end = range_of(resource, namespace)
        found: list[Any] = []
        revision = 0
        while following is not None and len(found) < LISTED_MAX:
            page = self._storage.page(following, end, limit=PAGE_KEYS, revision=revision)
            found += [decode(resource, stored) for _, stored in page.items]
            following, revision = page.following, page.revision
        return found
