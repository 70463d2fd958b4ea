"""Linearizable reads: a round begun after the reader came, shared, and applied here before anything is read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from replicas import Answer, Replicas, replicas

from raftstore import reading as reading_module
from raftstore.errors import Compacted, FutureRevision, Stopped, Timeout, TooManyRequests
from raftstore.model import Range, RangeResult


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Replicas]:
    with replicas(tmp_path, 3) as cluster:
        cluster.put(b"k", b"v")
        yield cluster


def value(answer: Answer) -> bytes | None:
    assert isinstance(answer.value, RangeResult), answer.value
    return answer.value.kvs[0].value if answer.value.kvs else None


@pytest.mark.parametrize("member_id", [1, 2])
def test_a_read_sees_every_finished_write(three: Replicas, member_id: int) -> None:
    for number in range(5):
        three.put(b"k", b"%d" % number)
        answer = three.read(member_id, b"k")
        three.runtime.run()
        assert value(answer) == b"%d" % number


def test_readers_of_one_turn_share_a_round(three: Replicas) -> None:
    engine = three.cluster.engines[1]
    before = engine.rounds_asked
    answers = [three.read(1, b"k") for _ in range(64)]
    three.runtime.run()
    assert engine.rounds_asked == before + 1
    assert {value(answer) for answer in answers} == {b"v"}


def test_a_reader_joins_the_next_round_never_one_already_sent(three: Replicas) -> None:
    """The first round's index was taken before the write; the reader behind the write needs another."""
    engine = three.cluster.engines[1]
    engine.hold_rounds = True
    before = engine.rounds_asked
    early = three.read(1, b"k")
    three.runtime.run()
    assert engine.rounds_asked == before + 1
    late = three.read(1, b"k")
    three.runtime.run()
    assert engine.rounds_asked == before + 1
    engine.confirm_rounds()
    assert early.given
    assert not late.given
    three.runtime.run()
    assert engine.rounds_asked == before + 2
    engine.confirm_rounds()
    assert late.given


def test_followers_join_the_leaders_next_round_too(three: Replicas) -> None:
    engine = three.cluster.engines[1]
    engine.hold_rounds = True
    before = engine.rounds_asked
    at_leader = three.read(1, b"k")
    three.runtime.run()
    at_follower = three.read(2, b"k")
    three.runtime.run()
    engine.confirm_rounds()
    three.runtime.run()
    assert at_leader.given
    assert not at_follower.given
    assert engine.rounds_asked == before + 2
    engine.confirm_rounds()
    three.runtime.run()
    assert value(at_follower) == b"v"


def test_a_reader_waits_until_its_replica_has_applied(three: Replicas) -> None:
    three.cluster.engines[2].hold_delivery = True
    three.put(b"k", b"new")
    answer = three.read(2, b"k")
    three.runtime.run()
    assert not answer.given
    three.cluster.engines[2].hold_delivery = False
    three.cluster.commit()
    three.runtime.run()
    assert value(answer) == b"new"


def test_a_local_read_does_not_wait(three: Replicas) -> None:
    three.cluster.elect(0)
    answer = Answer()
    three[2].range(Range(b"k"), "local", answer)
    three.runtime.run()
    assert value(answer) == b"v"


def test_a_revision_that_is_here_is_read_at_once_and_one_to_come_is_refused(three: Replicas) -> None:
    revision = three.put(b"k", b"w")
    three.cluster.elect(0)
    here = Answer()
    three[1].range(Range(b"k", revision=revision - 1), "linearizable", here)
    three.runtime.run()
    assert value(here) == b"v"
    three.cluster.elect(1)
    to_come = Answer()
    three[1].range(Range(b"k", revision=revision + 1), "linearizable", to_come)
    three.runtime.run()
    assert isinstance(to_come.value, FutureRevision)


def test_a_compacted_revision_is_refused(three: Replicas) -> None:
    from raftstore.command import Compact

    three.put(b"k", b"w")
    revision = three.put(b"k", b"x")
    three.execute(1, Compact(revision))
    answer = Answer()
    three[1].range(Range(b"k", revision=revision - 1), "linearizable", answer)
    three.runtime.run()
    assert isinstance(answer.value, Compacted)


def test_without_a_leader_a_reader_times_out(three: Replicas) -> None:
    three.cluster.elect(0)
    answer = three.read(2, b"k", 1.0)
    three.runtime.advance(0.9)
    assert not answer.given
    three.runtime.advance(0.2)
    assert isinstance(answer.value, Timeout)
    assert three[2].metrics.readers_timed_out == 1


def test_a_reader_survives_a_change_of_leader(three: Replicas) -> None:
    three.cluster.engines[1].hold_rounds = True
    answers = [three.read(1, b"k"), three.read(2, b"k")]
    three.runtime.run()
    three.cluster.elect(3)
    three.runtime.advance(0.5)
    assert [value(answer) for answer in answers] == [b"v", b"v"]


def test_an_index_of_a_round_given_up_releases_nobody(three: Replicas) -> None:
    """The engine confirms a round of an earlier term: its readers are in another one by then."""
    engine = three.cluster.engines[1]
    engine.hold_rounds = True
    answer = three.read(1, b"k")
    three.runtime.run()
    held = engine._rounds.copy()
    three.cluster.elect(1)
    three.runtime.run()
    assert len(engine._rounds) == 2
    for done in held:
        done(three.cluster.commit_index)
    three.runtime.run()
    assert not answer.given


def test_a_cut_off_leader_answers_no_reader(three: Replicas) -> None:
    three.cluster.cut.add(1)
    answer = three.read(1, b"k", 2.0)
    three.runtime.advance(3.0)
    assert isinstance(answer.value, Timeout)


def test_readers_are_bounded(three: Replicas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading_module, "READERS_MAX", 2)
    answers = [three.read(1, b"k") for _ in range(3)]
    three.runtime.run()
    assert [isinstance(answer.value, TooManyRequests) for answer in answers] == [False, False, True]


def test_stopping_answers_every_reader(three: Replicas) -> None:
    three.cluster.engines[1].hold_rounds = True
    in_flight = three.read(1, b"k")
    three.runtime.run()
    waiting = three.read(1, b"k")
    three[1].stop()
    assert isinstance(in_flight.value, Stopped)
    assert isinstance(waiting.value, Stopped)
