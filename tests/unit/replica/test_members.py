"""Membership through any replica: one step at a time, asked of whoever leads, answered when committed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from replicas import Answer, Replicas, replicas

from raftstore.errors import ChangeInProgress, LastVoter, LearnerNotReady, MemberExists, MemberNotFound, TooFewConnected
from raftstore.members import ADD, PROMOTE, REMOVE, UPDATE
from raftstore.raft.engine import Configuration, Member, Role

NEWCOMER = Member(9, "m9", "127.0.0.1:9", learner=True)


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Replicas]:
    with replicas(tmp_path, 3) as cluster:
        yield cluster


def ask(cluster: Replicas, kind: str, body: dict[str, object], member_id: int = 2) -> Answer:
    answer = Answer()
    cluster[member_id].change_members(kind, body, answer, 5.0)
    cluster.runtime.run()
    return answer


def add(cluster: Replicas, member: Member = NEWCOMER, member_id: int = 2) -> Answer:
    return ask(cluster, ADD, {"member": msgspec.to_builtins(member)}, member_id)


@pytest.mark.parametrize("member_id", [1, 2])
def test_a_member_is_added_as_a_learner_through_any_replica(three: Replicas, member_id: int) -> None:
    answer = add(three, msgspec.structs.replace(NEWCOMER, learner=False), member_id)
    assert isinstance(answer.value, Configuration)
    assert answer.value.learners == {9}
    assert three.cluster.configuration == answer.value


def test_what_may_not_be_is_refused_by_name(three: Replicas) -> None:
    add(three)
    assert isinstance(add(three).value, MemberExists)
    assert isinstance(ask(three, REMOVE, {"id": 77}).value, MemberNotFound)
    assert isinstance(ask(three, PROMOTE, {"id": 9}).value, LearnerNotReady)


def test_the_last_voter_stays(tmp_path: Path) -> None:
    with replicas(tmp_path) as one:
        assert isinstance(ask(one, REMOVE, {"id": 1}, 1).value, LastVoter)


def test_an_answer_that_got_lost_is_no_failure(three: Replicas) -> None:
    """The step is asked for again and is true already."""
    lost: list[str] = []

    def lose(source: int, target: int, message: dict[str, object]) -> bool:
        if message["type"] == "store.answer" and not lost:
            lost.append("answer")
            return True
        return False

    three.cluster.lose = lose
    added = add(three)
    three.runtime.advance(3.0)
    assert isinstance(added.value, Configuration)
    lost.clear()
    removed = ask(three, REMOVE, {"id": 9})
    three.runtime.advance(3.0)
    assert isinstance(removed.value, Configuration)
    assert three.cluster.configuration.member(9) is None


def test_a_change_under_way_is_waited_for(three: Replicas) -> None:
    three.cluster.hold_commits = True
    answer = add(three)
    three.runtime.advance(1.0)
    assert not answer.given
    three.cluster.hold_commits = False
    three.runtime.advance(1.0)
    assert isinstance(answer.value, Configuration)


def test_a_change_that_never_ends_is_named(three: Replicas) -> None:
    three.cluster.hold_commits = True
    answer = add(three)
    three.runtime.advance(6.0)
    assert isinstance(answer.value, ChangeInProgress)


def test_a_live_voter_stays_while_the_others_could_not_decide_without_it(three: Replicas) -> None:
    three.cluster.cut.add(3)
    assert isinstance(ask(three, REMOVE, {"id": 2}).value, TooFewConnected)
    assert isinstance(ask(three, REMOVE, {"id": 3}).value, Configuration), "the dead one may go"


def test_a_leader_hands_over_before_it_is_removed(three: Replicas) -> None:
    answer = ask(three, REMOVE, {"id": 1})
    three.runtime.advance(2.0)
    assert isinstance(answer.value, Configuration)
    assert three.cluster.leader != 1
    assert three.cluster.configuration.voters == {2, 3}


def test_an_address_changes(three: Replicas) -> None:
    answer = ask(three, UPDATE, {"id": 3, "fields": {"address": "127.0.0.1:33"}})
    assert answer.value.member(3).address == "127.0.0.1:33"


def test_a_learner_that_has_caught_up_is_promoted_by_itself(three: Replicas) -> None:
    learner = [msgspec.structs.replace(m, learner=m.id == 3) for m in three.cluster.configuration.members]
    three.cluster.configuration = msgspec.structs.replace(three.cluster.configuration, members=tuple(learner))
    assert three.cluster.engines[3].status().role is Role.LEARNER
    three.cluster.cut.add(3)
    three.runtime.advance(5.0)
    assert three.cluster.configuration.learners == {3}, "one that is not connected stays"
    three.cluster.cut.clear()
    three.runtime.advance(3.0)
    assert three.cluster.configuration.voters == {1, 2, 3}


@pytest.mark.parametrize("member_id", [1, 2])
def test_leadership_moves_on_request(three: Replicas, member_id: int) -> None:
    answer = Answer()
    three[member_id].transfer(3, answer)
    three.runtime.advance(1.0)
    assert answer.value is None
    assert three.cluster.leader == 3


def test_leadership_moves_to_nobody_unknown(three: Replicas) -> None:
    answer = Answer()
    three[2].transfer(77, answer)
    three.runtime.advance(1.0)
    assert isinstance(answer.value, MemberNotFound)
