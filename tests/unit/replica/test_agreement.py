"""Replicas that differ: the minority stops serving, and without a majority writes stop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from replicas import Replicas, replicas

from raftstore.errors import CorruptAlarm, Quarantined
from raftstore.model import AlarmType, Put, PutResult


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Replicas]:
    with replicas(tmp_path, 3, places=True) as cluster:
        cluster.put(b"k", b"v")
        yield cluster


def corrupt(cluster: Replicas, member_id: int) -> None:
    """Let a replica's state go another way than the others': its digest chain forks."""
    machine = cluster[member_id].house.machine
    machine._state = machine._state._replace(digest=bytes([member_id]) * 16)
    machine.digests.add(machine.applied_index, machine.digest)


def quarantined(cluster: Replicas) -> list[int]:
    return [member_id for member_id, replica in cluster.replicas.items() if replica.house.quarantined]


def test_equal_replicas_are_left_alone(three: Replicas) -> None:
    for number in range(20):
        three.put(b"k%d" % number)
        three.runtime.advance(0.5)
    assert three[1].metrics.digest_rounds > 3
    assert three[1].metrics.digest_mismatches == 0
    assert not quarantined(three)


@pytest.mark.parametrize("member_id", [1, 2])
def test_a_replica_that_differs_stops_serving_and_gets_the_state_of_the_others(three: Replicas, member_id: int) -> None:
    """A leader too: it makes way first."""
    corrupt(three, member_id)
    three.runtime.hold("snapshot")
    three.runtime.advance(1.5)
    assert quarantined(three) == [member_id]
    assert three.cluster.leader != member_id
    write, read = three.propose(member_id, Put(b"x")), three.read(member_id, b"k")
    three.runtime.run()
    assert isinstance(write.value, Quarantined)
    assert isinstance(read.value, Quarantined)
    assert isinstance(three.execute(three.cluster.leader, Put(b"y")), PutResult)
    three.runtime.release("snapshot")
    three.runtime.advance(5.0)
    assert not quarantined(three)
    assert three[member_id].metrics.snapshots_installed == 1
    three.put(b"z", b"1")
    three.runtime.run()
    assert len({replica.house.machine.digest for replica in three.replicas.values()}) == 1
    assert three.versions(b"z") == [1, 1, 1]


def test_a_quarantined_state_is_not_continued_by_a_later_start(three: Replicas) -> None:
    state = three.places[2].state
    state.mark()
    assert (state.folder / "marker").exists()
    corrupt(three, 2)
    three.cluster.lose = lambda source, target, message: str(message["type"]).startswith("store.snapshot")
    three.runtime.advance(1.5)
    assert quarantined(three) == [2]
    assert not (state.folder / "marker").exists()


def test_without_a_majority_writes_stop(three: Replicas) -> None:
    for member_id in (1, 2):
        corrupt(three, member_id)
    three.runtime.advance(1.5)
    assert {alarm.type for alarm in three[1].house.machine.alarms} == {AlarmType.CORRUPT}
    assert isinstance(three.execute(1, Put(b"x")), CorruptAlarm)
    assert not quarantined(three)


def test_two_that_differ_and_a_silent_third_stop_writes_after_a_while(three: Replicas) -> None:
    three.cluster.cut.add(3)
    corrupt(three, 2)
    three.runtime.advance(3.5)
    assert not three[1].house.machine.alarms, "the third may come back and decide"
    three.runtime.advance(60.0)
    assert {alarm.type for alarm in three[1].house.machine.alarms} == {AlarmType.CORRUPT}


def test_a_slow_replica_is_waited_for_not_judged(three: Replicas) -> None:
    three.cluster.engines[3].hold_delivery = True
    three.put(b"k", b"2")
    three.runtime.advance(3.0)
    assert three[1].metrics.digest_mismatches == 0
    three.cluster.engines[3].hold_delivery = False
    three.cluster.commit()
    three.runtime.advance(3.0)
    assert not quarantined(three)


def test_only_the_leader_is_believed_and_only_the_truth(three: Replicas) -> None:
    index = three[2].applied_index
    own = three[2].house.machine.digest

    def tell(source: int, digest: bytes) -> None:
        body = {"index": index, "digest": digest}
        three[source].calls.ask(2, "quarantine", body, lambda _: None, 1.0)
        three.runtime.run()

    tell(1, own)
    tell(3, b"lies")
    assert not quarantined(three)
    tell(1, b"other")
    assert quarantined(three) == [2]
