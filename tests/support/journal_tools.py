"""What the journal's tests share: a small journal on a fake disk, and its state in comparable form."""

from __future__ import annotations

import random
from typing import NamedTuple

from raftstore.disk import Disk
from raftstore.raft.engine import Configuration, Member
from raftstore.raft.journal import Journal, JournalOptions
from raftstore.sim.disk import FakeDisk

CLUSTER = 0x1122334455667788
MEMBER = 0x0102030405060708
SMALL = JournalOptions(segment_bytes=8192, fill_bytes=2048, recent_bytes=1024)
FOUNDERS = Configuration(CLUSTER, (Member(MEMBER, "a", "127.0.0.1:1"),))


class State(NamedTuple):
    """All that a journal must bring back."""

    base: tuple[int, int, Configuration]
    entries: tuple[tuple[bytes, int, int], ...]
    vote: tuple[int, int]
    configuration: tuple[int, Configuration]


def fake_disk(seed: int = 1) -> FakeDisk:
    return FakeDisk(random.Random(seed))


def founded(disk: Disk, options: JournalOptions = SMALL) -> Journal:
    return Journal.create(disk, cluster_id=CLUSTER, member_id=MEMBER, configuration=FOUNDERS, options=options)


def reopened(disk: Disk, options: JournalOptions = SMALL) -> Journal:
    return Journal.open(disk, cluster_id=CLUSTER, member_id=MEMBER, options=options)


def sync(journal: Journal) -> None:
    """Everything written becomes durable."""
    while (work := journal.take()) is not None:
        work.run()
        journal.finish(work, None)


def extend(journal: Journal, count: int, *, term: int = 1, size: int = 100) -> None:
    for _ in range(count):
        index = journal.last_index + 1
        journal.append(payload(index, term, size), index, term)


def payload(index: int, term: int, size: int = 100) -> bytes:
    return b"\x10\x01" + f"{index}/{term}:".encode().ljust(max(0, size - 2), b"x")


def state_of(journal: Journal) -> State:
    entries = journal.entries(journal.base_index + 1, count_max=1 << 30, bytes_max=1 << 30)
    return State(
        (journal.base_index, journal.base_term, journal.base_configuration),
        tuple((entry.payload, entry.index, entry.term) for entry in entries),
        (journal.term, journal.voted_for),
        journal.configuration(),
    )


def segment_files(disk: Disk) -> list[str]:
    return [name for name in disk.names() if name.endswith(".journal") and not name.startswith("damaged-")]
