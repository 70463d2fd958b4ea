"""Membership: every step differs in one member, majorities overlap, and joins end."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftstore.errors import InvalidRequest, LastVoter, LearnerNotReady, MemberExists, MemberNotFound, MembershipError
from raftstore.raft.engine import Configuration, Member
from raftstore.raft.membership import (
    MEMBERS_MAX,
    CatchUp,
    add_learner,
    check_step,
    next_join_step,
    promote,
    remove,
    require,
    update,
)


def member(number: int, *, learner: bool = False, name: str | None = None) -> Member:
    return Member(number, f"n{number}" if name is None else name, f"10.0.0.{number}:2380", learner)


def cluster(*members: Member) -> Configuration:
    return Configuration(9, members)


THREE = cluster(member(1), member(2), member(3))


STEPS: dict[str, Callable[[Configuration, int], Configuration]] = {
    "add": lambda present, number: add_learner(present, member(number)),
    "promote": promote,
    "remove": remove,
    "update": lambda present, number: update(present, number, address=f"10.1.0.{number}:2380"),
}


def majorities(voters: frozenset[int]) -> Iterator[set[int]]:
    return (set(chosen) for chosen in itertools.combinations(voters, len(voters) // 2 + 1))


@given(st.lists(st.tuples(st.sampled_from(["add", "promote", "remove", "update"]), st.integers(1, 7)), max_size=30))
def test_any_row_of_steps_keeps_majorities_overlapping(wishes: list[tuple[str, int]]) -> None:
    present = THREE
    for wish, number in wishes:
        try:
            following = STEPS[wish](present, number)
        except MembershipError:
            continue
        check_step(present, following)
        for before in majorities(present.voters):
            assert all(before & after for after in majorities(following.voters))
        assert following.voters
        present = following


def test_a_new_member_begins_as_a_learner_and_is_promoted() -> None:
    grown = add_learner(THREE, member(4))
    assert grown.voters == {1, 2, 3}
    assert grown.learners == {4}
    assert promote(grown, 4).voters == {1, 2, 3, 4}
    with pytest.raises(MemberExists):
        promote(THREE, 1)
    with pytest.raises(MemberNotFound):
        promote(THREE, 4)


@pytest.mark.parametrize(
    "newcomer",
    [
        member(1),
        msgspec.structs.replace(member(4), name="n1"),
        msgspec.structs.replace(member(4), address="10.0.0.1:2380"),
    ],
)
def test_id_name_and_address_belong_to_one_member(newcomer: Member) -> None:
    with pytest.raises(MemberExists):
        add_learner(THREE, newcomer)


@pytest.mark.parametrize(
    "change", [{"address": "nowhere"}, {"address": "x:0"}, {"id": 0}, {"id": 1 << 63}, {"name": "x" * 300}]
)
def test_bad_fields_are_named(change: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest):
        add_learner(THREE, msgspec.structs.replace(member(4), **change))


def test_the_last_voter_stays_and_learners_do_not_count() -> None:
    alone = cluster(member(1), member(2, learner=True))
    with pytest.raises(LastVoter):
        remove(alone, 1)
    assert remove(alone, 2) == cluster(member(1))
    assert remove(THREE, 3).voters == {1, 2}
    with pytest.raises(MemberNotFound):
        remove(THREE, 9)
    with pytest.raises(MemberNotFound):
        require(THREE, 9)


def test_a_cluster_has_a_largest_size() -> None:
    full = cluster(*(member(number) for number in range(1, MEMBERS_MAX + 1)))
    with pytest.raises(MembershipError, match="at most"):
        add_learner(full, member(200))


def test_updates_keep_what_is_not_given_and_take_nothing_of_others() -> None:
    moved = update(THREE, 2, address="10.9.9.9:1")
    assert moved.member(2) == msgspec.structs.replace(member(2), address="10.9.9.9:1")
    assert update(THREE, 2, client_address="10.9.9.9:2").member(2) == msgspec.structs.replace(
        member(2), client_address="10.9.9.9:2"
    )
    for taken in ({"address": "10.0.0.1:2380"}, {"name": "n1"}):
        with pytest.raises(MemberExists):
            update(THREE, 2, **taken)


@pytest.mark.parametrize(
    ("after", "error"),
    [
        (cluster(member(1)), MembershipError),
        (cluster(member(1), member(2), member(3), member(4)), MembershipError),
        (cluster(member(1), member(2), member(3, learner=True)), MembershipError),
        (cluster(member(1), member(2), member(4, learner=True)), MembershipError),
        (cluster(*THREE.members, member(3)), MembershipError),
        (cluster(), LastVoter),
        (Configuration(10, THREE.members), MembershipError),
    ],
)
def test_steps_an_engine_must_refuse(after: Configuration, error: type[Exception]) -> None:
    with pytest.raises(error):
        check_step(THREE, after)


# --- joining ---------------------------------------------------------------------------------------------


def join(present: Configuration, joining: Member, connected: frozenset[int] = frozenset({1})) -> list[Configuration]:
    """All steps of a join, each checked."""
    steps: list[Configuration] = []
    while (step := next_join_step(present, joining, connected)) is not None:
        check_step(present, step)
        steps.append(step)
        present = step
        assert len(steps) < 10
    return steps


def test_a_newcomer_joins_in_one_step() -> None:
    assert join(THREE, member(4)) == [cluster(*THREE.members, member(4, learner=True))]


def test_a_member_that_lost_its_disk_is_removed_and_joins_under_its_new_id() -> None:
    back = Member(33, "n3", "10.0.0.3:2380")
    steps = join(THREE, back)
    assert steps == [
        cluster(member(1), member(2)),
        cluster(member(1), member(2), msgspec.structs.replace(back, learner=True)),
    ]


def test_a_name_that_lives_is_not_taken_away() -> None:
    with pytest.raises(MemberExists, match="name and an address of its own"):
        join(THREE, Member(33, "n3", "10.0.0.33:2380"), frozenset({1, 3}))
    with pytest.raises(MemberExists):
        join(THREE, Member(33, "new", "10.0.0.3:2380"))


def test_an_announced_member_without_a_name_makes_room_for_who_comes_from_its_address() -> None:
    announced = cluster(*THREE.members, member(4, name="", learner=True))
    steps = join(announced, Member(44, "n4", "10.0.0.4:2380"))
    assert steps[0] == THREE
    assert steps[-1].learners == {44}
    voting = cluster(*THREE.members, member(4, name=""))
    assert join(voting, Member(44, "n4", "10.0.0.4:2380"))[-1].learners == {44}


def test_who_is_a_member_already_is_done_or_moves() -> None:
    assert join(THREE, member(3)) == []
    known = cluster(member(1), msgspec.structs.replace(member(2), client_address="10.0.0.2:2379"))
    assert join(known, member(2)) == [], "an unknown client address does not overwrite a known one"
    (step,) = join(THREE, msgspec.structs.replace(member(3), address="10.9.9.9:1"))
    assert step.member(3) == msgspec.structs.replace(member(3), address="10.9.9.9:1")
    assert step.voters == THREE.voters


def test_a_nameless_replica_cannot_join() -> None:
    with pytest.raises(InvalidRequest):
        join(THREE, member(4, name=""))


# --- catching up -------------------------------------------------------------------------------------------


def test_a_learner_is_promoted_after_two_checks_in_a_row() -> None:
    catch_up = CatchUp(entries=10, checks=2)
    assert not catch_up.check(4, match=85, last_index=100)
    assert not catch_up.check(4, match=90, last_index=100)
    with pytest.raises(LearnerNotReady):
        catch_up.require(4)
    assert catch_up.check(4, match=95, last_index=100)
    catch_up.require(4)


def test_falling_behind_begins_the_count_anew() -> None:
    catch_up = CatchUp(entries=10, checks=2)
    assert not any(catch_up.check(5, match=0, last_index=9) for _ in range(3)), "in a short log everybody is close"
    catch_up.check(4, match=100, last_index=100)
    assert not catch_up.check(4, match=100, last_index=200)
    assert not catch_up.check(4, match=200, last_index=200)
    catch_up.forget_all_but(frozenset())
    assert not catch_up.check(4, match=200, last_index=200)
