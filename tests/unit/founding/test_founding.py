"""Founding: one document whatever happens, and a cluster soon when nothing does."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from founding_world import RUDE, World
from hypothesis import given, settings
from hypothesis import strategies as st

from raftstore.errors import InvalidRequest, MembershipError
from raftstore.raft.engine import Configuration, Member
from raftstore.raft.founding import (
    ANSWER_S_MAX,
    Ballot,
    Founder,
    FoundingState,
    FoundingTiming,
    check_list,
    list_digest,
)
from raftstore.raft.joining import MalformedMessage, exists

LIST = {"n1": "10.0.0.1:2380", "n2": "10.0.0.2:2380", "n3": "10.0.0.3:2380"}
RUNNING = Configuration(77, (Member(5, "n9", "10.0.0.9:2380"),))


def founder(name: str = "n1", cluster: dict[str, str] | None = None, state: FoundingState | None = None) -> Founder:
    cluster = LIST if cluster is None else cluster
    number = int(name[1:])
    return Founder(
        Member(number, name, cluster.get(name, "10.0.0.1:1")),
        cluster,
        state or FoundingState(member_id=number, list_digest=list_digest(cluster)),
        random=lambda: 0.5,
        random_id=lambda: 4242,
    )


@given(
    names=st.sampled_from([2, 3, 4, 5]),
    seed=st.integers(0, 1 << 32),
    loss=st.sampled_from([0.0, 0.1, 0.4]),
    doubling=st.sampled_from([0.0, 0.3]),
    crash=st.sampled_from([0.0, 0.02, 0.1]),
    muted=st.booleans(),
    timing=st.sampled_from([None, RUDE]),
)
@settings(max_examples=150)
def test_never_two_documents_and_one_when_healed(
    names: int, seed: int, loss: float, doubling: float, crash: float, muted: bool, timing: FoundingTiming | None
) -> None:
    world = World(names, seed, timing)
    world.run(200, loss=loss, doubling=doubling, crash=crash, muted=muted)
    assert len(world.decided()) <= 1
    world.heal()
    for _ in range(1500):
        world.step()
        if world.all_done():
            break
    assert world.all_done(), "no cluster though everybody is there and nothing is lost"
    (document,) = world.decided()
    assert len(document.members) * 2 > names
    for replica in world.replicas.values():
        outcome = replica.founder.outcome
        assert outcome is not None
        assert outcome.member == (document.member(replica.disk.member_id) is not None)


def test_all_present_found_in_one_round_with_everybody() -> None:
    world = World(3, seed=1)
    world.run(30)
    (document,) = world.decided()
    assert sorted(member.name for member in document.members) == ["n1", "n2", "n3"]
    assert document.learners == frozenset()
    assert max(replica.disk.promised.round for replica in world.replicas.values()) == 1


def test_a_majority_founds_without_the_absent_one_which_joins_later() -> None:
    world = World(3, seed=2)
    absent = world.replicas["n3"]
    absent.alive = False
    absent.start = lambda: None  # type: ignore[method-assign]
    world.run(60)
    (document,) = world.decided()
    assert [member.name for member in document.members] == ["n1", "n2"]
    del absent.start
    absent.start()
    world.run(30)
    assert absent.founder.outcome is not None
    assert not absent.founder.outcome.member
    assert absent.founder.outcome.configuration == document


def test_the_whole_list_is_waited_for_a_moment() -> None:
    one = founder("n1")
    one.tick(0.0)
    _, _ = one.answer(founder("n2")._question("found.probe"), 0.01)
    kinds = {question["type"] for _, question in one.tick(0.2).sends}
    assert "found.prepare" not in kinds
    kinds = {question["type"] for _, question in one.tick(0.55).sends}
    assert "found.prepare" in kinds


def test_a_minority_never_founds() -> None:
    one = founder("n1", {f"n{number}": f"10.0.0.{number}:1" for number in range(1, 6)})
    one.answer(one_of(5, "n2"), 0.0)
    for step in range(500):
        sends = one.tick(step * 0.02).sends
        one.answer(one_of(5, "n2"), step * 0.02)
        assert all(question["type"] == "found.probe" for _, question in sends)
    assert one.outcome is None


def one_of(names: int, name: str) -> dict[str, Any]:
    return founder(name, {f"n{number}": f"10.0.0.{number}:1" for number in range(1, names + 1)})._question(
        "found.probe"
    )


def test_a_single_name_founds_at_once_and_saves_first() -> None:
    one = founder("n1", {"n1": "10.0.0.1:2380"})
    actions = one.tick(0.0)
    assert actions.save is not None
    assert actions.save.accepted == actions.save.joins
    assert one.outcome is not None
    assert one.outcome.member
    assert one.outcome.configuration == Configuration(4242, (Member(1, "n1", "10.0.0.1:2380"),))


def test_who_hears_of_a_cluster_joins_it_and_never_founds_even_after_a_crash() -> None:
    one = founder("n1")
    actions = one.receive(exists(RUNNING), 0.0, 0.0)
    assert one.outcome is not None
    assert not one.outcome.member
    assert actions.save is not None
    again = founder("n1", state=actions.save)
    assert again.outcome == one.outcome
    assert again.tick(9.0).sends == []
    _, answer = again.answer(founder("n2")._question("found.prepare") | {"ballot": [9, 2]}, 9.0)
    assert answer == exists(RUNNING), "it takes part in no founding any more"


def test_a_replica_that_is_listed_in_the_cluster_it_hears_of_starts_at_once() -> None:
    one = founder("n1")
    listed = Configuration(77, (Member(1, "n1", "10.0.0.1:2380"), Member(2, "n2", "10.0.0.2:2380")))
    one.receive(exists(listed), 0.0, 0.0)
    assert one.outcome is not None
    assert one.outcome.member


def test_promises_are_saved_before_they_are_answered_and_kept() -> None:
    one, two = founder("n1"), founder("n2")
    actions, answer = one.answer(two._question("found.prepare") | {"ballot": [3, 2]}, 0.0)
    assert actions.save is not None
    assert actions.save.promised == Ballot(3, 2) == Ballot(*answer["promised"])
    again = founder("n1", state=actions.save)
    _, answer = again.answer(two._question("found.prepare") | {"ballot": [2, 9]}, 0.0)
    assert answer["promised"] == [3, 2]
    value = msgspec.to_builtins(RUNNING)
    _, answer = again.answer(two._question("found.accept") | {"ballot": [2, 9], "value": value}, 0.0)
    assert again.state.accepted is None
    assert answer["promised"] == [3, 2]


def test_another_list_does_not_count_and_is_told_apart() -> None:
    other = dict(LIST, n3="10.0.0.33:2380")
    one, stranger = founder("n1"), founder("n2", other)
    _, answer = one.answer(stranger._question("found.probe"), 0.0)
    assert answer["type"] == "found.differs"
    assert [member.name for member in one._present(0.0)] == ["n1"]
    stranger.receive(answer, 0.0, 0.0)
    assert "n1" in stranger.disagreements
    assert [member.name for member in stranger._present(0.0)] == ["n2"]


def test_two_replicas_of_one_name_are_told_apart() -> None:
    _, answer = founder("n1").answer(founder("n1")._question("found.probe"), 0.0)
    assert "two replicas" in answer["reason"]


def test_a_changed_list_is_refused_after_taking_part_and_fine_before() -> None:
    fresh = FoundingState(member_id=1, list_digest="another")
    assert founder("n1", state=fresh).state.list_digest == list_digest(LIST)
    with pytest.raises(MembershipError, match="another initial cluster"):
        founder("n1", state=msgspec.structs.replace(fresh, promised=Ballot(1, 1)))


@pytest.mark.parametrize(
    ("cluster", "name"),
    [
        (LIST, "n9"),
        ({"n1": "10.0.0.1:1", "n2": "10.0.0.1:1"}, "n1"),
        ({"n1": "10.0.0.1"}, "n1"),
        ({f"n{number}": f"10.0.0.{number}:1" for number in range(30)}, "n1"),
    ],
)
def test_a_list_nobody_can_found_with_is_refused(cluster: dict[str, str], name: str) -> None:
    with pytest.raises(InvalidRequest):
        check_list(cluster, name)


@pytest.mark.parametrize(
    "damage",
    [
        {"from": None},
        {"from": [1]},
        {"from": ["1", "n2", "x:1"]},
        {"type": "found.prepare"},
        {"type": "found.prepare", "ballot": [1, -1]},
        {"type": "found.prepare", "ballot": [1 << 70, 1]},
        {"type": "found.accept", "ballot": [1, 1], "value": [0, []]},
        {"type": "found.accept", "ballot": [1, 1], "value": "x"},
        {"type": "found.nonsense"},
    ],
)
def test_malformed_questions_are_refused_and_change_nothing(damage: dict[str, Any]) -> None:
    one = founder("n1")
    with pytest.raises(MalformedMessage):
        one.answer(founder("n2")._question("found.probe") | damage, 0.0)
    assert not one.state.took_part


@pytest.mark.parametrize("travel_s", [0.5, 1.5, 3.0])
def test_starved_replicas_found_however_late_every_answer_comes(travel_s: float) -> None:
    world = World(3, seed=7)
    world.travel_s = travel_s
    while not world.all_done():
        world.step()
        assert world.now < 40 * travel_s, "no cluster"
    assert len(world.decided()) == 1


def test_one_answer_that_outlasted_a_pause_makes_nobody_wait_for_ever() -> None:
    one, two = founder("n1"), founder("n2")
    one.receive(two._question("found.present"), 0.0, 1000.0)
    assert one._patience <= 3 * ANSWER_S_MAX
    for _ in range(50):
        one.receive(two._question("found.present"), 1000.0, 1000.0)
    assert one._patience == 1.0
