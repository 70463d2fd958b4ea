"""The state file continues only where nothing can have been lost; otherwise it is made anew."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from journal_tools import CLUSTER, FOUNDERS, MEMBER, fake_disk, sync
from snapshot_tools import apply_puts, new_journal, new_store, replay, take

from raftstore.errors import SnapshotDamaged, StateDamaged
from raftstore.mvcc.machine import StateMachine
from raftstore.raft.journal import Journal
from raftstore.sim.disk import FakeDisk
from raftstore.snapshot import SnapshotStore
from raftstore.state_folder import StateFolder, boot_id, mount_of, open_state


class World:
    """One replica's disk, and a machine that can be booted again."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self.disk = fake_disk(3)
        self.snapshot_disk: FakeDisk = fake_disk(4)
        self.store: SnapshotStore = new_store(self.snapshot_disk)
        self.journal: Journal = new_journal(self.disk)
        self.boot = "boot-1"
        self.mount = "mount-1"
        self.machine: StateMachine | None = None

    def folder(self, member_id: int = MEMBER) -> StateFolder:
        return StateFolder(
            self.path / "state",
            cluster_id=CLUSTER,
            member_id=member_id,
            boot_id=lambda: self.boot,
            mount_of=lambda _: self.mount,
        )

    def start(self, folder: StateFolder | None = None) -> tuple[StateMachine, str | None]:
        """The state, and why it was rebuilt if it was."""
        self.stop()
        machine, decision = open_state(folder or self.folder(), self.store, self.journal)
        self.machine = machine
        return machine, decision.reason if decision.rebuild else None

    def stop(self) -> None:
        if self.machine is not None:
            self.machine.close()
            self.machine = None


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.stop()


def test_a_first_start_makes_an_empty_state_and_the_next_goes_on(world: World) -> None:
    machine, reason = world.start()
    assert reason == "there is no state file"
    apply_puts(machine, world.journal, 5)
    digest = machine.digest
    machine, reason = world.start()
    assert reason is None
    assert machine.digest == digest


def reboot(world: World) -> None:
    world.boot = "boot-2"


def remount(world: World) -> None:
    world.mount = "mount-2"


def another_file(world: World) -> None:
    path = world.path / "state" / "data.mdb"
    shutil.copy(path, path.with_name("copy"))
    os.replace(path.with_name("copy"), path)


def no_marker(world: World) -> None:
    (world.path / "state" / "marker").unlink()


def torn_marker(world: World) -> None:
    (world.path / "state" / "marker").write_bytes(b'{"cluster_id":')


def io_error(world: World) -> None:
    world.folder().distrust()


def no_file(world: World) -> None:
    (world.path / "state" / "data.mdb").unlink()


def shorter_journal(world: World) -> None:
    world.journal.truncate_from(world.journal.last_index - 1)
    sync(world.journal)


def other_term(world: World) -> None:
    last = world.journal.last_index
    world.journal.truncate_from(last)
    world.journal.append(b"\x01", last, 9)
    sync(world.journal)


@pytest.mark.parametrize(
    ("happens", "expected"),
    [
        (reboot, "member, boot, file or mount"),
        (remount, "member, boot, file or mount"),
        (another_file, "member, boot, file or mount"),
        (no_marker, "not marked as whole"),
        (torn_marker, "not marked as whole"),
        (io_error, "not marked as whole"),
        (no_file, "no state file"),
        (shorter_journal, "the journal ends at"),
        (other_term, "is of term 1"),
    ],
)
def test_a_state_that_may_have_lost_something_is_rebuilt(
    world: World, happens: Callable[[World], None], expected: str
) -> None:
    machine, _ = world.start()
    apply_puts(machine, world.journal, 20)
    manifest = take(world.store, machine, world.path)
    digest = machine.digest
    apply_puts(machine, world.journal, 3)
    world.stop()
    happens(world)
    machine, reason = world.start()
    assert reason is not None
    assert expected in reason
    assert (machine.applied_index, machine.digest) == (manifest.index, digest)
    replay(machine, world.journal)
    digest = machine.digest
    machine, reason = world.start()
    assert reason is None
    assert machine.digest == digest


def test_another_members_state_is_never_taken_over(world: World) -> None:
    machine, _ = world.start()
    apply_puts(machine, world.journal, 5)
    _, reason = world.start(world.folder(member_id=MEMBER + 1))
    assert reason is not None


def test_the_marker_is_durable_before_the_first_transaction(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    mark, opened = StateFolder.mark, StateMachine.open.__func__  # type: ignore[attr-defined]

    def marked(self: StateFolder) -> None:
        mark(self)
        order.append("mark")

    def open_it(cls: type[StateMachine], /, folder: Path, **kwargs: object) -> StateMachine:
        order.append("sync" if kwargs.get("sync") else "open")
        return opened(cls, folder, **kwargs)  # type: ignore[no-any-return]

    monkeypatch.setattr(StateFolder, "mark", marked)
    monkeypatch.setattr(StateMachine, "open", classmethod(open_it))
    world.start()
    assert order == ["sync", "mark", "open"]


def test_a_state_behind_the_journals_base_is_rebuilt(world: World) -> None:
    machine, _ = world.start()
    apply_puts(machine, world.journal, 20)
    world.stop()
    shutil.copytree(world.path / "state", world.path / "old")
    machine, _ = world.start()
    apply_puts(machine, world.journal, 20)
    manifest = take(world.store, machine, world.path)
    world.stop()
    world.journal.trim(manifest.index)
    with (world.path / "state" / "data.mdb").open("r+b") as file:
        file.write((world.path / "old" / "data.mdb").read_bytes())
    machine, reason = world.start()
    assert reason is not None
    assert "the journal begins at" in reason
    assert machine.applied_index == manifest.index


def test_without_a_snapshot_that_reaches_the_journal_nothing_is_guessed(world: World) -> None:
    machine, _ = world.start()
    apply_puts(machine, world.journal, 20)
    manifest = take(world.store, machine, world.path)
    world.journal.trim(manifest.index)
    world.stop()
    world.snapshot_disk.flip_bits(manifest.name, [7000])
    reboot(world)
    with pytest.raises(StateDamaged, match="no good snapshot reaches entry 21"):
        world.start()
    assert world.store.damaged


def test_a_snapshot_beyond_the_journal_becomes_its_base(world: World) -> None:
    """The replica stopped after a snapshot arrived and before the log was begun anew behind it."""
    machine, _ = world.start()
    apply_puts(machine, world.journal, 20)
    manifest = take(world.store, machine, world.path)
    world.stop()
    world.journal = new_journal(fake_disk(9))
    machine, reason = world.start()
    assert reason is not None
    assert machine.applied_index == manifest.index
    assert (world.journal.base_index, world.journal.last_index) == (manifest.index, manifest.index)
    assert world.journal.durable_index == manifest.index
    assert world.journal.base_configuration == FOUNDERS


def test_a_manifest_that_lies_about_its_bytes_is_not_used(world: World) -> None:
    machine, _ = world.start()
    apply_puts(machine, world.journal, 5)
    manifest = take(world.store, machine, world.path)
    apply_puts(machine, world.journal, 5)
    newer = take(world.store, machine, world.path)
    world.stop()
    lie = msgspec.structs.replace(newer, revision=newer.revision + 5)
    world.store.admit(newer.name, lie)
    with pytest.raises(SnapshotDamaged, match="holds"):
        world.folder().rebuild(world.store, lie)
    machine, _ = world.start()
    assert machine.applied_index == manifest.index


def test_rebuilding_may_be_interrupted_anywhere(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every system call that changes something is a place to stop; the next start must come to the same state."""
    machine, _ = world.start()
    apply_puts(machine, world.journal, 20)
    manifest = take(world.store, machine, world.path)
    digest = machine.digest
    apply_puts(machine, world.journal, 5)
    world.stop()
    calls = ("replace", "fsync", "write", "open")
    originals = {name: getattr(os, name) for name in calls}
    steps_left = 0

    class Stopped(BaseException):
        pass

    def stopping(name: str) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            nonlocal steps_left
            steps_left -= 1
            if steps_left < 0:
                raise Stopped
            return originals[name](*args, **kwargs)

        return call

    for steps in range(60):
        steps_left = steps
        with monkeypatch.context() as patch:
            for name in calls:
                patch.setattr(os, name, stopping(name))
            try:
                world.folder().rebuild(world.store, manifest)
            except Stopped:
                finished = False
            else:
                finished = True
        machine, _ = world.start()
        assert machine.applied_index in (manifest.index, manifest.index + 5)
        if machine.applied_index == manifest.index:
            assert machine.digest == digest
            replay(machine, world.journal)
        world.stop()
        if finished:
            return
    pytest.fail("rebuilding never came to its end")


def test_boot_and_mount_are_told(tmp_path: Path) -> None:
    assert boot_id() == boot_id()
    assert len(boot_id()) == 36
    assert mount_of(tmp_path) == mount_of(tmp_path / ".")
    assert mount_of(tmp_path) != ""
    assert mount_of(Path("/proc")) != mount_of(tmp_path)
