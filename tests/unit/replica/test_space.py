"""Space: compaction by age, its steps in rests, the NOSPACE alarm and its end."""

from __future__ import annotations

from pathlib import Path

from replicas import Answer, Replicas, replicas

from raftstore.command import Compact, SetAlarm
from raftstore.errors import Compacted, NoSpace
from raftstore.model import Alarm, AlarmType, Delete, DeleteResult, Put, PutResult, Range

MIB = 1024 * 1024


def fill(cluster: Replicas, count: int, value_bytes: int = 64 * 1024) -> list[bytes]:
    """Keys written until the alarm refuses more."""
    written = []
    for number in range(count):
        key = b"fill-%d" % number
        result = cluster.execute(1, Put(key, b"x" * value_bytes))
        if isinstance(result, NoSpace):
            break
        written.append(key)
        cluster.runtime.advance(0.2)
    return written


def test_what_was_the_newest_an_age_ago_is_compacted(tmp_path: Path) -> None:
    with replicas(tmp_path, compaction_age_s=60.0) as one:
        old = one.put(b"k", b"1")
        one.put(b"k", b"2")
        one.runtime.advance(30.0)
        one.put(b"k", b"3")
        one.runtime.advance(25.0)
        assert one[1].house.machine.compact_revision == 0
        one.runtime.advance(15.0)
        assert one[1].house.machine.compact_revision == 3
        answer = Answer()
        one[1].range(Range(b"k", revision=old), "local", answer)
        one.runtime.run()
        assert isinstance(answer.value, Compacted)


def test_age_zero_never_compacts(tmp_path: Path) -> None:
    with replicas(tmp_path, compaction_age_s=0.0) as one:
        one.put(b"k", b"1")
        one.put(b"k", b"2")
        one.runtime.advance(1000.0)
        assert one[1].house.machine.compact_revision == 0


def test_a_new_leader_measures_its_own_age(tmp_path: Path) -> None:
    """It does not know when the revisions of before were written."""
    with replicas(tmp_path, 3, compaction_age_s=60.0) as three:
        three.put(b"k", b"1")
        three.put(b"k", b"2")
        three.runtime.advance(50.0)
        three.cluster.elect(2)
        three.runtime.advance(50.0)
        assert three[1].house.machine.compact_revision == 0
        three.runtime.advance(20.0)
        assert three[1].house.machine.compact_revision == 3


def test_pages_are_freed_in_steps_with_rests(tmp_path: Path) -> None:
    with replicas(tmp_path, compaction_rest_s=0.01) as one:
        for _ in range(10):
            for number in range(60):
                one.propose(1, Put(b"k%d" % number, b"v"))
            one.runtime.run()
        revision = one[1].house.machine.revision
        before = one[1].metrics.compaction_steps
        one.execute(1, Compact(revision))
        finished: list[float] = []
        one[1].compaction.when_finished(lambda: finished.append(one.runtime.now()))
        assert one[1].metrics.compaction_steps == before, "nothing happens within the apply"
        began = one.runtime.now()
        one.runtime.advance(1.0)
        steps = one[1].metrics.compaction_steps - before
        assert steps >= 2
        assert finished[0] - began >= 0.01 * steps - 1e-9


def test_the_alarm_is_raised_at_the_hard_quota_and_ends_by_itself(tmp_path: Path) -> None:
    with replicas(tmp_path, quota_bytes=2 * MIB, compaction_age_s=0.0, pulse_s=0.1) as one:
        fill(one, 100)
        alarm = Alarm(1, AlarmType.NOSPACE)
        assert alarm in one[1].house.machine.alarms
        assert one[1].metrics.quota_soft == 1
        assert isinstance(one.execute(1, Put(b"more", b"x" * 1024)), NoSpace)
        assert isinstance(one.execute(1, Delete(b"fill-", b"fill.")), DeleteResult), "deletes are taken"
        one.execute(1, Compact(one[1].revision))
        one.runtime.advance(2.0)
        assert not one[1].house.machine.alarms
        assert isinstance(one.execute(1, Put(b"more", b"x" * 1024)), PutResult)


def test_above_the_soft_quota_history_is_shorter(tmp_path: Path) -> None:
    with replicas(tmp_path, quota_bytes=2 * MIB, compaction_age_s=1000.0, pulse_s=0.5) as one:
        while not one[1].space.above_soft:
            one.put(b"same", b"x" * 64 * 1024)
            one.runtime.advance(0.5)
        assert not one[1].house.machine.alarms
        one.runtime.advance(300.0)
        assert one[1].house.machine.compact_revision > 0
        assert not one[1].space.above_soft


def test_the_alarm_of_a_member_that_is_gone_is_cleared(tmp_path: Path) -> None:
    with replicas(tmp_path) as one:
        one.execute(1, SetAlarm(Alarm(99, AlarmType.NOSPACE), True))
        assert one[1].house.machine.alarms
        one.runtime.advance(2.0)
        assert not one[1].house.machine.alarms


def test_a_proposal_that_gets_lost_is_made_again(tmp_path: Path) -> None:
    with replicas(tmp_path, compaction_age_s=10.0, request_timeout_s=2.0) as one:
        one.put(b"k", b"1")
        one.put(b"k", b"2")
        one.cluster.hold_commits = True
        one.runtime.advance(30.0)
        one.cluster.elect(0, lose_tail=True)
        one.cluster.hold_commits = False
        one.cluster.elect(1)
        one.runtime.advance(30.0)
        assert one[1].house.machine.compact_revision == 3
