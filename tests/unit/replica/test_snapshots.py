"""Snapshots at work: taken when due, sent to who needs one, installed whole, the journal trimmed only behind one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from replicas import Replicas, replicas

from raftstore.errors import OutcomeUnknown, Stopped, UnavailableError
from raftstore.model import Put, PutResult
from raftstore.options import SnapshotOptions
from raftstore.snapshot import Manifest
from raftstore.snapshot_transfer import CHUNK_BYTES

EAGER = SnapshotOptions(journal_bytes_min=1, state_share=0.0, every_s=0.0, tail_entries=2, retry_s=1.0)
NEVER = SnapshotOptions(journal_bytes_min=1 << 40, every_s=0.0, tail_entries=2)


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Replicas]:
    with replicas(tmp_path, 3, places=True, snapshot=NEVER) as cluster:
        cluster.put(b"k", b"v")
        yield cluster


def taken(cluster: Replicas, member_id: int = 1) -> list[Manifest]:
    return cluster.places[member_id].snapshots.manifests()


def left_behind(cluster: Replicas, member_id: int = 3, writes: int = 8, value_bytes: int = 10) -> None:
    """A member misses entries that the leader's journal no longer holds."""
    cluster.cluster.engines[member_id].hold_delivery = True
    for number in range(writes):
        cluster.put(b"missed-%d" % number, b"x" * value_bytes)
    cluster.cluster.engines[1].tell_snapshot_needed(member_id)


def test_a_snapshot_is_taken_when_the_journal_has_grown(tmp_path: Path) -> None:
    with replicas(tmp_path, places=True, snapshot=EAGER) as one:
        for number in range(5):
            one.put(b"k%d" % number)
        one.runtime.advance(1.1)
        (manifest,) = taken(one)
        assert manifest.revision == 6
        one.runtime.advance(5.0)
        assert len(taken(one)) == 1, "nothing changed since"
        assert not one.cluster.engines[1].trimmed, "the only one may go bad"
        one.put(b"more")
        one.runtime.advance(1.1)
        assert len(taken(one)) == 2
        assert one.cluster.engines[1].trimmed == [(manifest.index - 2, 1)]


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    with replicas(tmp_path, places=True, snapshot=EAGER) as one:
        for number in range(6):
            one.put(b"k%d" % number)
            one.runtime.advance(1.1)
        assert one[1].metrics.snapshots == 6
        assert len(taken(one)) == 2


def test_a_snapshot_is_taken_on_schedule(tmp_path: Path) -> None:
    options = SnapshotOptions(journal_bytes_min=1 << 40, every_s=100.0)
    with replicas(tmp_path, places=True, snapshot=options) as one:
        one.put(b"k")
        one.runtime.advance(99.0)
        assert not taken(one)
        one.runtime.advance(3.0)
        assert len(taken(one)) == 1


def test_the_journal_is_not_trimmed_before_the_snapshot_is_durable(tmp_path: Path) -> None:
    with replicas(tmp_path, places=True, snapshot=EAGER) as one:
        for number in range(5):
            one.put(b"k%d" % number)
        one.runtime.advance(1.1)
        one.put(b"since the first")
        one.runtime.hold("snapshot")
        one.runtime.advance(3.0)
        assert not one.cluster.engines[1].trimmed
        assert isinstance(one.execute(1, Put(b"meanwhile")), PutResult), "copying holds nobody up"
        one.runtime.release("snapshot")
        assert one.cluster.engines[1].trimmed


def test_a_snapshot_that_failed_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with replicas(tmp_path, places=True, snapshot=EAGER) as one:
        one.put(b"k")

        def fails(*arguments: Any, **options: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(one.places[1].snapshots, "take", fails)
        one.runtime.advance(1.5)
        assert one[1].metrics.snapshots_failed == 1
        assert not one.cluster.engines[1].trimmed
        monkeypatch.undo()
        one.put(b"k2")
        one.runtime.advance(3.0)
        assert one[1].metrics.snapshots == 1


def test_a_replica_left_behind_gets_a_snapshot_and_goes_on_from_there(three: Replicas) -> None:
    left_behind(three)
    watched: list[str] = []
    watcher = three[3].watch(b"missed-", b"missed.", start_revision=1, on_ready=lambda: watched.append("ready"))
    three.runtime.run()
    assert three[3].metrics.snapshots_installed == 1
    assert three[3].get(b"missed-7") is not None
    three.cluster.engines[3].hold_delivery = False
    three.put(b"after")
    three.runtime.run()
    assert three.versions(b"after") == [1, 1, 1]
    assert {event.kv.key for event in watcher.take()} == {b"missed-%d" % number for number in range(8)}
    assert not three.stopped


def test_a_broken_transfer_goes_on(three: Replicas) -> None:
    dropped: list[int] = []

    def lose(source: int, target: int, message: dict[str, Any]) -> bool:
        if message["type"] == "store.snapshot.chunk" and len(dropped) < 3:
            dropped.append(int(message["offset"]))
            return True
        return False

    three.cluster.lose = lose
    left_behind(three, writes=20, value_bytes=CHUNK_BYTES // 4)
    three.runtime.advance(20.0)
    assert len(dropped) == 3
    assert three[3].metrics.snapshots_installed == 1


def test_while_the_state_is_replaced_nobody_reads_it(three: Replicas) -> None:
    left_behind(three)
    rebuild = three.places[3].state.rebuild
    seen: list[Exception] = []

    def slow(*arguments: Any) -> None:
        try:
            three[3].get(b"k")
        except UnavailableError as error:
            seen.append(error)
        rebuild(*arguments)

    three.places[3].state.rebuild = slow  # type: ignore[assignment,method-assign]
    three.runtime.run()
    assert len(seen) == 1
    assert three[3].get(b"k") is not None


def test_a_write_waiting_while_the_state_is_replaced_is_answered(three: Replicas) -> None:
    three.put(b"warm", member_id=3)
    three.cluster.engines[3].hold_delivery = True
    waiting = three.propose(3, Put(b"mine"), 30.0)
    three.runtime.run()
    left_behind(three)
    three.cluster.engines[3].hold_delivery = False
    three.runtime.advance(0.5)
    assert three[3].house.installs == 1
    assert isinstance(waiting.value, OutcomeUnknown), "its only copy lies in the snapshot, and its result with it"
    assert three.versions(b"mine") == [1, 1, 1]


def test_a_replica_that_caught_up_by_itself_keeps_its_state(three: Replicas) -> None:
    """The rest of the log arrives between the offer of the snapshot and its last chunk."""

    def catch_up(source: int, target: int, message: dict[str, Any]) -> bool:
        if message["type"] == "store.snapshot.chunk":
            three.cluster.engines[3].hold_delivery = False
            three.cluster.engines[3].deliver_soon()
        return False

    left_behind(three)
    three.cluster.lose = catch_up
    three.runtime.run()
    assert three[3].metrics.snapshots_installed == 0
    assert three[3].get(b"missed-7") is not None


def test_a_snapshot_that_comes_too_late_changes_nothing(three: Replicas) -> None:
    three.cluster.engines[1].tell_snapshot_needed(2)
    three.runtime.run()
    assert three[2].metrics.snapshots_installed == 0
    assert three[2].house.refusal is None


def test_a_snapshot_that_cannot_be_installed_stops_the_replica(three: Replicas) -> None:
    left_behind(three)

    def fails(*arguments: Any) -> None:
        raise OSError(5, "Input/output error")

    three.places[3].state.rebuild = fails  # type: ignore[assignment,method-assign]
    three.runtime.run()
    assert "could not be installed" in three.stopped[3].message
    assert isinstance(three.execute(1, Put(b"x")), PutResult)


def test_stopping_in_the_middle_of_a_transfer_is_clean(three: Replicas) -> None:
    left_behind(three)
    three.runtime.hold("snapshot")
    three.runtime.run()
    three[1].stop()
    three[3].stop()
    three.runtime.release("snapshot")
    three.runtime.advance(10.0)
    late = three.propose(3, Put(b"x"))
    three.runtime.run()
    assert isinstance(late.value, Stopped)
