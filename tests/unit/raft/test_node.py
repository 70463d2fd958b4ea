"""The engine end to end on a fake clock: election, replication, failover, reads, membership, hand-over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from lone_node import LoneNode
from raft_cluster import RaftCluster, member, value

from raftstore.errors import ChangeInProgress, InvalidRequest, LastVoter, NotLeader
from raftstore.raft.engine import Configuration, Role

Make = Callable[..., RaftCluster]


def reads(cluster: RaftCluster, count: int = 1) -> list[int | None]:
    answers: list[int | None] = []
    leader = cluster.leader()
    for _ in range(count):
        leader.read_index(answers.append)
    cluster.run(0.5)
    return answers


def test_a_single_voter_leads_at_once_and_commits(raft: Make) -> None:
    cluster = raft(1)
    assert cluster.nodes[1].status().role is Role.LEADER
    cluster.propose("a")
    cluster.run()
    assert cluster.recorders[1].values == [b"a"]
    assert reads(cluster) == [cluster.nodes[1].status().commit_index]


def test_three_elect_one_leader_and_all_apply(raft: Make) -> None:
    cluster = raft(3)
    cluster.leader()
    for text in ("a", "b", "c"):
        cluster.propose(text)
    cluster.run(0.3)
    assert [cluster.recorders[number].values for number in (1, 2, 3)] == [[b"a", b"b", b"c"]] * 3


def test_a_start_waits_for_a_majority_not_for_a_timeout(raft: Make) -> None:
    cluster = raft(3)
    cluster.leader(within_s=cluster.timing.election_timeout_s_min * 0.5)


def test_a_killed_leader_is_replaced_and_what_it_committed_stays(raft: Make) -> None:
    cluster = raft(3)
    old = cluster.id_of(cluster.leader())
    cluster.propose("kept")
    cluster.run(0.3)
    cluster.kill(old)
    new = cluster.leader()
    assert cluster.id_of(new) != old
    cluster.propose("more")
    cluster.run(0.3)
    cluster.start(old)
    cluster.run(1.0)
    assert cluster.recorders[old].values == [b"kept", b"more"]


def test_a_cut_off_leader_steps_down_within_two_election_timeouts(raft: Make) -> None:
    cluster = raft(3)
    leader = cluster.leader()
    old = cluster.id_of(leader)
    cluster.network.separate(old)
    cluster.run(2 * cluster.timing.election_timeout_s_min)
    assert leader.status().role is not Role.LEADER
    assert not leader.propose(value("lost"))


def test_a_stale_leader_gets_no_read_index(raft: Make) -> None:
    cluster = raft(3)
    leader = cluster.leader()
    cluster.run(0.2)
    cluster.network.separate(cluster.id_of(leader))
    answers: list[int | None] = []
    leader.read_index(answers.append)
    cluster.run(3.0)
    assert answers == [None]


def test_readers_that_come_while_a_round_flies_share_the_next(raft: Make) -> None:
    cluster = raft(3)
    leader = cluster.leader()
    cluster.run(0.2)
    answers: list[int | None] = []
    leader.read_index(answers.append)
    cluster.runtime.turn()  # the round departs
    cluster.network.log.clear()
    for _ in range(50):
        leader.read_index(answers.append)
    cluster.run(0.05)
    assert len(answers) == 51
    assert None not in answers
    rounds = {message["round"] for _, _, message in cluster.network.log if message["type"] == "read_ping"}
    assert len(rounds) == 1


def test_the_minority_cannot_elect(raft: Make) -> None:
    cluster = raft(5)
    cluster.leader()
    cluster.network.separate(1, 2)
    cluster.run(5.0)
    assert cluster.nodes[1].status().role is not Role.LEADER
    assert cluster.nodes[2].status().role is not Role.LEADER
    cluster.propose("majority")
    cluster.run(0.3)
    cluster.network.heal()
    cluster.run(2.0)
    assert all(recorder.values == [b"majority"] for recorder in cluster.recorders.values())


def test_a_replica_back_from_a_partition_does_not_depose_the_leader(raft: Make) -> None:
    cluster = raft(3)
    leader = cluster.leader()
    term = leader.status().term
    follower = cluster.id_of(cluster.followers()[0])
    cluster.network.separate(follower)
    cluster.run(10.0)
    cluster.network.heal()
    cluster.run(2.0)
    assert leader.status().role is Role.LEADER
    assert leader.status().term == term


def test_transfer_moves_leadership_to_the_one_named(raft: Make) -> None:
    cluster = raft(3)
    leader = cluster.leader()
    target = cluster.id_of(cluster.followers()[0])
    cluster.propose("before")
    leader.transfer(target)
    assert not leader.propose(value("refused while handing over"))
    cluster.run(0.3)
    assert cluster.id_of(cluster.leader()) == target
    with pytest.raises(NotLeader):
        leader.transfer(0)


def test_one_grows_to_three_and_shrinks_back(raft: Make) -> None:
    cluster = raft(1)
    members = {1: member(1)}
    for number in (2, 3):
        for learner in (True, False):
            members[number] = member(number, learner=learner)
            configuration = Configuration(77, tuple(members.values()))
            if learner:
                cluster.found(number, configuration)
                cluster.start(number)
            cluster.leader().change_configuration(configuration)
            cluster.run(1.0)
        cluster.propose(f"with {number}")
        cluster.run(0.5)
    assert cluster.leader().status().configuration.voters == {1, 2, 3}
    for number in (1, 2, 3):
        assert cluster.recorders[number].values == [b"with 2", b"with 3"]
    for victim in (3, 2):
        leader = cluster.leader()
        if cluster.id_of(leader) == victim:
            leader.transfer(1)
            cluster.run(0.5)
        del members[victim]
        cluster.leader().change_configuration(Configuration(77, tuple(members.values())))
        cluster.run(1.5)
        cluster.kill(victim)
        cluster.propose(f"without {victim}")
        cluster.run(0.5)
    assert cluster.nodes.keys() == {1}
    assert cluster.recorders[1].values[-2:] == [b"without 3", b"without 2"]


def test_changes_that_raft_forbids_are_refused(raft: Make) -> None:
    cluster = raft(3)
    leader = cluster.leader()
    cluster.run(0.2)
    with pytest.raises(InvalidRequest):
        leader.change_configuration(Configuration(77, tuple(member(number) for number in range(1, 6))))
    with pytest.raises(LastVoter):
        leader.change_configuration(Configuration(77, ()))
    cluster.network.separate(cluster.id_of(leader))
    one_more = Configuration(77, (*leader.status().configuration.members, member(9, learner=True)))
    leader.change_configuration(one_more)
    with pytest.raises(ChangeInProgress):
        leader.change_configuration(one_more)


def test_a_follower_far_behind_asks_for_a_snapshot_and_goes_on_behind_it(raft: Make) -> None:
    cluster = raft(3)
    leader = cluster.leader()
    number = cluster.id_of(leader)
    lagging = cluster.id_of(cluster.followers()[0])
    cluster.network.separate(lagging)
    for count in range(20):
        leader.propose(value(str(count)))
        cluster.run(0.05)
    index = leader.status().commit_index
    term = cluster.journals[number].term_at(index)
    assert term is not None
    leader.trim(index, term)
    cluster.network.heal()
    cluster.run(1.0)
    assert lagging in cluster.recorders[number].snapshots_wanted
    cluster.nodes[lagging].installed(index, term, leader.status().configuration)
    cluster.propose("after")
    cluster.run(1.0)
    assert cluster.recorders[lagging].values[-1] == b"after"
    assert leader.status().role is Role.LEADER


def test_a_leader_deposed_before_anybody_noticed_does_not_campaign_for_ever(tmp_path: Path) -> None:
    """Found by the simulator: elected and deposed by two messages of one burst, it raised its term at every tick."""
    node = LoneNode(tmp_path / "1").start()
    node.runtime.advance(node.timing.election_timeout_s_max)
    (asked, *_) = node.sent("prevote", 2)
    node.say(2, "prevote_reply", term=0, round=asked["round"], granted=True)
    node.node.received(2, {"type": "vote_given", "term": 1})
    node.node.received(3, {"type": "ack", "term": 5, **dict.fromkeys(("sequence", "match", "next"), 0), **NOTHING})
    node.runtime.run()
    for _ in range(20):
        node.node.received(2, {"type": "prevote_reply", "term": 0, "round": 0, "granted": False})
        node.runtime.advance(0.001)
    assert node.status.term == 5
    node.close()


NOTHING = {"success": False, "reset": False}


def test_a_leader_whom_an_uncommitted_change_removes_can_still_undo_it(raft: Make) -> None:
    """Found by the simulator: the old leader hung up on the one it wanted to remove, who then led, for ever."""
    cluster = raft(3)
    leader = cluster.leader()
    old = cluster.id_of(leader)
    first, second = sorted(set(cluster.nodes) - {old})
    cluster.run(0.2)
    cluster.network.drop = lambda source, target, message: old in (source, target)
    leader.change_configuration(Configuration(77, tuple(member(number) for number in (old, first))))
    cluster.run(3.0)
    assert leader.status().configuration.voters == {old, first}
    assert second in {listed.id for listed in cluster.network.wires[old].members}
    cluster.network.drop = lambda source, target, message: False
    if cluster.leader() is cluster.nodes[first]:
        cluster.nodes[first].transfer(second)
    cluster.run(3.0)
    assert leader.status().configuration.voters == {1, 2, 3}


def test_a_joining_replica_keeps_the_leader_whom_old_configurations_do_not_know(raft: Make) -> None:
    cluster = raft(1)
    one, two = member(1), member(2)
    cluster.found(2, Configuration(77, (one, member(2, learner=True))))
    cluster.start(2)
    for step in ((one, member(2, learner=True)), (one, two)):
        cluster.leader().change_configuration(Configuration(77, step))
        cluster.run(1.0)
    if cluster.id_of(cluster.leader()) == 1:
        cluster.leader().transfer(2)
        cluster.run(0.5)
    cluster.leader().change_configuration(Configuration(77, (two,)))
    cluster.run(1.0)
    cluster.kill(1)
    joined = Configuration(77, (two, member(3, learner=True)))
    cluster.found(3, joined)
    cluster.start(3)
    wire = cluster.network.wires[3]
    told: list[set[int]] = []
    wire.set_members = lambda members: told.append({listed.id for listed in members})  # type: ignore[method-assign]
    cluster.leader().change_configuration(joined)
    cluster.run(2.0)
    assert cluster.nodes[3].status().configuration == joined
    assert told
    assert all(2 in listed for listed in told), told


def test_one_that_was_away_lets_the_new_member_in_that_leads_now(tmp_path: Path) -> None:
    """Found by the simulator: its old configuration did not list the leader, so it refused the link, for ever."""
    node = LoneNode(tmp_path / "1")
    told: list[set[int]] = []
    node.wire.set_members = lambda members: told.append({listed.id for listed in members})  # type: ignore[method-assign]
    node.start()
    news = {"index": 40, "members": [list(msgspec.to_builtins(member(number))) for number in (1, 2, 3, 4)]}
    node.say(2, "members", **news)
    assert told[-1] == {1, 2, 3, 4}
    assert node.status.configuration.voters == {1, 2, 3}, "votes go by the log"
    node.say(3, "members", index=30, members=[])
    node.say(3, "members", index=99, members=[[1]])
    assert told[-1] == {1, 2, 3, 4}
    assert node.sent("members", 2)[-1]["index"] == 1
    node.close()
