"""Real processes on a real disk, killed in the middle: what they said was done is there."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import journal_child
import pytest
from journal_tools import CLUSTER, MEMBER, extend
from snapshot_tools import apply_puts, new_journal, new_store, take

from raftstore.disk import RealDisk
from raftstore.mvcc.machine import StateMachine
from raftstore.raft.journal import Journal
from raftstore.state_folder import StateFolder, open_state

CHILD = Path(journal_child.__file__)
ROOT = CHILD.parents[2]


@contextmanager
def child(what: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{CHILD.parent}"}
    process = subprocess.Popen(
        [sys.executable, str(CHILD), what, str(folder)], stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def killed_after(process: subprocess.Popen[str], lines: int, extra_s: float) -> list[int]:
    """Let it say some lines, go on for a moment, and kill it; every number it said."""
    assert process.stdout is not None
    said = [int(process.stdout.readline()) for _ in range(lines)]
    time.sleep(extra_s)
    process.kill()
    return said + [int(line) for line in process.stdout if line.endswith("\n")]


@pytest.mark.parametrize("seed", range(4))
def test_entries_said_to_be_durable_survive_a_kill(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    durable = 0
    for _ in range(2):
        with child("append", tmp_path) as process:
            durable = killed_after(process, chance.randrange(2, 40), chance.random() / 100)[-1]
        journal = Journal.open(RealDisk(tmp_path), cluster_id=CLUSTER, member_id=MEMBER, options=journal_child.OPTIONS)
        assert journal.damage is None
        assert journal.last_index >= durable
        for entry in journal.entries(journal.base_index + 1, count_max=1 << 20, bytes_max=1 << 30):
            assert entry.payload == journal_child.expected(entry.index)
        journal.close()


@pytest.mark.parametrize("seed", range(4))
def test_a_state_is_intact_after_a_kill_during_its_rebuild(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    disk = RealDisk(tmp_path / "journal")
    journal = new_journal(disk)
    machine = StateMachine.open(tmp_path / "first")
    apply_puts(machine, journal, 200, size=2000)
    store = new_store(RealDisk(tmp_path / "snapshots"))
    take(store, machine, tmp_path)
    digest, got = machine.digest, machine.get(b"key7")
    machine.close()
    with child("rebuild", tmp_path) as process:
        killed_after(process, chance.randrange(1, 4), chance.random() / 50)
    folder = StateFolder(tmp_path / "state", cluster_id=CLUSTER, member_id=MEMBER)
    machine, _ = open_state(folder, store, journal)
    assert (machine.digest, machine.get(b"key7")) == (digest, got)
    machine.close()
    machine, decision = open_state(folder, store, journal)
    assert not decision.rebuild
    machine.close()
    journal.close()


def test_a_long_journal_opens_fast(tmp_path: Path) -> None:
    """100,000 entries of 1 KiB take half a second of a quiet machine; what grows with their square takes minutes."""
    disk = RealDisk(tmp_path)
    journal = Journal.open(disk, cluster_id=CLUSTER, member_id=MEMBER)
    for _ in range(20):
        extend(journal, 5000, size=1024)
        work = journal.take()
        assert work is not None
        work.run()
        journal.finish(work, None)
    journal.close()
    began = time.process_time()
    journal = Journal.open(disk, cluster_id=CLUSTER, member_id=MEMBER)
    assert time.process_time() - began < 10.0
    assert journal.last_index == 100_001
    journal.close()
