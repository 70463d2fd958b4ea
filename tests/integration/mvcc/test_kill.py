"""A process killed at any moment leaves a state in which everything agrees (real process, kill -9)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import mvcc_child
from mvcc_world import World, world

CHILD = Path(mvcc_child.__file__)
ROUNDS = 6


def run_and_kill(folder: Path, lines: int) -> int:
    """Let the child get some way, kill it without warning, and say how far it said it was."""
    command = [sys.executable, str(CHILD), str(folder)]
    environment = {"PYTHONPATH": f"{CHILD.parent}:{CHILD.parents[2]}"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        told = [int(child.stdout.readline()) for _ in range(lines)]
        child.kill()
        rest = child.stdout.read().split("\n")
    complete = [int(line) for line in rest[:-1] if line]
    return (told + complete)[-1]


def test_state_is_whole_after_every_kill(tmp_path: Path) -> None:
    with world() as reference:
        for lines in range(1, 20 * ROUNDS, 20):
            told = run_and_kill(tmp_path, lines)
            killed = World(tmp_path)
            machine = killed.machine
            assert told <= machine.applied_index <= told + 4, "what was said to be applied is there, and one more batch"
            mvcc_child.run(reference.machine, until=machine.applied_index)
            assert machine.digest == reference.machine.digest
            assert machine.revision == reference.machine.revision
            assert machine.compact_revision == reference.machine.compact_revision
            assert killed.digest() == reference.digest()
            killed.compact_fully()
            assert killed.digest() == reference.digest()
            assert machine.leases() == reference.machine.leases()
            machine.close()
