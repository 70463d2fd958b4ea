"""Replicas that applied the same agree on both digests; replicas that did not, do not."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mvcc_world import World, batch, histories, in_entries, world

from raftstore.command import Command, Compact, GrantLease
from raftstore.errors import Compacted, FutureRevision
from raftstore.model import Delete, Put
from raftstore.mvcc.digest import RING_ENTRIES_MAX

QUIET = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])


@QUIET
@given(history=histories(), cuts=st.lists(st.integers(1, 5), min_size=31, max_size=31), physical=st.booleans())
def test_how_entries_are_grouped_changes_nothing(history: list[Command], cuts: list[int], physical: bool) -> None:
    payloads = [batch(step) for step in in_entries(history, [1, 3, 2])]
    with world() as single, world() as grouped:
        for payload in payloads:
            single.apply(payload)
            if physical:
                single.machine.compact_step(1)
        rest = payloads
        for cut in cuts:
            grouped.apply(*rest[:cut])
            rest = rest[cut:]
        assert not rest
        assert single.machine.digest == grouped.machine.digest
        assert list(single.machine.digests) == list(grouped.machine.digests)
        assert single.digest() == grouped.digest()
        assert single.machine.revision == grouped.machine.revision


@QUIET
@given(history=histories(), back=st.integers(0, 5))
def test_scan_does_not_see_physical_compaction(history: list[Command], back: int) -> None:
    with world() as lazy, world() as eager:
        for command in history:
            lazy.do(command)
            eager.do(command)
            eager.compact_fully()
        revision = max(lazy.machine.revision - back, lazy.machine.compact_revision, 1)
        expected = lazy.digest(revision)
        assert eager.digest(revision) == expected
        while lazy.machine.compact_step(1):
            assert lazy.digest(revision) == expected
        assert lazy.digest(revision) == expected


def test_scan_covers_values_leases_and_what_a_revision_saw() -> None:
    digests = set()
    for value, lease in ((b"x", 0), (b"y", 0), (b"x", 7)):
        with world() as one:
            one.do(GrantLease(7, 60), Put(b"k", value, lease))
            digests.add(one.digest())
            before = one.digest(1)
            one.do(Put(b"k", b"z"))
            assert one.digest(1) == before
            assert one.digest() not in digests
    assert len(digests) == 3


def test_scan_folds_what_is_compacted_and_keeps_what_is_not() -> None:
    with world() as short, world() as long:
        short.do(Put(b"a", b"1"), Put(b"a", b"2"), Put(b"b"), Delete(b"b"))
        long.do(Put(b"a", b"0"), Put(b"a", b"2"), Put(b"b"), Delete(b"b"))
        assert short.digest() != long.digest()
        short.do(Compact(5))
        long.do(Compact(5))
        assert short.digest() == long.digest()


def test_scan_covers_the_version_visible_at_the_compacted_revision() -> None:
    """Outdated once or more since, it can still be read, so replicas must agree on it."""
    digests = set()
    for value in (b"1", b"2"):
        for later in (1, 2):
            with world() as one:
                one.do(Put(b"a", value), *[Put(b"a", b"later")] * later, Compact(2))
                digests.add(one.digest())
    assert len(digests) == 4


def test_chain_covers_what_makes_no_event() -> None:
    digests = set()
    for ttl in (10, 20):
        with world() as one:
            one.do(GrantLease(1, ttl))
            digests.add(one.machine.digest)
    assert len(digests) == 2


def test_ring_holds_the_recent_entries_and_survives_nothing_but_the_newest() -> None:
    with world() as one:
        one.apply(*[batch([Put(b"k", str(n).encode())]) for n in range(RING_ENTRIES_MAX + 10)])
        newest = one.machine.applied_index
        assert len(one.machine.digests) == RING_ENTRIES_MAX
        assert one.machine.digests.at(newest) == one.machine.digest
        assert one.machine.digests.at(newest - RING_ENTRIES_MAX) is None
        one.reopen()
        assert list(one.machine.digests) == [(newest, one.machine.digest)]


def scanning(one: World) -> None:
    scan = one.machine.hash_kv()
    assert scan.step(events_max=1)
    one.do(Compact(3))
    scan.step()


def test_scan_gives_up_when_the_floor_moves() -> None:
    with world() as one:
        one.do(Put(b"a"), Put(b"a"), Put(b"a"))
        with pytest.raises(Compacted):
            scanning(one)
        with pytest.raises(FutureRevision):
            one.machine.hash_kv(9)
        with pytest.raises(Compacted):
            one.machine.hash_kv(2)
        with pytest.raises(ValueError, match="not finished"):
            _ = one.machine.hash_kv().digest
