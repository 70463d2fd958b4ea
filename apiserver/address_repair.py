"""Keys of service addresses and node ports that do not agree with the Services: found and put right by whoever leads.

A key is taken and freed in its Service's own transaction (effects/addresses.py), so writes through the API cannot leave
one behind. What can: whoever writes or deletes Services through the etcd port, a backup that is put back in parts, a
defect. A key that no Service has keeps its address from everybody for ever; a Service without its key may see its
address given to another. Both are put right here:

- A key that no Service has is deleted, as long as it is the very one that was seen: nobody can have come to need it,
  since an address is taken only where there is no key.
- A Service's key that is not there, or names another that does not have it, is written, as long as the Service is as it
  was seen.

Two Services with one address are for people to mend: a controller tells them (controllers/service_repair.py).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from typing import Any, NamedTuple

from apiserver.api.errors import ApiError
from apiserver.effects.addresses import ADDRESSES, PORTS, keys_of
from apiserver.registry.resource import Resource
from apiserver.storage import PAGE_KEYS, Storage, Transaction, decode, range_of
from raftstore import Compare, KeyValue, prefix_end
from raftstore.errors import StoreError

log = logging.getLogger(__name__)

EVERY_S = 180.0
LOOK_S = 5.0  # how soon a new leader begins


class Holder(NamedTuple):
    """A Service that has a key. `place` is what the key should say, `revision` that of the Service's own `key`."""

    place: bytes
    key: bytes
    revision: int


class Plan(NamedTuple):
    """`leaked`: keys and their revisions. `unsaid`: keys, their revisions (0: not there), and who has them."""

    leaked: list[tuple[bytes, int]]
    unsaid: list[tuple[bytes, int, Holder]]


def plan(keys: Iterable[KeyValue], holders: Mapping[bytes, list[Holder]]) -> Plan:
    """`holders`: key → the Services that have it, the oldest first. Both are of one revision."""
    leaked, unsaid = [], []
    there = set()
    for kv in keys:
        there.add(kv.key)
        mine = holders.get(kv.key, [])
        if not mine:
            leaked.append((kv.key, kv.mod_revision))
        elif all(each.place != kv.value for each in mine):
            unsaid.append((kv.key, kv.mod_revision, mine[0]))
    unsaid += [(key, 0, mine[0]) for key, mine in holders.items() if key not in there]
    return Plan(leaked, unsaid)


class AddressRepair:
    """`run` looks every EVERY_S while this replica leads."""

    def __init__(self, storage: Storage, services: Resource, leads: Callable[[], bool]) -> None:
        self._storage = storage
        self._services = services
        self._leads = leads

    async def run(self) -> None:
        while True:
            wait_s = LOOK_S
            if self._leads():
                try:
                    await self.repair()
                    wait_s = EVERY_S
                except (ApiError, StoreError) as error:
                    log.info("addresses of Services could not be looked over", extra={"reason": str(error)})
            await asyncio.sleep(wait_s)

    async def repair(self) -> Plan:
        """Look once, and put right what is wrong. What was to be done. Raises ApiError."""
        await self._storage.linearize()
        found = await self._look()
        for key, revision in found.leaked:
            transaction = Transaction()
            transaction.expect(key, revision)
            transaction.delete(key)
            await self._do(transaction, "an address that no Service has is free again", key)
        for key, revision, holder in found.unsaid:
            transaction = Transaction()
            transaction.expect(key, revision)
            transaction.compare.append(Compare.mod_revision(holder.key) == holder.revision)
            transaction.put(key, holder.place)
            await self._do(transaction, "an address that a Service has is taken", key)
        return found

    async def _do(self, transaction: Transaction, message: str, key: bytes) -> None:
        if await self._storage.commit(transaction) is not None:
            log.warning(message, extra={"key": key.decode("utf-8", "replace")})

    async def _look(self) -> Plan:
        """All of one revision. Raises Gone when that took so long that it was compacted."""
        start, end = range_of(self._services)
        holders: dict[bytes, list[tuple[str, Holder]]] = {}
        page = self._storage.page(start, end, limit=PAGE_KEYS)
        revision = page.revision
        while True:
            for key, stored in page.items:
                service: Any = decode(self._services, stored)
                meta = service.metadata
                holder = Holder(f"{meta.namespace}/{meta.name}".encode(), key, stored.revision)
                for each in keys_of(service):
                    holders.setdefault(each, []).append((meta.creation_timestamp or "", holder))
            if page.following is None:
                break
            await asyncio.sleep(0)
            page = self._storage.page(page.following, end, limit=PAGE_KEYS, revision=revision)
        oldest_first = {key: [holder for _, holder in sorted(mine)] for key, mine in holders.items()}
        return plan([kv async for kv in self._keys(revision)], oldest_first)

    async def _keys(self, revision: int) -> AsyncGenerator[KeyValue, None]:
        for prefix in (ADDRESSES, PORTS):
            start, more = prefix, True
            while more:
                page = self._storage.store.page(start, prefix_end(prefix), limit=PAGE_KEYS, revision=revision)
                for kv in page.kvs:
                    yield kv
                more = page.more and bool(page.kvs)
                start = page.kvs[-1].key + b"\0" if page.kvs else start
                await asyncio.sleep(0)
