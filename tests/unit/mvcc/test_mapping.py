"""Pages of the state file that were looked at are given back, and come back when they are looked at again."""

from __future__ import annotations

from pathlib import Path

from mvcc_world import world

from raftstore.limits import MIB
from raftstore.model import Put, Range
from raftstore.mvcc import mapping


def test_looked_at_pages_are_given_back_and_still_read_the_same() -> None:
    with world() as one:
        for number in range(32):
            one.do(*(Put(b"%d/%d" % (number, step), bytes(8_000)) for step in range(64)))
        machine = one.machine
        everything = machine.range(Range(b"\0", b"\0"))
        before = mapping.resident_file_bytes()
        assert machine.release_pages() > 0
        after = mapping.resident_file_bytes()
        assert before - after > 8 * MIB
        assert machine.range(Range(b"\0", b"\0")) == everything


def test_a_file_that_is_not_mapped_is_nothing() -> None:
    assert mapping.release(Path("/proc/self/no-such-file")) == 0
