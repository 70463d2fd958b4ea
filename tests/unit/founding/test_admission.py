"""What members answer replicas that are none."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from raftstore.errors import ChangeInProgress, NotLeader
from raftstore.identity import PeerIdentity
from raftstore.raft import joining
from raftstore.raft.admission import Admission
from raftstore.raft.engine import Configuration, Member, Message, Role, Status
from raftstore.raft.joining import MalformedMessage, join_check, join_request, read_configuration

PRESENT = Configuration(9, (Member(1, "n1", "10.0.0.1:1"), Member(2, "n2", "10.0.0.2:1")))
NEW = Member(3, "n3", "10.0.0.3:1")
LEARNER = msgspec.structs.replace(NEW, learner=True)


class Engine:
    """As much of an engine as admission uses; a change is committed when the test says so."""

    def __init__(self) -> None:
        self.configuration = PRESENT
        self.role = Role.LEADER
        self.leader = 1
        self.committed = True
        self.peers = frozenset({2})
        self.confirmed = True
        self.error: Exception | None = None

    def status(self) -> Status:
        return Status(
            member_id=1,
            role=self.role,
            term=1,
            leader=self.leader,
            commit_index=1,
            durable_index=1,
            first_index=1,
            last_index=1,
            configuration=self.configuration,
            configuration_committed=self.committed,
            match={},
            kinds=frozenset(),
        )

    def connected_peers(self) -> frozenset[int]:
        return self.peers

    def change_configuration(self, configuration: Configuration) -> None:
        if self.error is not None:
            raise self.error
        self.configuration, self.committed = configuration, False

    async def confirm(self) -> bool:
        return self.confirmed

    def ask(self, question: Message, asker: PeerIdentity | None = None) -> Message:
        admission = Admission(self, self.confirm)  # type: ignore[arg-type]
        return asyncio.run(admission(asker or PeerIdentity(0, 3), question))


@pytest.fixture
def engine() -> Engine:
    return Engine()


def test_a_newcomer_is_added_step_by_step_until_it_is_committed(engine: Engine) -> None:
    assert engine.ask(join_request(NEW)) == joining.wait("joining")
    assert engine.configuration.members == (*PRESENT.members, LEARNER)
    assert engine.ask(join_request(NEW))["type"] == "join.wait", "not committed yet"
    engine.committed = True
    answer = engine.ask(join_request(NEW))
    assert answer["type"] == "join.accepted"
    assert read_configuration(answer["configuration"]) == engine.configuration


def test_a_member_that_lost_its_disk_is_removed_first(engine: Engine) -> None:
    engine.peers = frozenset()
    engine.ask(join_request(Member(3, "n2", "10.0.0.2:1")))
    assert engine.configuration.voters == {1}


def test_a_living_members_name_and_the_leaders_own_are_conflicts(engine: Engine) -> None:
    for name in ("n1", "n2"):
        answer = engine.ask(join_request(msgspec.structs.replace(NEW, name=name)))
        assert (answer["type"], answer["conflict"]) == ("join.wait", True)
    assert engine.configuration == PRESENT


def test_others_name_the_leader_or_say_that_there_is_none(engine: Engine) -> None:
    engine.role = Role.FOLLOWER
    engine.leader = 2
    assert engine.ask(join_request(NEW)) == joining.redirect("10.0.0.2:1")
    assert engine.ask(join_check(NEW)) == joining.redirect("10.0.0.2:1")
    engine.leader = 0
    assert engine.ask(join_request(NEW))["type"] == "join.wait"


@pytest.mark.parametrize("error", [NotLeader("no"), ChangeInProgress("busy")])
def test_a_refused_change_is_asked_for_again(engine: Engine, error: Exception) -> None:
    engine.error = error
    answer = engine.ask(join_request(NEW))
    assert (answer["type"], answer["conflict"]) == ("join.wait", False)


def test_a_bad_request_is_refused_for_good(engine: Engine) -> None:
    assert engine.ask(join_request(msgspec.structs.replace(NEW, address="nowhere")))["type"] == "join.refused"


def test_only_a_confirmed_leader_says_who_is_no_member(engine: Engine) -> None:
    assert engine.ask(join_check(NEW)) == {"type": "join.standing", "standing": "unknown"}
    engine.configuration = Configuration(9, (*PRESENT.members, LEARNER))
    assert engine.ask(join_check(NEW))["standing"] == "learner"
    assert engine.ask(join_check(PRESENT.members[1]), PeerIdentity(9, 2))["standing"] == "voter"
    engine.confirmed = False
    assert engine.ask(join_check(NEW))["type"] == "join.wait"
    engine.confirmed, engine.committed = True, False
    assert engine.ask(join_check(NEW))["type"] == "join.wait"


def test_founding_questions_are_answered_with_the_cluster_that_exists(engine: Engine) -> None:
    question = join_request(NEW) | {"type": "found.probe"}
    assert engine.ask(question) == joining.exists(PRESENT)


@pytest.mark.parametrize(
    ("change", "asker"),
    [
        ({}, PeerIdentity(0, 4)),  # speaks for another member than its certificate's
        ({"from": None}, None),
        ({"from": [3, "n3"]}, None),
        ({"type": "join.nonsense"}, None),
    ],
)
def test_malformed_questions(engine: Engine, change: dict[str, Any], asker: PeerIdentity | None) -> None:
    with pytest.raises(MalformedMessage):
        engine.ask(join_request(NEW) | change, asker)
    assert engine.configuration == PRESENT
