"""Three real replicas in one process: real disks, sockets and certificates."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
import uvloop
from ports import free_port
from store_cluster import PATIENT, StoreCluster, until

from raftstore import Range, Role, SnapshotOptions, Store
from raftstore.errors import Removed, StoreError
from raftstore.raft.engine import Status


def with_cluster(folder: Path, body: Callable[[StoreCluster], Awaitable[None]], **options: object) -> None:
    async def run() -> None:
        cluster = StoreCluster(folder, 3, **options)
        try:
            async with asyncio.timeout(150):
                await cluster.start()
                await until(lambda: all(len(voters(store)) == 3 for store in cluster.stores.values()))
                await body(cluster)
        finally:
            for name in list(cluster.stores):  # one by one: who leads hands over, and waits for no election
                await cluster.stop(name)

    uvloop.run(run())


def voters(store: Store) -> frozenset[int]:
    """Whose vote it knows of: one that came late to the founding begins as a learner, and is no use as a voter."""
    return store.status().configuration.voters


def test_every_replica_takes_writes_reads_leases_and_watches(tmp_path: Path) -> None:
    async def body(cluster: StoreCluster) -> None:
        leader = await cluster.wait_for_leader()
        watches = [store.watch(b"k", prefix=True, start_revision=2) for store in cluster.stores.values()]
        for number, store in enumerate(cluster.stores.values()):
            await store.put(b"k%d" % number, b"v")
            for other in cluster.stores.values():
                found = await other.get(b"k%d" % number)
                assert found is not None, "a finished write is seen by every replica"
            lease = await store.lease_grant(30)
            assert (await store.lease_keep_alive(lease.id)).ttl == 30
        for watch in watches:
            seen = []
            async for batch in watch:
                seen += [event.kv.mod_revision for event in batch.events]
                if len(seen) == 3:
                    break
            assert seen == [2, 3, 4]
        digests = {(await store.hash_kv()).digest for store in cluster.stores.values()}
        assert len(digests) == 1
        assert len(await leader.members()) == 3

    with_cluster(tmp_path, body, timing=PATIENT)


def test_no_acknowledged_write_is_lost_when_leaders_come_and_go(tmp_path: Path) -> None:
    async def body(cluster: StoreCluster) -> None:
        acknowledged: set[bytes] = set()
        stop = asyncio.Event()

        async def write(client: int) -> None:
            number = 0
            while not stop.is_set():
                number += 1
                key = b"%d/%d" % (client, number)
                stores = list(cluster.stores.values())
                try:
                    result = await stores[client % len(stores)].put(key, b"v", timeout_s=3.0)
                except StoreError:
                    continue
                assert result.revision
                acknowledged.add(key)

        async def some_more() -> None:
            before = len(acknowledged)
            await until(lambda: len(acknowledged) > before + 20)

        writers = [asyncio.ensure_future(write(client)) for client in range(6)]
        for _ in range(3):
            leader = await cluster.wait_for_leader()
            name = next(name for name, store in cluster.stores.items() if store is leader)
            await some_more()
            await cluster.stop(name)
            await cluster.wait_for_leader()
            await some_more()
            await cluster.start(name)
        stop.set()
        await asyncio.gather(*writers)
        assert len(acknowledged) > 100
        for store in cluster.stores.values():
            found = await store.range(Range(b"\0", b"\0", keys_only=True))
            assert acknowledged <= {kv.key for kv in found.kvs}
            assert all(kv.version == 1 for kv in found.kvs), "nothing was applied twice"

    with_cluster(tmp_path, body)


def test_a_replica_joins_is_promoted_and_a_removed_leader_is_told(tmp_path: Path) -> None:
    async def body(cluster: StoreCluster) -> None:
        leader = await cluster.wait_for_leader()
        await leader.put(b"before")
        cluster.addresses["n4"] = f"127.0.0.1:{free_port()}"
        await cluster.start("n4")
        newcomer = cluster.stores["n4"]
        assert await newcomer.get(b"before") is not None
        await until(lambda: newcomer.status().role is Role.FOLLOWER)
        leader = await cluster.wait_for_leader()
        other = (await cluster.followers())[0]
        await other.member_remove(leader.status().member_id)
        assert isinstance(await leader.stopped, Removed)
        await other.put(b"after")
        assert len(await other.members()) == 3

    with_cluster(tmp_path, body, pulse_s=0.2)


def test_a_replica_that_missed_too_much_is_sent_a_snapshot(tmp_path: Path) -> None:
    async def body(cluster: StoreCluster) -> None:
        follower = (await cluster.followers())[0]
        name = next(name for name, store in cluster.stores.items() if store is follower)
        await cluster.stop(name)
        leader = await cluster.wait_for_leader()
        last = log_of(leader).last_index  # the one that is away has nothing behind it
        # The journal is trimmed to the last snapshot but one. Each round makes one due, and leaves too little for
        # another: none is taken, and nothing trimmed, while the one that is away comes back.
        for taken in range(2):
            for number in range(5):
                await leader.put(b"missed-%d-%d" % (taken, number), b"x" * 50_000)
            await until(partial(all_took, cluster, taken + 1))
        for store in cluster.stores.values():
            assert store.metrics.snapshots == 2
            assert log_of(store).first_index > last + 1, "what it needs next is in no journal"
        await cluster.start(name)
        back = cluster.stores[name]
        assert (await back.range(Range(b"missed-", b"missed."))).count == 10
        assert back.metrics.snapshots_installed == 1
        digests = {(await store.hash_kv()).digest for store in cluster.stores.values()}
        assert len(digests) == 1

    snapshot = SnapshotOptions(journal_bytes_min=200_000, state_share=0.0, tail_entries=1)
    with_cluster(tmp_path, body, snapshot=snapshot, pulse_s=0.1, timing=PATIENT)  # who leads is not in question


def all_took(cluster: StoreCluster, snapshots: int) -> bool:
    return all(store.metrics.snapshots >= snapshots for store in cluster.stores.values())


def log_of(store: Store) -> Status:
    return store._replica.house.engine.status()


def test_leadership_moves_on_request_and_before_closing(tmp_path: Path) -> None:
    async def body(cluster: StoreCluster) -> None:
        leader = await cluster.wait_for_leader()
        target = (await cluster.followers())[1]
        await leader.transfer_leadership(target.status().member_id)
        await until(lambda: cluster.leader() is target)
        name = next(name for name, store in cluster.stores.items() if store is target)
        await cluster.stop(name)
        assert cluster.leader() is not None, "it handed over before it left: nobody had to wait for an election"

    with_cluster(tmp_path, body, timing=PATIENT)


@pytest.mark.parametrize("count", [2])
def test_a_minority_serves_local_reads_only(tmp_path: Path, count: int) -> None:
    async def body(cluster: StoreCluster) -> None:
        leader = await cluster.wait_for_leader()
        await leader.put(b"k", b"v")
        for name in list(cluster.stores)[:count]:
            await cluster.stop(name)
        (left,) = cluster.stores.values()
        await left.get(b"k", level="local")
        with pytest.raises(StoreError):
            await left.get(b"k", timeout_s=1.5)
        with pytest.raises(StoreError):
            await left.put(b"k", timeout_s=1.5)

    with_cluster(tmp_path, body)
