"""The file: formats, damage, full maps, copies, and starting anew. What fails leaves everything as it was."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import lmdb
import pytest
from mvcc_world import World, batch, requests, world

from raftstore.command import (
    KIND_BATCH,
    KIND_CONFIGURATION,
    KIND_NOOP,
    Command,
    GrantLease,
    RegisterSession,
    Request,
    SetAlarm,
)
from raftstore.errors import NoSpace, StateDamaged, StoreError, UnknownFormat
from raftstore.limits import MIB
from raftstore.model import Alarm, AlarmType, Put, PutResult, Range
from raftstore.mvcc import Duplicate, StateMachine, read_snapshot_meta
from raftstore.mvcc.schema import META_FORMAT, STATE_FILE, pack_number
from raftstore.raft.configuration import encode_configuration
from raftstore.raft.engine import Configuration, Entry, Member

MEMBERS = Configuration(77, (Member(1, "a", "127.0.0.1:1"), Member(2, "b", "127.0.0.1:2", learner=True)))


def test_a_fresh_state_begins_where_the_log_does() -> None:
    with world() as one:
        machine = one.machine
        assert (machine.applied_index, machine.applied_term) == (1, 0)
        assert (machine.revision, machine.compact_revision) == (1, 0)
        assert machine.configuration is None
        assert machine.range(Range(b"\0", b"\0")).kvs == []


def test_everything_comes_back() -> None:
    with world() as one:
        one.apply(encode_configuration(MEMBERS), bytes((KIND_NOOP,)))
        one.do(Put(b"k", b"v"), GrantLease(3, 30), RegisterSession(5), SetAlarm(Alarm(1, AlarmType.NOSPACE), True))
        machine = one.machine
        before = (machine.applied_index, machine.applied_term, machine.revision, machine.digest, one.digest())
        one.reopen()
        machine = one.machine
        assert before == (machine.applied_index, machine.applied_term, machine.revision, machine.digest, one.digest())
        assert machine.configuration == MEMBERS
        assert machine.alarms == {Alarm(1, AlarmType.NOSPACE)}
        assert (machine.session_count, machine.lease(3)) == (1, (3, 30))


# --- entries that cannot be applied -----------------------------------------------------------------


def seen(one: World) -> Any:
    machine = one.machine
    return (
        machine.applied_index,
        machine.revision,
        machine.digest,
        list(machine.digests),
        machine.alarms,
        machine.configuration,
        machine.session_count,
        machine.range(Range(b"\0", b"\0")),
    )


MIXED = batch([Put(b"k", b"new"), RegisterSession(9), SetAlarm(Alarm(1, AlarmType.CORRUPT), True)])


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (bytes((0x77, 1)), UnknownFormat),
        (bytes((KIND_BATCH, 9)), UnknownFormat),
        (bytes((KIND_CONFIGURATION, 9)), UnknownFormat),
        (bytes((KIND_BATCH,)), StateDamaged),
        (bytes((KIND_BATCH, 1)) + b"\xc1", StateDamaged),
        (bytes((KIND_BATCH, 1)) + b"\x91\x94\x00\x00\x00\x92\xa2??\x01", StateDamaged),
        (bytes((KIND_CONFIGURATION, 1)) + b"\xc1", StateDamaged),
        (b"", UnknownFormat),
    ],
)
def test_an_entry_nobody_can_read_stops_the_replica(payload: bytes, error: type[StoreError]) -> None:
    with world() as one:
        one.do(Put(b"k", b"old"))
        before = seen(one)
        with pytest.raises(error):
            one.apply(encode_configuration(MEMBERS), MIXED, payload)
        assert seen(one) == before
        one.reopen()
        assert seen(one)[:3] == before[:3]
        one.apply(MIXED)
        assert one.machine.session_count == 1


def test_what_a_failed_apply_admitted_is_admitted_again() -> None:
    with world() as one:
        one.do(RegisterSession(9))
        payload = requests([Request(9, 1, 1, Put(b"k", b"v"))])
        with pytest.raises(UnknownFormat):
            one.apply(payload, bytes((0x77, 1)))
        assert one.apply(payload).outcomes[0].result == PutResult(2)
        assert one.apply(payload).outcomes[0].result == Duplicate()


def test_entries_out_of_order_are_refused() -> None:
    with world() as one:
        payload = batch([Put(b"k")])
        for index in (1, 3):
            with pytest.raises(StateDamaged):
                one.machine.apply([Entry(payload, index, 1)])
        with pytest.raises(StateDamaged):
            one.machine.apply([Entry(payload, 2, 1), Entry(payload, 2, 1)])
        assert one.machine.applied_index == 1
        assert one.machine.apply([]).outcomes == []


def refused(one: World, commands: list[Command]) -> bool:
    try:
        one.do(*commands)
    except NoSpace:
        return True
    return False


def test_a_full_map_is_no_space_and_loses_nothing() -> None:
    with world(quota_bytes=MIB // 4) as one:
        fill: list[Command] = [Put(b"k%d" % n, bytes(10_000)) for n in range(20)]
        applied = 0
        before = seen(one)
        while not refused(one, fill):
            applied += 1
            before = seen(one)
        assert applied > 0
        assert seen(one) == before
        one.reopen()
        assert one.machine.revision == 1 + applied * len(fill)


@pytest.mark.parametrize(
    ("code", "room", "expected"),
    [
        (errno.ENOSPC, 10**9, NoSpace),
        (errno.EDQUOT, 10**9, NoSpace),
        (errno.EIO, 0, NoSpace),
        (errno.EIO, 10**9, StateDamaged),
        (0, 0, StateDamaged),
    ],
)
def test_write_errors_are_told_apart(code: int, room: int, expected: type, monkeypatch: pytest.MonkeyPatch) -> None:
    error = lmdb.Error("mdb_txn_commit")
    error.code = code  # type: ignore[misc]  # the C extension sets it so
    with world() as one:
        monkeypatch.setattr(StateMachine, "_disk_room_bytes", lambda _self: room)
        assert type(one.machine._failure(error)) is expected


# --- the file itself --------------------------------------------------------------------------------


def test_a_file_of_another_format_is_refused_by_name() -> None:
    with world() as one:
        machine = one.machine
        with machine._environment.begin(write=True) as txn:
            txn.put(META_FORMAT, pack_number(9), db=machine._tables.meta)
        with pytest.raises(UnknownFormat, match="format 9, this version reads 1"):
            one.reopen()


@pytest.mark.parametrize("content", [b"not a database" * 1000, bytes(100_000)])
def test_a_file_that_is_none_of_ours_is_damage(content: bytes, tmp_path: Path) -> None:
    (tmp_path / STATE_FILE).write_bytes(content)
    with pytest.raises(StateDamaged, match=STATE_FILE):
        StateMachine.open(tmp_path)


def test_a_foreign_database_is_damage(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path / STATE_FILE), subdir=False) as foreign, foreign.begin(write=True) as txn:
        txn.put(b"theirs", b"1")
    with pytest.raises(StateDamaged):
        StateMachine.open(tmp_path)


def test_a_value_that_is_gone_is_damage_not_an_answer() -> None:
    with world() as one:
        one.do(Put(b"k", b"v"))
        machine = one.machine
        with machine._environment.begin(write=True) as txn:
            txn.drop(machine._tables.events, delete=False)
        for read in (lambda: machine.get(b"k"), lambda: machine.range(Range(b"a", b"z"))):
            with pytest.raises(StateDamaged):
                read()


# --- copies and new beginnings -----------------------------------------------------------------------


def test_a_copy_says_what_it_holds_and_opens_as_a_state(tmp_path: Path) -> None:
    with world() as one:
        one.apply(encode_configuration(MEMBERS))
        one.do(*[Put(b"k%d" % n, bytes(1000)) for n in range(50)], RegisterSession(5))
        meta = one.machine.copy(tmp_path / STATE_FILE)
        machine = one.machine
        assert meta == (
            machine.applied_index,
            machine.applied_term,
            machine.revision,
            machine.compact_revision,
            machine.digest,
            MEMBERS,
            os.path.getsize(tmp_path / STATE_FILE),
        )
        assert read_snapshot_meta(tmp_path / STATE_FILE) == meta
        expected = one.digest()
        one.do(Put(b"later"))
        copied = World(tmp_path)
        assert copied.digest() == expected
        assert copied.machine.session_count == 1
        copied.machine.close()


def test_a_copy_holds_leases_of_many_keys(tmp_path: Path) -> None:
    """Many duplicates of one key live in a tree of their own, which the copy walks too."""
    with world() as one:
        one.do(GrantLease(3, 30))
        one.do(*[Put(b"%0300d" % n, lease=3) for n in range(2000)])
        one.do(*[Put(b"%0300d" % n, lease=3 * (n % 2)) for n in range(2000)])
        one.machine.copy(tmp_path / STATE_FILE)
        copied = World(tmp_path)
        assert copied.machine.lease_keys(3) == one.machine.lease_keys(3)
        assert len(copied.machine.lease_keys(3)) == 1000
        assert copied.machine.range(Range(b"\0", b"\0", revision=2001)).count == 2000
        assert copied.machine.hash_kv().step(events_max=10**6) is False
        copied.machine.close()


def test_a_copy_replaces_nothing(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"precious")
    with world() as one:
        with pytest.raises(FileExistsError):
            one.machine.copy(tmp_path / "there")
        assert (tmp_path / "there").read_bytes() == b"precious"


def test_reset_begins_a_new_log_with_all_watchers_of_before_outrun() -> None:
    with world() as one:
        one.do(Put(b"k", b"v"), GrantLease(3, 30), RegisterSession(5), SetAlarm(Alarm(1, AlarmType.NOSPACE), True))
        revision = one.machine.revision
        one.machine.reset(configuration=MEMBERS, index=1, term=0, raise_revision_by=1_000_000_000)
        for _ in range(2):
            machine = one.machine
            assert machine.revision == machine.compact_revision == revision + 1_000_000_000
            assert (machine.applied_index, machine.applied_term, machine.configuration) == (1, 0, MEMBERS)
            assert (machine.alarms, machine.session_count, len(machine.leases())) == (frozenset(), 0, 1)
            found = machine.get(b"k")
            assert found is not None
            assert found.mod_revision == revision
            one.reopen()
        assert one.one(Put(b"k", b"w")).revision == revision + 1_000_000_001
        one.compact_fully()
        assert one.machine.range(Range(b"k", revision=revision + 1_000_000_000)).kvs[0].value == b"v"


def test_a_key_of_many_revisions_can_be_copied(tmp_path: Path) -> None:
    """A compacting copy of LMDB 0.9.36 ends the process when such a key's rows are of one size by the table's flag."""
    with world() as one:
        for number in range(40):
            one.do(*(Put(b"k", b"%d" % (number * 50 + step)) for step in range(50)))
        meta = one.machine.copy(tmp_path / "copy")
        assert meta.revision == one.machine.revision
        assert read_snapshot_meta(tmp_path / "copy").applied_index == one.machine.applied_index
