"""Checkers of client histories: each lets a right history pass and names what is wrong with a planted one."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from planted import Planted

from raftstore.model import KeyValue
from raftstore.sim.checkers import Violation, leases, linearizability, registers, writes
from raftstore.sim.checkers.leases import Expiry
from raftstore.sim.history import Kind, Operation, Outcome
from raftstore.sim.truth import Contradiction

K = b"k"


def verdicts(planted: Planted) -> list[Violation]:
    return [
        *linearizability.check(planted.history, planted.truth),
        *registers.check(planted.history),
        *writes.check(planted.history, planted.truth),
    ]


def checkers(planted: Planted) -> set[str]:
    return {violation.checker for violation in verdicts(planted)}


def test_a_right_history_passes() -> None:
    planted = Planted()
    planted.put(K, b"a", 1, 2)
    planted.get(K, 3, 4)
    planted.put(K, b"b", 5, 8)
    planted.get(K, 6, 7, revision=2)  # concurrent with the put: before it
    planted.get(K, 6, 9)
    revision = planted.commit({K: b"c"})
    planted.asked(Kind.PUT, K, 10, values={K: b"c"})
    planted.get(K, 11, 12)
    expected = {"expected_revision": revision, "expected_value": b"c"}
    revision = planted.commit({K: b"d"})
    planted.answered(Kind.SWAP, K, 13, 14, revision, values={K: b"d"}, succeeded=True, **expected)
    planted.answered(Kind.SWAP, K, 15, 16, revision, values={K: b"e"}, read=planted.get(K, 15, 16).read, **expected)
    revision = planted.commit({K: None})
    planted.answered(Kind.DELETE, K, 17, 18, revision, deleted=1)
    planted.get(K, 19, 20)
    assert verdicts(planted) == []


def test_a_stale_read_is_seen_by_both_ways_of_judging() -> None:
    planted = Planted()
    planted.put(K, b"a", 1, 2)
    planted.put(K, b"b", 3, 4)
    planted.get(K, 5, 6, revision=2)
    assert checkers(planted) == {"linearizability", "register linearizability"}
    assert "began after the end of #1 put" in str(verdicts(planted)[0])


def test_a_local_read_may_be_stale_but_not_wrong() -> None:
    planted = Planted()
    planted.put(K, b"a", 1, 2)
    planted.put(K, b"b", 3, 4)
    stale = planted.get(K, 5, 6, revision=2)
    stale.kind = Kind.LOCAL_GET
    assert verdicts(planted) == []
    stale.read = (KeyValue(K, b"b", 2, 3, 2),)
    assert checkers(planted) == {"linearizability"}


def test_two_reads_that_go_back_in_time_are_seen() -> None:
    planted = Planted()
    planted.put(K, b"a", 1, 2)
    revision = planted.commit({K: b"b"})
    planted.asked(Kind.PUT, K, 3, values={K: b"b"})
    planted.get(K, 4, 5)
    planted.get(K, 6, 7, revision=revision - 1)
    assert checkers(planted) == {"linearizability", "register linearizability"}


def test_a_read_of_what_was_never_there_is_seen() -> None:
    planted = Planted()
    planted.put(K, b"a", 1, 2)
    planted.get(K, 3, 4).read = (KeyValue(K, b"x", 2, 2, 1),)
    assert checkers(planted) == {"linearizability", "register linearizability"}


def test_a_range_that_lacks_a_key_is_seen() -> None:
    planted = Planted()
    planted.put(b"r/1", b"a", 1, 2)
    planted.put(b"r/2", b"b", 1, 2)
    one = KeyValue(b"r/1", b"a", 2, 2, 1)
    planted.answered(Kind.RANGE, b"r/", 3, 4, 3, range_end=b"r0", read=(one,), count=1)
    assert checkers(planted) == {"linearizability"}


def test_a_swap_that_succeeded_on_another_revision_is_seen() -> None:
    planted = Planted()
    planted.put(K, b"a", 1, 2)
    planted.put(K, b"b", 3, 4)
    revision = planted.commit({K: b"c"})
    expected = {"expected_revision": 2, "expected_value": b"a"}
    planted.answered(Kind.SWAP, K, 5, 6, revision, values={K: b"c"}, succeeded=True, **expected)
    assert checkers(planted) == {"linearizability", "register linearizability"}


def test_a_swap_that_failed_though_its_compare_held_is_seen() -> None:
    planted = Planted()
    planted.put(K, b"a", 1, 2)
    read = planted.get(K, 3, 4).read
    planted.answered(Kind.SWAP, K, 5, 6, 2, values={K: b"c"}, read=read, expected_revision=2, expected_value=b"a")
    assert "linearizability" in checkers(planted)


def test_a_delete_that_counts_wrong_is_seen() -> None:
    planted = Planted()
    planted.put(K, b"a", 1, 2)
    planted.answered(Kind.DELETE, K, 3, 4, 2, deleted=0)
    assert "linearizability" in checkers(planted)


def test_two_writes_at_one_revision_out_of_real_time_order_are_seen() -> None:
    planted = Planted()
    revision = planted.commit({b"a": b"1", b"b": b"2"})
    planted.answered(Kind.PUT, b"a", 1, 2, revision, values={b"a": b"1"})
    planted.answered(Kind.PUT, b"b", 3, 4, revision, values={b"b": b"2"})
    assert "linearizability" in checkers(planted)


def test_a_lost_write_is_seen() -> None:
    planted = Planted()
    planted.put(K, b"a", 1, 2)
    planted.answered(Kind.PUT, K, 3, 4, 3, values={K: b"b"})
    assert "acknowledged write lost" in checkers(planted)


def test_a_lost_delete_is_seen() -> None:
    planted = Planted()
    planted.put(K, b"a", 1, 2)
    planted.answered(Kind.DELETE, K, 3, 4, 3, deleted=1)
    assert "acknowledged write lost" in checkers(planted)


def test_a_write_applied_twice_is_seen() -> None:
    planted = Planted()
    planted.put(K, b"a", 1, 5)
    planted.commit({K: b"a"})
    assert "exactly once" in checkers(planted)


@pytest.mark.parametrize("kind", [Kind.PUT, Kind.SWAP])
def test_a_refused_write_that_happened_is_seen(kind: Kind) -> None:
    planted = Planted()
    planted.commit({K: b"a"})
    planted.asked(kind, K, 1, values={K: b"a"}, completed_s=2, outcome=Outcome.FAILED, error="NoLeader")
    assert checkers(planted) == {"refused writes never happen"}


def test_a_write_from_nowhere_is_seen() -> None:
    planted = Planted()
    planted.commit({K: b"a"})
    assert checkers(planted) == {"no write from nowhere"}


def test_a_write_before_its_request_is_seen() -> None:
    planted = Planted()
    planted.commit({K: b"early"})
    planted.put(K, b"a", 1, 2)
    planted.asked(Kind.PUT, K, 3, values={K: b"early"})
    assert checkers(planted) == {"no write before its request"}


def test_a_state_that_differs_from_the_log_is_seen() -> None:
    planted = Planted()
    planted.put(b"a", b"1", 1, 2)
    planted.put(b"b", b"2", 1, 2)
    held = list(planted.held.values())
    assert not list(writes.check_final_state(1, 3, held, planted.history, planted.truth))
    assert [v.checker for v in writes.check_final_state(1, 3, held[:1], planted.history, planted.truth)] == [
        "state equals the log"
    ]
    assert writes.LOST in {v.checker for v in writes.check_final_state(1, 2, held[:1], planted.history, planted.truth)}


def test_replicas_that_disagree_are_seen() -> None:
    planted = Planted()
    planted.commit({K: b"a"})
    other = Planted()
    other.commit({K: b"b"})
    with pytest.raises(Contradiction, match="revision 2"):
        planted.truth.events_applied(2, [other._event(K, b"b", 0)], 1.0)
    planted.truth.digest_seen(1, 7, b"x")
    with pytest.raises(Contradiction, match="index 7"):
        planted.truth.digest_seen(2, 7, b"y")


# --- the register search against brute force --------------------------------------------------------


def brute_force(operations: list[Operation]) -> bool:
    """Every order that real time allows, unanswered writes anywhere after their start or nowhere."""

    def search(state: bytes | None, left: list[Operation]) -> bool:
        if all(operation.outcome is Outcome.UNKNOWN for operation in left):
            return True
        first_end = min(operation.completed_s for operation in left)
        for operation in left:
            if operation.invoked_s < first_end:
                legal, after = registers._step(state, operation)
                if legal and search(after, [other for other in left if other is not operation]):
                    return True
        return False

    return search(None, operations)


@given(st.integers(min_value=0, max_value=10**9))
def test_the_register_search_agrees_with_brute_force(seed: int) -> None:
    rng = random.Random(seed)
    planted = Planted()
    times = rng.sample(range(100), 14)
    values = [b"a", b"b", b"c", b"d", b"e", b"f", b"g"]
    for number in range(7):
        start_s, end_s = sorted(times[2 * number : 2 * number + 2])
        seen = rng.choice([None, *values])
        read = (KeyValue(K, seen, 1, 1, 1),) if seen else ()
        kind = rng.choice([Kind.PUT, Kind.PUT, Kind.GET, Kind.GET, Kind.SWAP, Kind.DELETE])
        swap = {"expected_value": rng.choice([None, *values]), "succeeded": rng.random() < 0.5}
        answers: dict[Kind, dict[str, Any]] = {
            Kind.PUT: {"values": {K: values[number]}},
            Kind.GET: {"read": read},
            Kind.SWAP: {"values": {K: values[number]}, "read": read, **swap},
            Kind.DELETE: {},
        }
        fields = answers[kind]
        if rng.random() < 0.2 and kind is not Kind.GET:
            planted.asked(kind, K, start_s, **fields)
        else:
            planted.answered(kind, K, start_s, end_s, 0, **fields)
    found = list(registers.check_key(planted.history.operations))
    assert bool(found) != brute_force(planted.history.operations)


def test_a_search_that_grows_too_wide_gives_no_verdict() -> None:
    planted = Planted()
    for number in range(40):
        planted.asked(Kind.PUT, K, 1, values={K: b"%d" % number})
        planted.answered(Kind.GET, K, 1 + number, 100, 0, read=(KeyValue(K, b"%d" % number, 1, 1, 1),))
    with pytest.raises(registers.TooWide):
        list(registers.check_key(planted.history.operations))
    assert list(registers.check(planted.history)) == []


# --- leases -----------------------------------------------------------------------------------------


def lease_history() -> Planted:
    planted = Planted()
    planted.answered(Kind.GRANT, b"", 10.0, 10.5, 1, lease=7, ttl_s=5)
    planted.answered(Kind.KEEP_ALIVE, b"", 13.0, 13.1, 1, lease=7, ttl_s=5)
    return planted


def test_a_lease_that_expires_in_time_passes() -> None:
    assert list(leases.check(lease_history().history, [Expiry(7, 18.0)], rate_max=1.0)) == []
    assert list(leases.check(lease_history().history, [Expiry(7, 17.6)], rate_max=1.1)) == []


def test_a_lease_that_expires_early_is_seen() -> None:
    found = list(leases.check(lease_history().history, [Expiry(7, 17.9)], rate_max=1.0))
    assert len(found) == 1
    assert "keep-alive" in found[0].message


def test_a_keep_alive_of_a_dead_lease_is_seen() -> None:
    planted = lease_history()
    planted.answered(Kind.KEEP_ALIVE, b"", 20.0, 20.1, 1, lease=7, ttl_s=5)
    assert [v.checker for v in leases.check(planted.history, [Expiry(7, 19.0)], rate_max=1.0)] == ["lease"]


def test_a_lease_that_never_ends_is_seen() -> None:
    planted = lease_history()
    assert list(leases.check_ended([7], planted.history, 20.0, bound_s=3.0)) == []
    assert [v.checker for v in leases.check_ended([7], planted.history, 30.0, bound_s=3.0)] == ["lease"]
