"""A command is applied at most once, and a session that was forgotten applies nothing."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mvcc_world import World, requests, world

from raftstore.command import KIND_NOOP, RegisterSession, Request
from raftstore.errors import InvalidRequest, SessionExpired, TooManyRequests
from raftstore.limits import SESSION_IDLE_ENTRIES_MAX, SESSION_WINDOW_MAX, SESSIONS_MAX
from raftstore.model import Put, PutResult
from raftstore.mvcc import Duplicate, SessionRegistered
from raftstore.mvcc.schema import META_STATE, State, load_state


def register(one: World, *sessions: int) -> list[Any]:
    payload = requests(Request(session, 0, 0, RegisterSession(session)) for session in sessions)
    return [outcome.result for outcome in one.apply(payload).outcomes]


def send(one: World, session: int, sequence: int, lowest: int = 1) -> Any:
    payload = requests([Request(session, sequence, lowest, Put(b"s%d" % session, b"%d" % sequence))])
    (outcome,) = one.apply(payload).outcomes
    assert (outcome.session, outcome.sequence) == (session, sequence)
    return outcome.result


def skip_entries(one: World, count: int) -> None:
    """As if `count` entries of no interest had been applied: writes the state row and opens it again."""
    machine = one.machine
    with machine._environment.begin(write=True) as txn:
        state = load_state(txn, machine._tables)
        later = State(state.applied_index + count, *state[1:])
        txn.put(META_STATE, later.encode(), db=machine._tables.meta)
    one.reopen()


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    deliveries=st.lists(st.tuples(st.sampled_from([5, 6]), st.integers(1, 12), st.integers(0, 6)), max_size=60),
    reopen_at=st.integers(0, 60),
)
def test_whatever_is_sent_again_is_applied_once(deliveries: list[tuple[int, int, int]], reopen_at: int) -> None:
    """Requests of two sessions arrive in any order and any number of times, with any honest `lowest`."""
    with world() as one:
        register(one, 5, 6)
        applied: set[tuple[int, int]] = set()
        floor = {5: 1, 6: 1}
        for place, (session, sequence, above) in enumerate(deliveries):
            if place == reopen_at:
                one.reopen()
            lowest = max(1, sequence - above)
            before = one.machine.revision
            result = send(one, session, sequence, lowest)
            if sequence >= floor[session] and lowest > floor[session]:
                floor[session] = lowest
            if sequence < floor[session]:
                assert type(result) is SessionExpired
            elif (session, sequence) in applied:
                assert result == Duplicate()
            else:
                assert type(result) is PutResult
                applied.add((session, sequence))
            assert one.machine.revision - before == (type(result) is PutResult)


def test_unknown_session_is_refused() -> None:
    with world() as one:
        assert type(send(one, 9, 1)) is SessionExpired
        assert one.machine.revision == 1
        assert register(one, 9) == [SessionRegistered(9)]
        assert type(send(one, 9, 1)) is PutResult


def test_registering_again_keeps_what_was_applied() -> None:
    with world() as one:
        register(one, 9)
        send(one, 9, 1)
        register(one, 9)
        assert send(one, 9, 1) == Duplicate()


def test_one_entry_may_hold_a_request_twice() -> None:
    with world() as one:
        register(one, 9)
        twice = [Request(9, 1, 1, Put(b"k")), Request(9, 1, 1, Put(b"k"))]
        results = [outcome.result for outcome in one.apply(requests(twice)).outcomes]
        assert results == [PutResult(2), Duplicate()]


def test_a_failed_command_is_not_tried_again() -> None:
    with world() as one:
        register(one, 9)
        payload = requests([Request(9, 1, 1, Put(b"", b"v"))])
        assert type(one.apply(payload).outcomes[0].result) is InvalidRequest
        assert one.apply(payload).outcomes[0].result == Duplicate()


def test_window_is_bounded() -> None:
    with world() as one:
        register(one, 9)
        assert type(send(one, 9, SESSION_WINDOW_MAX)) is PutResult
        assert type(send(one, 9, SESSION_WINDOW_MAX + 1)) is TooManyRequests
        assert type(send(one, 9, SESSION_WINDOW_MAX + 1, lowest=2)) is PutResult
        one.reopen()
        assert send(one, 9, SESSION_WINDOW_MAX, lowest=2) == Duplicate()


def test_numbers_without_meaning_are_refused_and_change_nothing() -> None:
    with world() as one:
        register(one, 9)
        for sequence, lowest in ((0, 0), (1, 2), (2**63, 1), (2**64 - 1, 2**64 - 1)):
            assert type(send(one, 9, sequence, lowest)) is InvalidRequest
        assert type(send(one, 9, 1)) is PutResult
        for session in (2**63, 2**64 - 1):
            assert type(register(one, session)[0]) is InvalidRequest


def test_table_is_bounded_and_the_longest_unused_goes() -> None:
    with world() as one:
        register(one, *range(1, SESSIONS_MAX + 1))
        send(one, 1, 1)  # 2 is now among the longest unused, and of those the lowest number
        register(one, 10_000)
        assert one.machine.session_count == SESSIONS_MAX
        assert type(send(one, 2, 1)) is SessionExpired
        assert send(one, 1, 1) == Duplicate()
        assert type(send(one, 3, 1)) is PutResult
        one.reopen()
        assert one.machine.session_count == SESSIONS_MAX


def test_idle_session_is_forgotten_by_log_position() -> None:
    with world() as one:
        register(one, 8, 9)
        send(one, 9, 1)
        skip_entries(one, SESSION_IDLE_ENTRIES_MAX - 2)
        assert send(one, 9, 1) == Duplicate()
        assert type(send(one, 8, 1)) is SessionExpired
        assert one.machine.session_count == 1
        skip_entries(one, SESSION_IDLE_ENTRIES_MAX)
        assert type(send(one, 9, 2)) is SessionExpired
        register(one, 10)
        assert one.machine.session_count == 1


def test_an_empty_entry_moves_only_the_index() -> None:
    with world() as one:
        before = one.machine.revision
        one.apply(bytes((KIND_NOOP,)))
        assert (one.machine.applied_index, one.machine.revision) == (2, before)
