"""Writes: one name for ever, one answer, batches, and what is definite when they fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_runtime import FakeRuntime
from replicas import Replicas, replicas

from raftstore import proposals as proposals_module
from raftstore.command import KIND_BATCH, Request, decode_batch, encode_command, encode_request, name_request
from raftstore.errors import InvalidRequest, OutcomeUnknown, Stopped, Timeout, TooManyRequests, UnknownKind
from raftstore.model import Put, PutResult
from raftstore.session import Session


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Replicas]:
    with replicas(tmp_path) as cluster:
        yield cluster


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Replicas]:
    with replicas(tmp_path, 3) as cluster:
        yield cluster


def batches(cluster: Replicas) -> list[int]:
    """How many requests each batch entry of the log holds."""
    return [len(decode_batch(e.payload)) for e in cluster.cluster.entries if e.payload[0] == KIND_BATCH]


def test_a_write_is_answered_with_its_revision(one: Replicas) -> None:
    assert one.execute(1, Put(b"k", b"v")) == PutResult(2)
    assert one[1].get(b"k").value == b"v"  # type: ignore[union-attr]


def test_a_named_request_is_the_encoded_request() -> None:
    command = Put(b"k", b"v")
    assert name_request(7, 300, 2, encode_command(command)) == encode_request(Request(7, 300, 2, command))


def test_writes_of_one_turn_are_one_entry(one: Replicas) -> None:
    one.put(b"first")
    before = len(batches(one))
    answers = [one.propose(1, Put(b"k%d" % n)) for n in range(50)]
    one.runtime.run()
    assert batches(one)[before:] == [50]
    assert sorted(a.value.revision for a in answers) == list(range(3, 53))


def test_what_arrives_while_entries_are_in_flight_is_the_next_batch(tmp_path: Path) -> None:
    with replicas(tmp_path, entries_in_flight_max=1) as one:
        one.put(b"first")
        before = len(batches(one))
        one.cluster.hold_commits = True
        answers = []
        for n in range(5):
            answers.append(one.propose(1, Put(b"k%d" % n)))
            one.runtime.run()
        assert batches(one)[before:] == [1]
        one.cluster.hold_commits = False
        one.cluster.commit()
        one.runtime.run()
        assert batches(one)[before:] == [1, 4]
        assert all(answer.given for answer in answers)


def test_an_entry_is_bounded_in_requests(tmp_path: Path) -> None:
    with replicas(tmp_path, entry_requests_max=8) as one:
        one.put(b"first")
        before = len(batches(one))
        for n in range(20):
            one.propose(1, Put(b"k%d" % n))
        one.runtime.run()
        assert batches(one)[before:] == [8, 8, 4]


def test_a_follower_forwards_and_answers_when_it_has_applied(three: Replicas) -> None:
    answer = three.propose(2, Put(b"k", b"v"))
    three.cluster.engines[2].hold_delivery = True
    three.runtime.run()
    three.cluster.engines[2].hold_delivery = False
    assert not answer.given
    three.cluster.commit()
    three.runtime.run()
    assert isinstance(answer.value, PutResult)
    assert three[2].get(b"k") is not None


def test_a_lost_forward_is_sent_again_and_applied_once(three: Replicas) -> None:
    three.put(b"warm", member_id=2)
    lost: list[str] = []

    def lose(source: int, target: int, message: dict[str, object]) -> bool:
        if message["type"] == "store.propose" and not lost:
            lost.append("once")
            return True
        return False

    three.cluster.lose = lose
    answer = three.propose(2, Put(b"k"))
    three.runtime.run()
    assert lost
    assert not answer.given
    three.runtime.advance(3.0)
    assert isinstance(answer.value, PutResult)
    assert three.versions(b"k") == [1, 1, 1]


def test_both_copies_in_the_log_are_applied_once(three: Replicas) -> None:
    """The forward arrives, its commit is slow, and the follower sends again under the same name."""
    three.put(b"warm", member_id=2)
    three.cluster.hold_commits = True
    answer = three.propose(2, Put(b"k"), 30.0)
    three.runtime.advance(4.0)
    entries = [r for e in three.cluster.entries if e.payload[0] == KIND_BATCH for r in decode_batch(e.payload)]
    copies = [request for request in entries if request.command == Put(b"k")]
    assert len(copies) > 1
    three.cluster.hold_commits = False
    three.cluster.commit()
    three.runtime.run()
    assert isinstance(answer.value, PutResult)
    assert three.versions(b"k") == [1, 1, 1]


def test_a_new_leader_is_given_what_the_old_one_lost(three: Replicas) -> None:
    three.put(b"warm", member_id=2)
    three.put(b"warm", member_id=1)
    three.cluster.hold_commits = True
    from_leader = three.propose(1, Put(b"a"))
    from_follower = three.propose(2, Put(b"b"))
    three.runtime.run()
    three.cluster.hold_commits = False
    three.cluster.elect(3, lose_tail=True)
    three.runtime.run()
    assert isinstance(from_leader.value, PutResult)
    assert isinstance(from_follower.value, PutResult)
    assert three.versions(b"a") == three.versions(b"b") == [1, 1, 1]


def test_a_write_that_was_never_sent_times_out_definitely(three: Replicas) -> None:
    three.put(b"warm")
    three.cluster.elect(0)
    answer = three.propose(2, Put(b"k"), 1.0)
    three.runtime.advance(1.1)
    assert isinstance(answer.value, Timeout)
    assert answer.value.definite
    three.cluster.elect(1)
    three.runtime.advance(5.0)
    assert three.versions(b"k") == [0, 0, 0]


def test_a_write_that_was_sent_times_out_indefinitely(three: Replicas) -> None:
    three.put(b"warm")
    three.cluster.hold_commits = True
    answer = three.propose(1, Put(b"k"), 1.0)
    three.runtime.advance(1.1)
    assert isinstance(answer.value, Timeout)
    assert not answer.value.definite


def test_a_deadline_is_kept_when_a_shorter_one_comes_later(one: Replicas) -> None:
    one.put(b"warm")
    one.cluster.hold_commits = True
    long = one.propose(1, Put(b"a"), 10.0)
    short = one.propose(1, Put(b"b"), 0.5)
    one.runtime.advance(0.6)
    assert short.given
    assert not long.given
    one.runtime.advance(10.0)
    assert isinstance(long.value, Timeout)


def test_stopping_says_what_may_still_happen(one: Replicas) -> None:
    one.put(b"warm")
    one.cluster.hold_commits = True
    sent = one.propose(1, Put(b"a"))
    one.runtime.run()
    unsent = one.propose(1, Put(b"b"))
    one[1].stop()
    assert isinstance(sent.value, OutcomeUnknown)
    assert isinstance(unsent.value, Stopped)
    assert unsent.value.definite
    late = one.propose(1, Put(b"c"))
    one.runtime.run()
    assert isinstance(late.value, Stopped)


def test_the_queue_is_bounded(one: Replicas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposals_module, "PROPOSALS_MAX", 3)
    answers = [one.propose(1, Put(b"%d" % n)) for n in range(5)]
    one.runtime.run()
    refused = [answer.value for answer in answers if isinstance(answer.value, TooManyRequests)]
    assert len(refused) == 2
    assert one[1].metrics.requests_refused == 2
    assert isinstance(one.execute(1, Put(b"k")), PutResult)  # there is room again


def test_the_queue_is_bounded_in_bytes(one: Replicas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposals_module, "PROPOSAL_BYTES_MAX", 1000)
    answers = [one.propose(1, Put(b"%d" % n, b"x" * 400)) for n in range(3)]
    one.runtime.run()
    assert [isinstance(answer.value, TooManyRequests) for answer in answers] == [False, False, True]


def test_a_bad_request_never_reaches_the_log(one: Replicas) -> None:
    before = len(one.cluster.entries)
    assert isinstance(one.execute(1, Put(b"")), InvalidRequest)
    assert len(one.cluster.entries) == before


def test_a_malformed_forward_never_reaches_the_log(three: Replicas) -> None:
    three.put(b"warm", member_id=2)
    before = len(three.cluster.entries)
    for requests in ([b"\xc1"], [b""], [3], "no", None):
        three[2].house.engine.send(1, {"type": "store.propose", "requests": requests})
    three.runtime.run()
    assert len(three.cluster.entries) == before


def test_a_kind_that_not_all_members_announce_is_not_proposed(one: Replicas) -> None:
    one.cluster.kinds = one.cluster.kinds - {"p"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(proposals_module, "COMMAND_TAGS_V1", frozenset({"sr"}))
        assert isinstance(one.execute(1, Put(b"k")), UnknownKind)
    assert isinstance(one.execute(1, Put(b"k")), PutResult)


def test_a_session_that_was_forgotten_is_replaced(one: Replicas) -> None:
    """The table refuses a name for ever, so what never took effect under it goes on under another."""
    one.put(b"warm")
    one[1].house.machine._sessions._sessions.clear()
    answers = [one.propose(1, Put(b"k%d" % n)) for n in range(3)]
    one.runtime.run()
    assert all(isinstance(answer.value, PutResult) for answer in answers)
    assert [one.versions(b"k%d" % n) for n in range(3)] == [[1]] * 3
    assert one[1].metrics.sessions_registered == 2


def test_a_session_forgotten_behind_a_snapshot_leaves_the_outcome_unknown(one: Replicas) -> None:
    one.put(b"warm")
    one.cluster.hold_commits = True
    sent = one.propose(1, Put(b"k"))
    one.runtime.run()
    one[1].house.installs += 1
    one[1].house.machine._sessions._sessions.clear()
    one.cluster.hold_commits = False
    one.cluster.commit()
    one.runtime.run()
    assert isinstance(sent.value, OutcomeUnknown)


def test_a_result_lost_behind_a_snapshot_is_unknown(one: Replicas) -> None:
    """The first copy took effect where this replica did not see it; the second is a duplicate."""
    one.put(b"warm")
    one.cluster.hold_commits = True
    sent = one.propose(1, Put(b"k"))
    one.runtime.run()
    machine = one[1].house.machine
    machine.apply([one.cluster.entries[-1]])
    one.cluster.engines[1].applied = machine.applied_index
    one.cluster.hold_commits = False
    one[1].proposals.send_again()
    one.runtime.run()
    assert isinstance(sent.value, OutcomeUnknown)
    assert not one.stopped
    assert machine.get(b"k").version == 1  # type: ignore[union-attr]


def test_the_lowest_sequence_moves_with_the_answers() -> None:
    session = Session(FakeRuntime())
    session.ask()
    session.registered(session.candidate)
    first, second, third = session.draw(), session.draw(), session.draw()
    session.release(second)
    assert session.lowest == first
    session.release(first)
    assert session.lowest == third


def test_a_session_keeps_within_its_window(monkeypatch: pytest.MonkeyPatch, one: Replicas) -> None:
    monkeypatch.setattr("raftstore.session.SESSION_WINDOW_MAX", 4)
    one.put(b"warm")
    before = len(batches(one))
    one.cluster.hold_commits = True
    answers = [one.propose(1, Put(b"k%d" % n)) for n in range(10)]
    one.runtime.run()
    assert batches(one)[before:] == [4]
    one.cluster.hold_commits = False
    one.cluster.commit()
    one.runtime.run()
    assert all(isinstance(answer.value, PutResult) for answer in answers)
