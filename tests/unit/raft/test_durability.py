"""Slow, full and damaged disks: nothing is promised early, and only what must wait for the disk waits."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from lone_node import LoneNode, run_of
from raft_cluster import RaftCluster, value

from raftstore.disk import RealFile
from raftstore.errors import JournalDamaged
from raftstore.raft.engine import Role
from raftstore.raft.journal import Damage

Make = Callable[..., RaftCluster]


def test_a_slow_fsync_on_the_leader_neither_stops_heartbeats_nor_acknowledges_early(raft: Make) -> None:
    cluster = raft(3)
    leader = cluster.leader()
    cluster.run(0.5)
    number, term = cluster.id_of(leader), leader.status().term
    cluster.runtime.hold(f"journal-{number}")
    cluster.network.log.clear()
    cluster.propose("slow")
    cluster.run(5.0)
    heartbeats = [message for source, _, message in cluster.network.log if source == number]
    assert len(heartbeats) >= 2 * 5.0 / (2 * cluster.timing.heartbeat_s)
    assert leader.status().role is Role.LEADER
    assert leader.status().term == term
    assert all(not recorder.values for recorder in cluster.recorders.values())
    cluster.runtime.release(f"journal-{number}")
    cluster.run(0.3)
    assert all(recorder.values == [b"slow"] for recorder in cluster.recorders.values())


def test_a_slow_fsync_on_one_follower_holds_nobody_up_and_keeps_it_in_contact(raft: Make) -> None:
    cluster = raft(3)
    leader = cluster.leader()
    cluster.run(0.5)
    slow = cluster.id_of(cluster.followers()[0])
    cluster.runtime.hold(f"journal-{slow}")
    cluster.propose("a")
    cluster.run(5.0)
    assert cluster.recorders[cluster.id_of(leader)].values == [b"a"]
    assert not cluster.recorders[slow].values
    other = next(number for number in cluster.nodes if number not in (slow, cluster.id_of(leader)))
    cluster.network.separate(other)
    cluster.run(3.0)
    assert leader.status().role is Role.LEADER, "acks of a slow disk are contact all the same"
    cluster.runtime.release(f"journal-{slow}")


def test_a_full_disk_loses_nothing_and_hands_leadership_over(raft: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = raft(3)
    leader = cluster.leader()
    cluster.propose("before")
    cluster.run(0.3)
    number = cluster.id_of(leader)
    full_folder = cluster.folder / str(number)
    real_write = RealFile.write_at

    def write_at(self: RealFile, offset: int, data: bytes | bytearray | memoryview) -> None:
        if full and Path(f"/proc/self/fd/{self._fd}").resolve().parent == full_folder.resolve():
            raise OSError(errno.ENOSPC, "no space left on device")
        real_write(self, offset, data)

    full = True
    monkeypatch.setattr(RealFile, "write_at", write_at)
    leader.propose(value("while full"))
    cluster.run(3.0)
    successor = cluster.leader()
    assert successor is not leader
    assert not cluster.recorders[number].failures
    successor.propose(value("by the successor"))
    cluster.run(1.0)
    full = False
    cluster.run(3.0)
    assert cluster.recorders[number].values == cluster.recorders[cluster.id_of(successor)].values
    assert cluster.recorders[number].values[0] == b"before"
    assert cluster.recorders[number].values[-1] == b"by the successor"


def flip(folder: Path, needle: bytes) -> None:
    """One bit of a record that was written whole."""
    for path in folder.glob("*.journal"):
        data = bytearray(path.read_bytes())
        at = data.find(needle)
        if at >= 0:
            data[at] ^= 1
            path.write_bytes(data)
            return
    raise AssertionError(f"{needle!r} is in no segment")


def test_a_damaged_follower_is_silent_until_it_has_caught_up(raft: Make) -> None:
    cluster = raft(3)
    cluster.leader()
    for text in ("first", "second", "third"):
        cluster.propose(text)
        cluster.run(0.2)
    number = cluster.id_of(cluster.followers()[0])
    cluster.kill(number)
    flip(cluster.folder / str(number), b"second")
    node = cluster.start(number)
    assert cluster.journals[number].damage is not None
    assert not node._election.may_campaign()
    cluster.run(2.0)
    assert cluster.journals[number].damage is None
    assert cluster.recorders[number].values == [b"first", b"second", b"third"]


def test_a_healed_replica_gives_no_second_vote_in_the_term_it_healed_in(tmp_path: Path) -> None:
    """Its first vote of that term may be among what it lost; the leader it healed from won the term."""
    node = LoneNode(tmp_path / "1").start()
    node.append(2, 5, (1, 0), run_of(2, 3, 5))
    node.journal.damage = Damage("1.journal", 512, 3, "test")
    node.append(2, 5, (3, 5), run_of(4, 5, 5), commit=5)
    assert node.journal.damage is None
    node.runtime.advance(2.0)
    node.ask_vote(3, 5)
    assert not node.sent("vote_given")
    node.ask_vote(3, 6)
    assert node.sent("vote_given", 3)
    node.close()


def test_a_damaged_single_replica_refuses_to_start_and_says_what_to_do(raft: Make) -> None:
    cluster = raft(1)
    for text in ("first", "second"):
        cluster.propose(text)
        cluster.run(0.1)
    cluster.kill(1)
    flip(cluster.folder / "1", b"second")
    cluster.start(1)
    (failure,) = cluster.recorders[1].failures
    assert isinstance(failure, JournalDamaged)
    for word in (".journal", "offset", "last good entry", "kmini recover --accept-data-loss"):
        assert word in failure.message
    assert not cluster.nodes[1].propose(value("x"))


def test_an_unreadable_device_stops_the_replica(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = LoneNode(tmp_path / "1", 1).start()

    def sync(self: RealFile) -> None:
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(RealFile, "sync", sync)
    node.node.propose(value("a"))
    node.runtime.run()
    (failure,) = node.recorder.failures
    assert isinstance(failure, JournalDamaged)
    assert not node.recorder.values
    node.close()


def test_a_sole_voter_does_not_lead_before_its_term_is_on_disk(tmp_path: Path) -> None:
    """Found by the simulator: killed in between, it came back and led the same term again."""
    node = LoneNode(tmp_path / "1", 1)
    node.hold_disk()
    node.start()
    assert not node.leads
    assert not node.node.propose(value("too early"))
    node.runtime.release("journal")
    assert node.leads
    node.propose("in time")
    assert node.recorder.values == [b"in time"]
    node.close()
