"""A snapshot exists once its manifest does, and is used only when its bytes hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from journal_tools import CLUSTER, FOUNDERS, fake_disk
from snapshot_tools import apply_puts, new_journal, new_store, replay, take

from raftstore.disk import Disk, RealDisk
from raftstore.errors import SnapshotDamaged, UnknownFormat, WrongCluster
from raftstore.mvcc.machine import StateMachine
from raftstore.mvcc.schema import STATE_FILE
from raftstore.raft.journal import Journal
from raftstore.sim.disk import PowerCut
from raftstore.snapshot import Manifest, SnapshotStore


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[StateMachine]:
    machine = StateMachine.open(tmp_path / "state")
    yield machine
    machine.close()


@pytest.fixture
def journal() -> Journal:
    return new_journal(fake_disk())


@pytest.fixture(params=["fake", "real"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Disk:
    return fake_disk() if request.param == "fake" else RealDisk(tmp_path / "snapshots")


def test_a_snapshot_is_found_and_holds_the_state(
    machine: StateMachine, journal: Journal, disk: Disk, tmp_path: Path
) -> None:
    apply_puts(machine, journal, 30)
    manifest = take(new_store(disk), machine, tmp_path)
    assert (manifest.index, manifest.term, manifest.revision) == (31, 1, machine.revision)
    assert manifest.configuration == FOUNDERS
    store = new_store(disk)
    assert store.newest_good() == manifest
    (tmp_path / "copy").mkdir()
    store.extract(manifest, tmp_path / "copy" / STATE_FILE)
    copy = StateMachine.open(tmp_path / "copy")
    assert (copy.digest, copy.get(b"key5")) == (machine.digest, machine.get(b"key5"))
    copy.close()
    assert sorted(disk.names()) == sorted((manifest.name, manifest.name.replace(".snapshot", ".manifest")))


def test_a_finished_snapshot_survives_a_power_loss(machine: StateMachine, journal: Journal, tmp_path: Path) -> None:
    apply_puts(machine, journal, 30)
    for seed in range(20):
        disk = fake_disk(seed)
        manifest = take(new_store(disk), machine, tmp_path)
        disk.crash(power=True)
        assert new_store(disk).newest_good() == manifest


@pytest.mark.parametrize("power", [False, True])
def test_an_interrupted_snapshot_never_existed_or_is_whole(
    machine: StateMachine, journal: Journal, tmp_path: Path, power: bool
) -> None:
    apply_puts(machine, journal, 30)
    for steps in range(40):
        disk = fake_disk(steps)
        first = take(new_store(disk), machine, tmp_path)
        apply_puts(machine, journal, 1)
        disk.cut_after(steps)
        try:
            second = take(new_store(disk), machine, tmp_path)
        except PowerCut:
            second = None
        disk.crash(power=power)
        store = new_store(disk)
        found = store.newest_good()
        assert found is not None
        assert found.index in (first.index, first.index + 1)
        assert store.damaged == []
        if second is not None:
            assert found == second
            return
        take(store, machine, tmp_path)
        assert len(disk.names()) == 4
    pytest.fail("a snapshot is never done")


def test_a_bad_snapshot_is_set_aside_and_the_older_one_is_used(
    machine: StateMachine, journal: Journal, tmp_path: Path
) -> None:
    disk = fake_disk()
    store = new_store(disk)
    manifests = []
    for _ in range(3):
        apply_puts(machine, journal, 10)
        manifests.append(take(store, machine, tmp_path))
    disk.flip_bits(manifests[2].name, [5000])
    disk.flip_bits(manifests[1].name.replace(".snapshot", ".manifest"), [50])
    assert store.newest_good() == manifests[0]
    assert len(store.damaged) == 3
    assert disk.exists("damaged-" + manifests[2].name)
    assert new_store(disk).newest_good() == manifests[0]
    assert store.newest_good(index_min=manifests[0].index + 1) is None


def test_extraction_checks_what_it_copies(machine: StateMachine, journal: Journal, tmp_path: Path) -> None:
    disk = fake_disk()
    store = new_store(disk)
    apply_puts(machine, journal, 10)
    manifest = take(store, machine, tmp_path)
    disk.flip_bits(manifest.name, [9000])
    with pytest.raises(SnapshotDamaged, match="does not have the bytes"):
        store.extract(manifest, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_old_snapshots_are_pruned_the_newest_never(
    machine: StateMachine, journal: Journal, disk: Disk, tmp_path: Path
) -> None:
    store = new_store(disk)
    for _ in range(4):
        apply_puts(machine, journal, 2)
        newest = take(store, machine, tmp_path)
    store.prune(2)
    assert [manifest.index for manifest in store.manifests()] == [newest.index, newest.index - 2]
    assert len(disk.names()) == 4
    store.prune(0)
    assert store.manifests() == [newest]


def test_another_clusters_or_formats_snapshot_is_refused(
    machine: StateMachine, journal: Journal, tmp_path: Path
) -> None:
    disk = fake_disk()
    apply_puts(machine, journal, 2)
    manifest = take(new_store(disk), machine, tmp_path)
    with pytest.raises(WrongCluster):
        SnapshotStore(disk, cluster_id=CLUSTER + 1).manifests()
    other = msgspec.structs.replace(manifest, format=9)
    with pytest.raises(UnknownFormat, match="format 9"):
        Manifest.decode(other.encode())


def test_a_state_goes_on_from_a_snapshot_and_the_journal(
    machine: StateMachine, journal: Journal, tmp_path: Path
) -> None:
    store = new_store(fake_disk())
    apply_puts(machine, journal, 20)
    manifest = take(store, machine, tmp_path)
    apply_puts(machine, journal, 20)
    (tmp_path / "copy").mkdir()
    store.extract(manifest, tmp_path / "copy" / STATE_FILE)
    copy = StateMachine.open(tmp_path / "copy")
    replay(copy, journal)
    assert (copy.digest, copy.revision) == (machine.digest, machine.revision)
    copy.close()
