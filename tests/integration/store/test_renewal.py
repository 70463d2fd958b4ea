"""New peer certificates while a cluster takes writes."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

from store_cluster import PATIENT, StoreCluster, until

from raftstore import Store, StoreConfig


def test_writes_go_on_while_every_replica_renews_its_certificate(tmp_path: Path) -> None:
    async def body() -> None:
        cluster = StoreCluster(tmp_path, 3, timing=PATIENT)
        try:
            await cluster.start()
            await cluster.wait_for_leader()
            term = next(iter(cluster.stores.values())).term
            for number, store in enumerate(cluster.stores.values()):
                replaced = links_replaced(store)
                await store.renew_credentials()
                await until(partial(more_links_replaced, store, replaced))
                await store.put(b"k%d" % number, b"v")
            for store in cluster.stores.values():
                assert all([await store.get(b"k%d" % number) for number in range(3)])
            assert {store.term for store in cluster.stores.values()} == {term}  # no election, so no gap
        finally:
            for name in list(cluster.stores):  # one by one: who leads hands over, and waits for no election
                await cluster.stop(name)

    asyncio.run(body())


def links_replaced(store: Store) -> int:
    assert store._opened.transport is not None
    return store._opened.transport.metrics.links_replaced


def more_links_replaced(store: Store, before: int) -> bool:
    return links_replaced(store) > before


def test_a_replica_without_a_peer_port_has_nothing_to_renew(tmp_path: Path) -> None:
    async def body() -> None:
        async with await Store.open(StoreConfig(name="n1", data_dir=tmp_path)) as store:
            await store.renew_credentials()

    asyncio.run(body())
