"""Pages of a range: together they are what one Range gives at that revision, whatever was written in between."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mvcc_world import ENDS, KEYS, World, world

from raftstore.command import Command, Compact
from raftstore.errors import Compacted, FutureRevision
from raftstore.model import Delete, KeyValue, Put, Range

WRITES = st.lists(
    st.one_of(
        st.builds(Put, st.sampled_from(KEYS), st.binary(max_size=3)),
        st.builds(Delete, st.sampled_from(KEYS)),
    ),
    max_size=25,
)


def paged(everything: World, key: bytes, end: bytes, limit: int, revision: int) -> list[KeyValue]:
    found: list[KeyValue] = []
    start, more = key, True
    while more:
        page = everything.machine.page(start, end, limit, revision)
        assert len(page.kvs) <= limit
        found += page.kvs
        more = page.more
        start = page.kvs[-1].key + b"\0" if page.kvs else end
    return found


@given(WRITES, st.sampled_from(KEYS), st.sampled_from([end for end in ENDS if end]), st.integers(1, 4), st.data())
def test_pages_together_are_the_range_at_that_revision(
    writes: list[Command], key: bytes, end: bytes, limit: int, data: st.DataObject
) -> None:
    with world() as everything:
        for write in writes:
            everything.one(write)
        machine = everything.machine
        if data.draw(st.booleans()):
            everything.one(Compact(data.draw(st.integers(1, machine.revision))))
            everything.compact_fully()
        revision = data.draw(st.integers(max(machine.compact_revision, 1), machine.revision))
        assert paged(everything, key, end, limit, revision) == machine.range(Range(key, end, revision=revision)).kvs


def test_a_revision_that_is_not_there_is_named() -> None:
    with world() as everything:
        for number in range(5):
            everything.one(Put(b"k", b"%d" % number))
        everything.one(Compact(4))
        with pytest.raises(Compacted):
            everything.machine.page(b"a", b"z", 10, 3)
        with pytest.raises(FutureRevision):
            everything.machine.page(b"a", b"z", 10, 99)
