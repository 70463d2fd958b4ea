"""Physical compaction frees what is hidden, nothing else, in steps of a bounded size."""

from __future__ import annotations

import pytest
from mvcc_world import World, world

from raftstore.command import Compact
from raftstore.errors import StateDamaged
from raftstore.model import Delete, Put, Range
from raftstore.mvcc.schema import PUT_FLAG, pack_revision


def rows(one: World, table: str) -> int:
    machine = one.machine
    with machine._environment.begin() as txn:
        return txn.stat(getattr(machine._tables, table))["entries"]


def test_steps_are_bounded_and_end() -> None:
    with world() as one:
        one.do(*[Put(b"k", str(n).encode()) for n in range(20)])
        one.do(Compact(one.machine.revision))
        steps = 0
        before = rows(one, "events")
        while one.machine.compact_step(4):
            steps += 1
            assert before - rows(one, "events") == 4
            before = rows(one, "events")
        assert steps == 4  # 19 old versions; the last step removes three of them
        assert not one.machine.compact_step(4)
        assert rows(one, "garbage") == 0


def test_everything_goes_that_nobody_can_see() -> None:
    with world() as one:
        one.do(Put(b"gone"), Put(b"kept", b"1"), Put(b"kept", b"2"), Delete(b"gone"), Put(b"end"))
        one.do(Compact(one.machine.revision))
        one.compact_fully()
        assert rows(one, "events") == 2
        assert rows(one, "history") == rows(one, "garbage") == 0
        assert one.machine.range(Range(b"\0", b"\0")).count == 2


def test_a_change_at_the_compacted_revision_can_still_be_watched() -> None:
    """etcd lets a watch start at the compacted revision itself; a tombstone there must not be gone."""
    with world() as one:
        one.do(Put(b"k", b"v"), Delete(b"k"), Compact(3))
        one.compact_fully()
        events, _ = one.machine.events(3, b"\0", b"\0", revisions_max=9, bytes_max=9999)
        assert [event.kv.mod_revision for event in events] == [3]
        assert one.machine.value_at(b"k", events[0].previous_revision) is None, "what it replaced is gone, as in etcd"


def test_freed_pages_count_as_free_and_are_used_again() -> None:
    with world() as one:
        value = bytes(1000)
        for _ in range(4):
            one.do(*[Put(b"k%d" % n, value) for n in range(200)])
        full = one.machine.used_bytes
        one.do(Compact(one.machine.revision))
        one.compact_fully()
        assert one.machine.used_bytes < full / 2
        size = one.machine.size_bytes
        for _ in range(2):
            one.do(*[Put(b"k%d" % n, value) for n in range(200)])
        assert one.machine.size_bytes <= size * 1.1


def test_an_index_that_lies_is_damage() -> None:
    with world() as one:
        one.do(Put(b"k"), Put(b"k"), Put(b"k"), Compact(4))
        machine = one.machine
        with machine._environment.begin(write=True) as txn:
            assert txn.delete(b"k", pack_revision(2, 0) + PUT_FLAG, db=machine._tables.history)
        with pytest.raises(StateDamaged):
            one.compact_fully()


def test_what_the_compacted_revision_itself_outdated_is_freed_and_its_events_stay() -> None:
    """One big delete, then compaction up to it: the space is back, and a watch from there still sees the delete."""
    with world() as one:
        one.do(*(Put(b"k%03d" % number, bytes(4_000)) for number in range(300)))
        one.do(Delete(b"k", b"l"))
        machine = one.machine
        revision, full = machine.revision, machine.used_bytes
        one.do(Compact(revision))
        while machine.compact_step(64):
            pass
        assert not machine.compact_step(64), "marked rows are no work"
        assert machine.used_bytes < full / 4
        events, _ = machine.events(revision, b"\0", b"\0", revisions_max=10, bytes_max=1 << 20)
        assert len(events) == 300
        one.reopen()
        machine = one.machine
        while machine.compact_step(64):
            pass
        one.do(Put(b"later"))
        one.do(Compact(machine.revision))
        while machine.compact_step(64):
            pass
        assert not machine.events(machine.revision, b"k0", b"l", revisions_max=10, bytes_max=1 << 20)[0]
        assert machine.used_bytes < full / 8
