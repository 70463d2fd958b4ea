"""A process to be killed: appends to a journal, or rebuilds a state, for ever; says on stdout what is done."""

from __future__ import annotations

import sys
from pathlib import Path

from journal_tools import CLUSTER, MEMBER, extend, payload
from snapshot_tools import new_store

from raftstore.disk import RealDisk
from raftstore.raft.journal import Journal, JournalOptions
from raftstore.state_folder import StateFolder

OPTIONS = JournalOptions(segment_bytes=65536, fill_bytes=16384)


def append_for_ever(folder: Path) -> None:
    journal = Journal.open(RealDisk(folder), cluster_id=CLUSTER, member_id=MEMBER, options=OPTIONS)
    while True:
        extend(journal, 7, size=700)
        work = journal.take()
        assert work is not None
        work.run()
        journal.finish(work, None)
        if journal.durable_index % 50 == 0:
            journal.trim(journal.durable_index - 40)
        print(journal.durable_index, flush=True)  # noqa: T201 - the parent reads it


def rebuild_for_ever(folder: Path) -> None:
    store = new_store(RealDisk(folder / "snapshots"))
    state = StateFolder(folder / "state", cluster_id=CLUSTER, member_id=MEMBER)
    manifest = store.newest_good()
    assert manifest is not None
    while True:
        state.rebuild(store, manifest)
        print(manifest.index, flush=True)  # noqa: T201 - the parent reads it


def expected(index: int) -> bytes:
    return payload(index, 1, 700)


if __name__ == "__main__":
    {"append": append_for_ever, "rebuild": rebuild_for_ever}[sys.argv[1]](Path(sys.argv[2]))
