"""What the snapshot tests share: a small state, a store on a fake disk, and a journal that fits."""

from __future__ import annotations

from pathlib import Path

from journal_tools import CLUSTER, FOUNDERS, MEMBER, SMALL, sync

from raftstore.command import Request, encode_request, join_batch
from raftstore.disk import Disk
from raftstore.model import Put
from raftstore.mvcc.machine import StateMachine
from raftstore.raft.engine import Entry
from raftstore.raft.journal import Journal
from raftstore.snapshot import Manifest, SnapshotStore


def put_payload(key: bytes, value: bytes) -> bytes:
    return join_batch([encode_request(Request(0, 0, 0, Put(key, value)))])


def apply_puts(machine: StateMachine, journal: Journal, count: int, *, size: int = 100, term: int = 1) -> None:
    """Entries in the journal and, once durable, in the state."""
    for _ in range(count):
        index = journal.last_index + 1
        journal.append(put_payload(b"key%d" % (index % 50), b"%d:" % index + b"v" * size), index, term)
    sync(journal)
    machine.apply(journal.entries(machine.applied_index + 1, count_max=1 << 20, bytes_max=1 << 30))


def replay(machine: StateMachine, journal: Journal) -> None:
    entries: list[Entry] = journal.entries(machine.applied_index + 1, count_max=1 << 20, bytes_max=1 << 30)
    machine.apply(entries)


def take(store: SnapshotStore, machine: StateMachine, scratch: Path) -> Manifest:
    return store.take(
        machine.copy, scratch=scratch, member_name="a", configuration=FOUNDERS, now_wall_s=1_700_000_000.0
    )


def new_journal(disk: Disk) -> Journal:
    return Journal.create(disk, cluster_id=CLUSTER, member_id=MEMBER, configuration=FOUNDERS, options=SMALL)


def new_store(disk: Disk) -> SnapshotStore:
    return SnapshotStore(disk, cluster_id=CLUSTER)
