"""One real replica: real disk, real threads, asyncio; what it acknowledges is there after it is opened again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from raftstore import Compare, EventType, Put, Range, ReplicaOptions, SnapshotOptions, Store, StoreConfig
from raftstore.errors import (
    Compacted,
    InvalidRequest,
    LeaseNotFound,
    LeaseTTLTooLarge,
    Stopped,
    WatchCanceled,
    WatchCompacted,
)


def with_store(folder: Path, body: Callable[[Store], Awaitable[None]], **options: object) -> None:
    async def run() -> None:
        config = StoreConfig(name="a", data_dir=folder, options=ReplicaOptions(**options))  # type: ignore[arg-type]
        async with asyncio.timeout(120), await Store.open(config) as store:
            await body(store)

    asyncio.run(run())


def test_what_was_acknowledged_is_there_after_a_restart(tmp_path: Path) -> None:
    async def write(store: Store) -> None:
        assert (await store.put(b"k", b"v")).revision == 2
        await asyncio.gather(*(store.put(b"n%d" % n, b"x" * 1000) for n in range(200)))

    async def read(store: Store) -> None:
        found = await store.get(b"k")
        assert found is not None
        assert (found.value, found.mod_revision) == (b"v", 2)
        assert (await store.range(Range(b"n", b"o", count_only=True))).count == 200
        assert (await store.put(b"k", b"w")).revision == 203

    with_store(tmp_path, write)
    with_store(tmp_path, read)


def test_the_state_is_rebuilt_when_its_mark_is_gone(tmp_path: Path) -> None:
    """As after a power loss: from snapshot and journal."""

    async def write(store: Store) -> None:
        for number in range(50):
            await store.put(b"k%d" % number)
        size, chunks = await store.snapshot()
        assert size == sum([len(chunk) async for chunk in chunks])
        await store.put(b"behind the snapshot")

    async def read(store: Store) -> None:
        assert (await store.range(Range(b"\0", b"\0", count_only=True))).count == 51

    with_store(tmp_path, write, snapshot=SnapshotOptions(tail_entries=1))
    (tmp_path / "state" / "marker").unlink()
    with_store(tmp_path, read)


def test_transactions_deletes_and_history(tmp_path: Path) -> None:
    async def body(store: Store) -> None:
        first = await store.put(b"k", b"1")
        swapped = await store.txn(
            compare=[Compare.mod_revision(b"k") == first.revision],
            success=[Put(b"k", b"2")],
            failure=[Range(b"k")],
        )
        assert swapped.succeeded
        refused = await store.txn([Compare.value(b"k") == b"1"], [Put(b"k", b"3")], [Range(b"k")])
        assert not refused.succeeded
        before = await store.get(b"k", revision=first.revision)
        assert before is not None
        assert before.value == b"1"
        await store.put(b"k2")
        assert (await store.delete(b"k", prefix=True, prev_kv=True)).deleted == 2
        assert await store.get(b"k", level="local") is None
        compacted = await store.compact(store.revision, physical=True)
        assert compacted.compacted == store.compact_revision
        with pytest.raises(Compacted):
            await store.get(b"k", revision=first.revision)
        with pytest.raises(InvalidRequest):
            await store.put(b"")
        assert (await store.hash_kv()).revision == store.revision

    with_store(tmp_path, body)


def test_a_watch_sees_the_past_the_present_and_its_end(tmp_path: Path) -> None:
    async def body(store: Store) -> None:
        await store.put(b"p/1", b"a")
        await store.put(b"q", b"not ours")
        watch = store.watch(b"p/", prefix=True, start_revision=2, prev_kv=True)
        await store.put(b"p/1", b"b")
        await store.delete(b"p/1")
        seen = []
        async for batch in watch:
            seen += [(e.type, e.kv.mod_revision, e.prev_kv.value if e.prev_kv else None) for e in batch.events]
            if len(seen) == 3:
                break
        assert seen == [(EventType.PUT, 2, None), (EventType.PUT, 4, b"a"), (EventType.DELETE, 5, b"b")]
        watch.request_progress()
        assert (await watch.__anext__()).revision == 5
        await store.compact(5)
        with pytest.raises(WatchCompacted):
            store.watch(b"p/", prefix=True, start_revision=2)
        waiting = asyncio.ensure_future(watch.__anext__())
        await asyncio.sleep(0)
        await store.close()
        with pytest.raises(WatchCanceled) as caught:
            await waiting
        assert caught.value.resume_revision == 6
        with pytest.raises(Stopped):
            await store.put(b"late")

    with_store(tmp_path, body)


def test_leases(tmp_path: Path) -> None:
    async def body(store: Store) -> None:
        lease = await store.lease_grant(60)
        await store.put(b"k", b"v", lease=lease.id)
        assert (await store.lease_keep_alive(lease.id)).ttl == 60
        status = await store.lease_time_to_live(lease.id, keys=True)
        assert (status.granted_ttl_s, status.keys) == (60, [b"k"])
        assert await store.leases() == [lease.id]
        await store.lease_revoke(lease.id)
        assert await store.get(b"k") is None
        with pytest.raises(LeaseNotFound):
            await store.lease_revoke(lease.id)
        with pytest.raises(LeaseTTLTooLarge):
            await store.lease_grant(10**10)

    with_store(tmp_path, body)


def test_a_cancelled_caller_leaves_everything_well(tmp_path: Path) -> None:
    async def body(store: Store) -> None:
        await store.put(b"warm")
        calls = [asyncio.ensure_future(store.put(b"k%d" % n)) for n in range(50)]
        reads = [asyncio.ensure_future(store.get(b"warm")) for _ in range(50)]
        await asyncio.sleep(0)
        for task in calls[::2] + reads[::2]:
            task.cancel()
        results = await asyncio.gather(*calls, *reads, return_exceptions=True)
        assert not [r for r in results if isinstance(r, Exception) and not isinstance(r, asyncio.CancelledError)]
        await store.linearize()
        assert (await store.range(Range(b"k", b"l", count_only=True))).count == 50

    with_store(tmp_path, body)


def test_a_crash_while_beginning_repeats_the_last_step(tmp_path: Path) -> None:
    """The journal is there, the identity is not yet: the same identity again, not another."""
    from raftstore import opening

    async def body(store: Store) -> None:
        assert (await store.put(b"k")).revision == 2

    with pytest.MonkeyPatch.context() as patch:

        def crash(*arguments: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(opening, "settle", crash)
        with pytest.raises(KeyboardInterrupt):
            with_store(tmp_path, body)
    with_store(tmp_path, body)
