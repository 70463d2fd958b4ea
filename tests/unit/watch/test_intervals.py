"""The range index against asking every range."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftstore.intervals import RangeIndex

letters = st.sampled_from([b"", b"a", b"b", b"ba", b"c", b"d"])
changes = st.lists(
    st.one_of(
        st.tuples(st.just("add"), letters, letters, st.integers(0, 9)),
        st.tuples(st.just("remove"), st.just(b""), st.just(b""), st.integers(0, 9)),
    ),
    max_size=80,
)


@given(plan=changes, probes=st.lists(letters, max_size=10))
def test_index_equals_asking_every_range(plan: list[tuple[str, bytes, bytes, int]], probes: list[bytes]) -> None:
    index: RangeIndex[int] = RangeIndex()
    ranges: dict[int, tuple[bytes, bytes]] = {}
    for name, start, end, item in plan:
        if name == "add" and item not in ranges:
            index.add(start, end, item)
            ranges[item] = (start, end)
        elif name == "remove" and item in ranges:
            index.remove(item)
            del ranges[item]
        for probe in [*probes, start, end]:
            expected = sorted(item for item, (low, high) in ranges.items() if low <= probe < high)
            assert sorted(index.containing(probe)) == expected
    assert len(index) == len(ranges)


def test_misuse_is_an_error() -> None:
    index: RangeIndex[str] = RangeIndex()
    index.add(b"a", b"b", "x")
    with pytest.raises(ValueError, match="already"):
        index.add(b"a", b"c", "x")
    with pytest.raises(KeyError):
        index.remove("y")


def test_coming_and_going_leaves_nothing_behind() -> None:
    index: RangeIndex[int] = RangeIndex()
    for item in range(5000):
        index.add(b"%d" % item, b"\xff", item)
        if item >= 10:
            index.remove(item - 10)
    assert sum(len(level.entries) for level in index._levels) <= 2 * len(index) + 8
    assert len(index._levels) < 10
