"""Each protection of the guard, by name: with it the scenario is safe, with its switch off it is not.

A scenario returns what went wrong, or None. `-k NAME` runs one protection's pair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lone_node import LoneNode, batch, run_of
from raft_cluster import CLUSTER_ID, RaftCluster, member, value

from raftstore.errors import ChangeInProgress, InvalidRequest
from raftstore.limits import ENTRY_BYTES_MAX
from raftstore.raft.engine import Configuration, Role
from raftstore.raft.guard import PROTECTIONS, Guard
from raftstore.raft.journal import Damage

Lone = Callable[..., LoneNode]
SCENARIOS: dict[str, Callable[..., str | None]] = {}


def scenario(function: Callable[..., str | None]) -> Callable[..., str | None]:
    SCENARIOS[function.__name__] = function
    return function


def members(*numbers: int, learner: int = 0) -> Configuration:
    listed = [member(number) for number in numbers]
    return Configuration(CLUSTER_ID, (*listed, member(learner, learner=True)) if learner else tuple(listed))


# --- the leader takes acknowledgements ---


@scenario
def ack_of_this_term(lone: Lone) -> str | None:
    node = lone().start().lead()
    node.propose("a1", "a2", "a3", "a4", "a5")
    stale_term = node.status.term
    node.append(3, stale_term + 1, (1, 0), batch((2, stale_term + 1)), commit=1)
    node.lead(voters=(3,))
    node.propose("b1", "b2", "b3", "b4")
    node.ack(2, 7, term=stale_term)
    return "an ack of an old term committed entries that nobody else holds" if node.recorder.values else None


@scenario
def ack_within_own_copy(lone: Lone) -> str | None:
    node = lone().start().lead()
    node.ack(2, node.status.last_index)
    node.hold_disk()
    node.node.change_configuration(members(1, 2, 3, learner=4))
    node.ack(2, node.status.last_index)
    try:
        node.node.change_configuration(members(1, 2, 3, learner=5))
    except ChangeInProgress:
        return None
    return "a change counts as committed with the leader's own copy still in memory"


@scenario
def reject_is_fresh(lone: Lone) -> str | None:
    node = lone().start().lead()
    node.propose("a", "b", "c")
    first, second = (message["sequence"] for message in node.sent("append", 2)[-2:])
    node.reject(2, second, 2)
    node.forget_sent()
    node.reject(2, first, 2)
    again = [message for message in node.sent("append", 2) if message["entries"]]
    return "a rejection from before the repair repaired again" if again else None


# --- a follower takes entries ---


@scenario
def entries_to_write(lone: Lone) -> str | None:
    node = lone().start()
    node.append(2, 1, (1, 0), run_of(2, 10, 1))
    node.append(2, 1, (5, 1), run_of(6, 8, 1))
    return "a re-sent batch truncated acknowledged entries" if node.status.last_index < 10 else None


@scenario
def acknowledged(lone: Lone) -> str | None:
    node = lone().start()
    node.append(2, 1, (1, 0), run_of(2, 10, 1))
    node.forget_sent()
    node.append(3, 2, (4, 1))
    claims = [message["match"] for message in node.sent("ack", 3)]
    return f"acknowledged up to {max(claims)}, compared up to 4" if max(claims) > 4 else None


@scenario
def commit_to_follow(lone: Lone) -> str | None:
    node = lone().start()
    node.append(2, 1, (1, 0), run_of(2, 10, 1))
    node.append(3, 2, (4, 1), commit=9)
    applied = node.recorder.entries[-1].index
    return f"applied its own tail up to {applied}, compared up to 4" if applied > 4 else None


@scenario
def reject_hint(lone: Lone) -> str | None:
    node = lone().start()
    node.append(2, 1, (1, 0), run_of(2, 50, 1))
    node.append(3, 2, (50, 2), sequence=9)
    hint = node.sent("ack", 3)[-1]["next"]
    return f"a conflict of 49 entries is walked back one a round trip, from {hint}" if hint > 3 else None


@scenario
def entries_well_formed(lone: Lone) -> str | None:
    node = lone().start()
    node.append(2, 1, (1, 0), [(b"\x00pickle", 2, 1)])
    return "an entry of the core's own pickled kind is in the log" if node.status.last_index > 1 else None


# --- durability ---


@scenario
def vote_may_leave(lone: Lone) -> str | None:
    node = lone().start()
    node.hold_disk()
    node.ask_vote(2, 5)
    early = node.sent("vote_given")
    node.runtime.release("journal")
    assert node.sent("vote_given")
    return "a vote left before it was on disk" if early else None


@scenario
def ack_may_claim(lone: Lone) -> str | None:
    node = lone().start()
    node.append(2, 1, (1, 0), run_of(2, 3, 1))
    node.hold_disk()
    node.forget_sent()
    node.append(2, 1, (3, 1), run_of(4, 6, 1))
    early = max((message["match"] for message in node.sent("ack")), default=0)
    node.runtime.release("journal")
    assert max(message["match"] for message in node.sent("ack")) == 6
    return "acknowledged entries that a power loss takes away" if early > 3 else None


@scenario
def applicable(lone: Lone) -> str | None:
    node = lone(1).start()
    node.hold_disk()
    node.propose("a", "b")
    early = list(node.recorder.values)
    node.runtime.release("journal")
    assert node.recorder.values == [b"a", b"b"]
    return "a quorum of one applied what is not on disk" if early else None


@scenario
def commit_at_start(lone: Lone) -> str | None:
    node = lone(applied_index=50).start().lead()
    node.propose("a", "b")
    commit = node.status.commit_index
    return f"commit index {commit} without one acknowledgement" if commit > 1 else None


# --- elections ---


@scenario
def term_to_report(lone: Lone) -> str | None:
    node = lone().start()
    node.append(2, 7, (1, 0))
    node.forget_sent()
    node.append(3, 6, (1, 0))
    return None if node.sent("ack", 3) else "a deposed leader was not told of the newer term"


@scenario
def prevote_granted(raft: Callable[..., RaftCluster], off: frozenset[str]) -> str | None:
    cluster = raft(3, off=off)
    leader = cluster.leader()
    term = leader.status().term
    follower = cluster.id_of(cluster.followers()[0])
    cluster.network.drop = lambda source, target, message: follower in (source, target)
    cluster.run(10.0)
    cluster.network.drop = lambda source, target, message: False
    cluster.run(2.0)
    return f"term {term} became {leader.status().term}" if leader.status().term != term else None


@scenario
def ignores_vote_request(lone: Lone) -> str | None:
    node = lone().start()
    node.append(2, 7, (1, 0))
    node.ask_vote(3, 8)
    return "a vote request deposed a leader that is heard from" if node.status.term == 8 else None


@scenario
def vote_counts(lone: Lone) -> str | None:
    node = lone(5).start().lead(voters=(2, 2))
    return "one vote, sent twice, elected a leader of five" if node.leads else None


@scenario
def vote_given_again(lone: Lone) -> str | None:
    node = lone().start()
    node.ask_vote(2, 5)
    node.ask_vote(2, 5)
    return None if len(node.sent("vote_given", 2)) == 2 else "asked again, the voter was silent"


@scenario
def quorum_timeout_s(lone: Lone) -> str | None:
    node = lone().start().lead()
    node.runtime.advance(2 * node.timing.election_timeout_s_min)
    return "leads on without hearing from anybody" if node.leads else None


@scenario
def may_vote(lone: Lone) -> str | None:
    node = lone().start()
    node.journal.damage = Damage("1.journal", 512, 1, "test")
    node.ask_vote(2, 5)
    return "a replica with a damaged log voted" if node.sent("vote_given") else None


@scenario
def healed(lone: Lone) -> str | None:
    node = lone().start()
    node.append(2, 1, (1, 0), run_of(2, 3, 1))
    node.journal.damage = Damage("1.journal", 512, 3, "test")
    node.forget_sent()
    node.append(2, 1, (3, 1), run_of(4, 5, 1), commit=9)
    early = any(message["success"] for message in node.sent("ack"))
    node.append(2, 1, (5, 1), run_of(6, 9, 1), commit=9)
    assert node.journal.damage is None
    assert node.sent("ack")[-1]["match"] == 9
    return "a damaged replica counted before it held what is committed" if early else None


# --- reads ---


@scenario
def read_confirmed(lone: Lone) -> str | None:
    node = lone().start().lead()
    node.ack(2, node.status.last_index)
    answers: list[int | None] = []
    node.node.read_index(answers.append)
    node.runtime.run()
    return "a read index without anybody's confirmation" if answers else None


def pong(node: LoneNode, peer: int = 2) -> None:
    """Confirm the round last pinged for."""
    pings = node.sent("read_ping", peer)
    if pings:
        node.say(peer, "read_pong", term=node.status.term, round=pings[-1]["round"])


@scenario
def read_may_begin(lone: Lone) -> str | None:
    node = lone().start()
    node.append(2, 1, (1, 0), run_of(2, 5, 1), commit=2)
    node.lead(voters=(3,))
    answers: list[int | None] = []
    node.node.read_index(answers.append)
    node.runtime.run()
    pong(node)
    return f"a new leader answered {answers[0]} before anything of its term is committed" if answers else None


@scenario
def read_joins_flying_round(lone: Lone) -> str | None:
    node = lone().start().lead()
    node.ack(2, node.status.last_index)
    first: list[int | None] = []
    late: list[int | None] = []
    node.node.read_index(first.append)
    node.runtime.run()
    node.propose("acknowledged before the second reader asks")
    node.ack(2, node.status.last_index)
    acknowledged_index = node.status.commit_index
    node.node.read_index(late.append)
    node.runtime.run()
    pong(node)
    pong(node)
    assert late[0] is not None
    return f"read at {late[0]}, acknowledged was {acknowledged_index}" if late[0] < acknowledged_index else None


# --- membership ---


@scenario
def change_allowed(lone: Lone) -> str | None:
    node = lone().start().lead()
    node.ack(2, node.status.last_index)
    node.node.change_configuration(members(1, 2, 3, learner=4))
    try:
        node.node.change_configuration(members(1, 2, 3, learner=5))
    except ChangeInProgress:
        return None
    return "two changes are under way at once"


@scenario
def one_voter_differs(lone: Lone) -> str | None:
    node = lone().start().lead()
    node.ack(2, node.status.last_index)
    try:
        node.node.change_configuration(members(1, 4, 5))
    except InvalidRequest:
        return None
    return "two voters were replaced in one change"


@scenario
def configuration_in_force(lone: Lone) -> str | None:
    node = lone().start().lead()
    node.ack(2, node.status.last_index)
    node.node.change_configuration(members(1, 2, 3, learner=4))
    node.runtime.run()
    node.close()
    again = lone(folder=node.folder).start()
    learners = again.status.configuration.learners
    return None if learners == {4} else "a restart forgot the uncommitted change in the log"


# --- bounds ---


@scenario
def entry_fits(lone: Lone) -> str | None:
    node = lone().start().lead()
    try:
        node.node.propose(value("x" * ENTRY_BYTES_MAX))
    except InvalidRequest:
        return None
    return "an entry larger than an append is in the log"


# --- all of them, with and without ---


@pytest.fixture
def lone_factory(tmp_path: Path) -> Iterator[Callable[[frozenset[str]], Lone]]:
    made: list[LoneNode] = []

    def factory(off: frozenset[str]) -> Lone:
        def lone(size: int = 3, *, folder: Path | None = None, **options: Any) -> LoneNode:
            made.append(LoneNode(folder or tmp_path / str(len(made)), size, off=off, **options))
            return made[-1]

        return lone

    yield factory
    for node in made:
        node.close()
        node.runtime.finish()


@pytest.mark.parametrize("switch", ["on", "off"])
@pytest.mark.parametrize("name", sorted(PROTECTIONS))
def test_protection(
    name: str, switch: str, lone_factory: Callable[[frozenset[str]], Lone], raft: Callable[..., RaftCluster]
) -> None:
    off = frozenset({name} if switch == "off" else ())
    whole_cluster = name == "prevote_granted"
    violation = SCENARIOS[name](raft, off) if whole_cluster else SCENARIOS[name](lone_factory(off))
    if switch == "on":
        assert violation is None
    else:
        assert violation is not None, f"nothing breaks without {name}"


def test_every_protection_has_a_scenario_and_a_reason() -> None:
    assert SCENARIOS.keys() == PROTECTIONS.keys()
    for row in PROTECTIONS.values():
        assert row.rule
        assert row.without
        assert row.defects


def test_an_unknown_switch_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        Guard({"nonsense"})


def test_role_is_shown_once_per_change(lone_factory: Callable[[frozenset[str]], Lone]) -> None:
    node = lone_factory(frozenset())().start().lead()
    node.runtime.advance(0.3)
    assert len(node.recorder.roles) == len(set(node.recorder.roles))
    assert node.recorder.roles[-1][0] is Role.LEADER
