"""Waits after failures: the kubelet's 10 s to 300 s, and a new beginning after ten good minutes."""

from __future__ import annotations

from nodeagent.backoff import Backoffs


def test_each_failure_doubles_the_wait_up_to_five_minutes() -> None:
    backoffs, now, waits = Backoffs(), 0.0, []
    for _ in range(9):
        left = backoffs.left_s("c", failed=now, now=now)
        waits.append(left)
        started = now + left
        assert backoffs.left_s("c", failed=now, now=started) == 0
        backoffs.count("c", failed=now, now=started)
        now = started + 1
    assert waits == [0, 10, 20, 40, 80, 160, 300, 300, 300]
    assert backoffs.delay_s("c") == 300


def test_who_ran_for_ten_minutes_begins_anew() -> None:
    backoffs = Backoffs()
    for moment in (0.0, 20.0, 60.0):
        backoffs.count("c", failed=moment, now=moment)
    assert backoffs.left_s("c", failed=100.0, now=100.0) == 40
    assert backoffs.left_s("c", failed=60.0 + 601, now=661.0) == 0
    backoffs.count("c", failed=661.0, now=661.0)
    assert backoffs.delay_s("c") == 10


def test_each_is_on_its_own() -> None:
    backoffs = Backoffs()
    backoffs.count("one", failed=0, now=0)
    assert backoffs.left_s("one", failed=1, now=1) == 10
    assert backoffs.left_s("two", failed=1, now=1) == 0
