"""A process that applies a fixed, endless log to a state until it is killed: `python mvcc_child.py FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

from mvcc_world import QUOTA_BYTES, requests

from raftstore.command import Command, Compact, GrantLease, RegisterSession, Request, RevokeLease
from raftstore.model import Delete, Put
from raftstore.mvcc import StateMachine
from raftstore.raft.engine import Entry

SESSION = 5


def entry(index: int) -> Entry:
    """The entry at an index of the log, always the same."""
    commands: list[Command] = [Put(b"k%d" % (index * 7 % 50), b"%d" % index * 200)]
    if index % 3 == 0:
        commands.append(Delete(b"k%d" % (index % 50)))
    if index % 5 == 0:
        commands += [GrantLease(index, 60), Put(b"leased", b"%d" % index, index)]
    if index % 10 == 5:
        commands.append(RevokeLease(index))
    if index % 20 == 0:
        commands.append(Compact(index))
    all_of = [Request(SESSION, index * 10 + place, index * 10, command) for place, command in enumerate(commands)]
    first = [Request(SESSION, 0, 0, RegisterSession(SESSION))] if index == 2 else []
    return Entry(requests([*first, *all_of]), index, 1)


def run(machine: StateMachine, until: int | None = None) -> None:
    """Apply in transactions of changing size, compact in between, say every index that is done."""
    while until is None or machine.applied_index < until:
        following = machine.applied_index + 1
        size = 1 + following % 4
        if until is not None:
            size = min(size, until - machine.applied_index)
        machine.apply([entry(index) for index in range(following, following + size)])
        machine.compact_step(2)
        if until is None:
            sys.stdout.write(f"{machine.applied_index}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    run(StateMachine.open(Path(sys.argv[1]), quota_bytes=QUOTA_BYTES))
