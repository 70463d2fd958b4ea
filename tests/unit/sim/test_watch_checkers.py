"""The watch judges: a right log passes, and each guarantee has a planted log that breaks it and is quoted."""

from __future__ import annotations

import pytest
from planted import Planted

from raftstore.model import KeyValue
from raftstore.sim.checkers import watches
from raftstore.sim.history import WatchBatch, WatchedEvent, WatchLog, WatchProgress, WatchSegment
from raftstore.sim.truth import Truth


@pytest.fixture
def truth() -> Truth:
    """Revisions 2 to 6: w/a, w/b, then both at once, an unrelated key, then w/a deleted."""
    planted = Planted()
    planted.commit({b"w/a": b"1"})
    planted.commit({b"w/b": b"2"})
    planted.commit({b"w/a": b"3", b"w/b": b"4"})
    planted.commit({b"other": b"5"})
    planted.commit({b"w/a": None})
    return planted.truth


A2 = WatchedEvent(2, b"w/a", b"1", 1)
B3 = WatchedEvent(3, b"w/b", b"2", 1)
A4 = WatchedEvent(4, b"w/a", b"3", 2)
B4 = WatchedEvent(4, b"w/b", b"4", 2)
A6 = WatchedEvent(6, b"w/a", None, 0)


def batch(*events: WatchedEvent) -> WatchBatch:
    return WatchBatch(1.0, events)


def bookmark(revision: int) -> WatchProgress:
    return WatchProgress(1.0, revision)


def segment(start: int, *received: WatchBatch | WatchProgress, compacted: int = 0) -> WatchSegment:
    return WatchSegment(1, start, list(received), compacted)


def log(*segments: WatchSegment, previous_wanted: bool = False) -> WatchLog:
    return WatchLog(1, b"w/", b"w0", previous_wanted, list(segments))


def broken(watch: WatchLog, truth: Truth) -> list[str]:
    return [violation.message for violation in watches.check(watch, truth)]


RIGHT = [
    log(segment(2, batch(A2), batch(B3), batch(A4, B4), bookmark(5), batch(A6), bookmark(6))),
    log(segment(2, batch(A2, B3, A4, B4))),
    log(segment(4, bookmark(3), batch(A4, B4), batch(A6))),
    log(segment(2, batch(A2)), segment(3, batch(B3), bookmark(3)), segment(4, batch(A4, B4))),
    log(segment(2, bookmark(1)), segment(2)),
    log(segment(2, compacted=3), segment(4, batch(A4, B4))),
    log(),
]

WRONG = [
    (watches.ORDERED, log(segment(2, batch(B3, A2), batch(A4, B4)))),
    (watches.UNIQUE, log(segment(2, batch(A2), batch(B3), batch(B3)))),
    (watches.UNIQUE, log(segment(2, batch(A2)), segment(3, batch(A2)))),
    (watches.RELIABLE, log(segment(2, batch(A2), batch(A4, B4)))),
    (watches.RELIABLE, log(segment(2, batch(A2), batch(B3), batch(A4)))),
    (watches.RELIABLE, log(segment(2, batch(A2), batch(WatchedEvent(3, b"w/b", b"x", 1))))),
    (watches.RELIABLE, log(segment(5, batch(WatchedEvent(5, b"w/a", b"x", 1), A6)))),
    (watches.ATOMIC, log(segment(2, batch(A2), batch(B3, A4), batch(B4)))),
    (watches.RESUMABLE, log(segment(2, batch(A2)), segment(4, batch(A4, B4)))),
    (watches.RESUMABLE, log(segment(2, compacted=2), segment(4, batch(A4, B4)))),
    (watches.BOOKMARKABLE, log(segment(2, bookmark(2), batch(A2)))),
    (watches.BOOKMARKABLE, log(segment(2, batch(A2), bookmark(3)))),
    ("compaction", log(segment(5, compacted=3))),
]


@pytest.mark.parametrize("watch", RIGHT)
def test_a_right_log_passes(watch: WatchLog, truth: Truth) -> None:
    assert broken(watch, truth) == []


@pytest.mark.parametrize(("guarantee", "watch"), WRONG)
def test_a_broken_guarantee_is_quoted(guarantee: str, watch: WatchLog, truth: Truth) -> None:
    assert any(guarantee in message for message in broken(watch, truth))


def test_previous_values(truth: Truth) -> None:
    def event(previous: KeyValue | None) -> WatchLog:
        return log(segment(6, batch(WatchedEvent(6, b"w/a", None, 0, previous))), previous_wanted=True)

    assert broken(event(KeyValue(b"w/a", b"3", 2, 4, 2)), truth) == []
    assert "prev_kv" in broken(event(KeyValue(b"w/a", b"1", 2, 2, 1)), truth)[0]
    assert "prev_kv" in broken(event(None), truth)[0]
    truth.compact_revision = 4
    assert broken(event(None), truth) == []


def test_a_healed_watch_must_have_been_told_everything(truth: Truth) -> None:
    assert list(watches.check_complete(log(segment(2, batch(A2, B3), batch(A4, B4), batch(A6))), truth, up_to=6)) == []
    found = list(watches.check_complete(log(segment(2, batch(A2, B3), batch(A4, B4))), truth, up_to=6))
    assert "still untold" in found[0].message
