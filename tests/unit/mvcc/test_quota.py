"""When the state counts as full."""

from __future__ import annotations

import pytest
from mvcc_world import world

from raftstore.model import Put
from raftstore.mvcc.quota import Level, level, should_clear, should_raise


@pytest.mark.parametrize(
    ("used", "expected"),
    [(0, Level.FINE), (799, Level.FINE), (800, Level.SOFT), (949, Level.SOFT), (950, Level.HARD), (5000, Level.HARD)],
)
def test_levels(used: int, expected: Level) -> None:
    assert level(used, 1000) is expected
    assert should_raise(used, 1000) is (expected is Level.HARD)
    assert should_clear(used, 1000) is (expected is Level.FINE)


def test_between_the_marks_the_alarm_stays_as_it_is() -> None:
    assert not should_raise(900, 1000)
    assert not should_clear(900, 1000)


def test_used_bytes_follow_what_is_stored() -> None:
    with world() as one:
        empty = one.machine.used_bytes
        one.do(*[Put(b"k%d" % n, bytes(4000)) for n in range(100)])
        used = one.machine.used_bytes - empty
        assert 400_000 <= used <= 1_000_000
        assert used <= one.machine.size_bytes


def test_versions_of_one_hot_key_are_counted() -> None:
    """LMDB keeps a key's many duplicates in a tree of their own; its pages must not be missed."""
    with world() as one:
        one.do(Put(b"hot"))
        before = one.machine.used_bytes
        for _ in range(20):
            one.do(*[Put(b"hot") for _ in range(500)])
        assert one.machine.used_bytes - before > 10_000 * (20 + 40 + 13 + 20)
