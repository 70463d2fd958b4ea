"""One file that can be carried away, and a cluster that begins anew from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from journal_tools import CLUSTER, MEMBER, fake_disk
from snapshot_tools import apply_puts, new_journal, new_store, take

from raftstore import backup
from raftstore.backup import REVISION_STEP, backup_stream, restore, save_backup, verify_backup
from raftstore.disk import RealDisk
from raftstore.errors import Compacted, SnapshotDamaged, StateDamaged, UnknownFormat
from raftstore.identity import Identity, read_identity
from raftstore.mvcc.machine import StateMachine
from raftstore.raft.journal import Journal
from raftstore.snapshot import Manifest, SnapshotStore
from raftstore.state_folder import StateFolder, open_state

NEW_CLUSTER, NEW_MEMBER = 0x5555, 0x6666


class Saved:
    def __init__(self, file: Path, manifest: Manifest, store: SnapshotStore, revision: int) -> None:
        self.file, self.manifest, self.store, self.revision = file, manifest, store, revision


@pytest.fixture
def saved(tmp_path: Path) -> Iterator[Saved]:
    machine = StateMachine.open(tmp_path / "state")
    apply_puts(machine, new_journal(fake_disk()), 40)
    store = new_store(fake_disk())
    manifest = take(store, machine, tmp_path)
    file = tmp_path / "backup.kmini"
    save_backup(file, backup_stream(manifest, store.chunks(manifest)))
    yield Saved(file, manifest, store, machine.revision)
    machine.close()


def restored(saved: Saved, folder: Path) -> Manifest:
    return restore(
        saved.file,
        folder,
        name="b",
        address="10.0.0.1:2380",
        cluster_id=NEW_CLUSTER,
        member_id=NEW_MEMBER,
        now_wall_s=1.0,
    )


def started(folder: Path) -> tuple[StateMachine, Journal]:
    journal = Journal.open(RealDisk(folder / "raft"), cluster_id=NEW_CLUSTER, member_id=NEW_MEMBER)
    state = StateFolder(folder / "state", cluster_id=NEW_CLUSTER, member_id=NEW_MEMBER)
    store = SnapshotStore(RealDisk(folder / "raft" / "snapshots"), cluster_id=NEW_CLUSTER)
    return open_state(state, store, journal)[0], journal


def test_a_backup_verifies_and_says_what_it_holds(saved: Saved) -> None:
    assert verify_backup(saved.file) == saved.manifest
    assert saved.file.stat().st_mode & 0o777 == 0o600


def test_every_changed_byte_is_found(saved: Saved) -> None:
    content = saved.file.read_bytes()
    for at in (0, 9, 12, 20, 400, len(content) // 2, len(content) - 33, len(content) - 1):
        saved.file.write_bytes(content[:at] + bytes((content[at] ^ 1,)) + content[at + 1 :])
        with pytest.raises((SnapshotDamaged, UnknownFormat)):
            verify_backup(saved.file)
    for changed in (content[:-1], content[:100], b"", content + b"x"):
        saved.file.write_bytes(changed)
        with pytest.raises(SnapshotDamaged):
            verify_backup(saved.file)


def test_a_backup_is_written_whole_or_not_at_all(saved: Saved, tmp_path: Path) -> None:
    target = tmp_path / "second.kmini"
    stream = list(backup_stream(saved.manifest, saved.store.chunks(saved.manifest)))
    with pytest.raises(SnapshotDamaged):
        save_backup(target, stream[:-1])
    with pytest.raises(SnapshotDamaged, match="nothing was saved"):
        save_backup(target, backup_stream(saved.manifest, [b"other bytes"]))
    assert [path.name for path in tmp_path.iterdir() if "second" in path.name] == []
    assert save_backup(target, stream) == saved.manifest


def test_a_restored_cluster_holds_the_data_under_new_names(saved: Saved, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    manifest = restored(saved, folder)
    assert manifest.cluster_id == NEW_CLUSTER
    assert read_identity(RealDisk(folder / "raft")) == Identity(NEW_CLUSTER, NEW_MEMBER, "b")
    machine, journal = started(folder)
    got = machine.get(b"key7")
    assert got is not None
    assert got.value.startswith(b"7:")
    assert machine.configuration == journal.configuration()[1]
    assert [(m.id, m.name, m.address) for m in journal.configuration()[1].members] == [
        (NEW_MEMBER, "b", "10.0.0.1:2380")
    ]
    assert (journal.base_index, journal.last_index) == (saved.manifest.index, saved.manifest.index)
    journal.close()
    machine.close()


def test_watchers_of_before_must_list_anew(saved: Saved, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    manifest = restored(saved, folder)
    assert manifest.revision == saved.revision + REVISION_STEP
    machine, journal = started(folder)
    assert machine.revision == machine.compact_revision == saved.revision + REVISION_STEP
    with pytest.raises(Compacted):
        machine.events(saved.revision + 1, b"\0", b"\0", revisions_max=10, bytes_max=1000)
    journal.close()
    machine.close()


def test_the_old_cluster_is_fenced(saved: Saved, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    restored(saved, folder)
    with pytest.raises(Exception, match="belongs to member"):
        Journal.open(RealDisk(folder / "raft"), cluster_id=CLUSTER, member_id=MEMBER)


def test_a_directory_in_use_is_not_touched(saved: Saved, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    restored(saved, folder)
    before = sorted(path.name for path in (folder / "raft").iterdir())
    with pytest.raises(StateDamaged, match="is not empty"):
        restored(saved, folder)
    assert sorted(path.name for path in (folder / "raft").iterdir()) == before


def test_a_damaged_backup_restores_nothing(saved: Saved, tmp_path: Path) -> None:
    content = bytearray(saved.file.read_bytes())
    content[len(content) // 2] ^= 1
    saved.file.write_bytes(content)
    with pytest.raises(SnapshotDamaged):
        restored(saved, tmp_path / "new")
    assert not (tmp_path / "new" / "raft").exists()


def test_an_interrupted_restore_can_be_done_again(
    saved: Saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "new"

    def power_cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(backup, "write_identity", power_cut)
        patch.setattr("shutil.rmtree", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            restored(saved, folder)
    assert (folder / "raft" / "restoring").exists()
    restored(saved, folder)
    machine, journal = started(folder)
    assert machine.get(b"key7") is not None
    journal.close()
    machine.close()
