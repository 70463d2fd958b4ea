"""Start again from what one replica still has: `kmini recover`.

For a replica that cannot go on by itself: a single one whose journal is damaged, or the last one of a cluster that
lost its quorum. What it has is put into a backup, its old files are moved aside, and the backup is restored in
their place as a new cluster of one member: new cluster id, revision raised, so that the old members are refused
and watchers list anew. Nothing is thrown away: a person removes the files set aside.

What it has is the newest of two: the state file, when it is marked as whole (it may hold more than a damaged
journal), and the newest good snapshot; with the journal's entries behind it. Entries that were never committed
may be among them: that, and what only others had, is what `--accept-data-loss` accepts.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import msgspec

from raftstore import backup
from raftstore.disk import RealDisk
from raftstore.errors import StateDamaged, StoreError
from raftstore.identity import Identity, read_identity
from raftstore.mvcc.machine import StateMachine
from raftstore.mvcc.meta import SnapshotMeta, read_snapshot_meta
from raftstore.mvcc.schema import STATE_FILE
from raftstore.raft.journal import FIRST_INDEX, Journal
from raftstore.raft.journal_report import Report, scan
from raftstore.snapshot import SnapshotStore
from raftstore.state_folder import StateFolder

from .errors import CommandError
from .layout import Layout, owned
from .snapshots import package, random_id

ENTRIES_PER_STEP = 512
_EVERY_INDEX = 1 << 62


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """What a data directory holds, found without changing it. Indexes are of the log."""

    name: str
    cluster_id: str
    member_id: str
    address: str
    members: list[str]
    journal_first_index: int
    journal_last_index: int
    damage: str
    state_index: int  # 0: no state that can be trusted
    state_revision: int
    snapshot_index: int  # 0: no snapshot
    snapshot_revision: int


def examine(layout: Layout) -> Holding:
    """Raises CommandError when there is no replica, or a server runs on it."""
    if layout.running() is not None:
        raise CommandError(f"a server runs in {layout.data_dir}: stop it first")
    try:
        identity, report = _read(layout)
        return _holding(layout, identity, report)
    except (StoreError, OSError) as error:
        raise CommandError(str(error)) from error


def recover(layout: Layout, *, wall: Callable[[], float] = time.time) -> tuple[Path, Path]:
    """Do it. Returns the backup made of what there was, and where the old files lie. Raises CommandError."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(wall()))
    path = layout.data_dir / f"recovered-{stamp}.kmini"
    aside = layout.data_dir / f"raft.before-recover-{stamp}"
    with owned(layout):
        try:
            identity, report = _read(layout)
            holding = _holding(layout, identity, report)
            _save(layout, identity, path, wall())
            layout.raft.rename(aside)
        except (StoreError, OSError) as error:
            raise CommandError(f"nothing was recovered, the replica is as it was: {error}") from error
        try:
            backup.restore(
                path,
                layout.data_dir,
                name=identity.name,
                address=holding.address,
                cluster_id=random_id(),
                member_id=random_id(),
                now_wall_s=wall(),
            )
        except (StoreError, OSError) as error:
            raise CommandError(
                f"{error}: go on with kmini snapshot restore {path}; {aside} has the old files"
            ) from error
    return path, aside


# --- looking ----------------------------------------------------------------------------------------


def _read(layout: Layout) -> tuple[Identity, Report]:
    if not layout.raft.is_dir():
        raise StateDamaged(f"{layout.data_dir} holds no replica")
    disk = RealDisk(layout.raft)
    identity, report = read_identity(disk), scan(disk)
    if identity is None or report is None:
        raise StateDamaged(f"{layout.raft} holds no {'identity' if identity is None else 'journal'} of a replica")
    return identity, report


def _holding(layout: Layout, identity: Identity, report: Report) -> Holding:
    damage = report.damage or report.noted_damage
    members = report.configuration.members if report.configuration else ()
    own = next((member for member in members if member.id == identity.member_id), None)
    state = _trusted_state(layout, identity)
    snapshots = _snapshots(layout, identity).manifests()
    return Holding(
        name=identity.name,
        cluster_id=f"{identity.cluster_id:016x}",
        member_id=f"{identity.member_id:016x}",
        address=own.address if own else "",
        members=[member.name for member in members],
        journal_first_index=report.base_index,
        journal_last_index=report.last_index,
        damage=f"{damage.file} at offset {damage.offset}: {damage.reason}" if damage else "",
        state_index=state.applied_index if state else 0,
        state_revision=state.revision if state else 0,
        snapshot_index=snapshots[0].index if snapshots else 0,
        snapshot_revision=snapshots[0].revision if snapshots else 0,
    )


def _snapshots(layout: Layout, identity: Identity) -> SnapshotStore:
    return SnapshotStore(RealDisk(layout.raft / backup.SNAPSHOT_FOLDER), cluster_id=identity.cluster_id)


class _AnyJournal:
    """A journal that fits every state: only the marker is to decide, for the state may hold more than the journal."""

    base_index = 0
    last_index = _EVERY_INDEX

    def __init__(self, term: int) -> None:
        self._term = term

    def term_at(self, _index: int) -> int:
        return self._term


def _trusted_state(layout: Layout, identity: Identity) -> SnapshotMeta | None:
    """What the state file holds when it is marked as whole; None otherwise."""
    folder = StateFolder(layout.state, cluster_id=identity.cluster_id, member_id=identity.member_id)
    if not folder.path.exists():
        return None
    try:
        meta = read_snapshot_meta(folder.path)
    except StateDamaged:
        return None
    decision = folder.decide(cast(Journal, _AnyJournal(meta.applied_term)))
    return None if decision.rebuild else meta


# --- saving what there is -----------------------------------------------------------------------------


def _save(layout: Layout, identity: Identity, path: Path, now_wall_s: float) -> None:
    """Put the newest state and the journal's entries behind it into a backup."""
    journal = Journal.open(RealDisk(layout.raft), cluster_id=identity.cluster_id, member_id=identity.member_id)
    try:
        with _scratch(layout.data_dir / "recovering") as folder:
            _, known = journal.configuration()
            _best_state(layout, identity, journal, folder)
            machine = StateMachine.open(folder)
            try:
                _apply_rest(machine, journal)
                machine.copy(folder / "copy")
            finally:
                machine.close()
            package(folder / "copy", path, member_name=identity.name, known=known, now_wall_s=now_wall_s)
    finally:
        journal.close()


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _best_state(layout: Layout, identity: Identity, journal: Journal, folder: Path) -> None:
    """A copy of the newest state there is, as the state file of `folder`. Raises StateDamaged when there is none."""
    snapshots = _snapshots(layout, identity)
    manifest = snapshots.newest_good()
    state = _trusted_state(layout, identity)
    if state is not None and (manifest is None or state.applied_index >= manifest.index):
        shutil.copyfile(layout.state / STATE_FILE, folder / STATE_FILE)
    elif manifest is not None:
        snapshots.extract(manifest, folder / STATE_FILE)
    elif journal.base_index > FIRST_INDEX:
        raise StateDamaged("there is neither a whole state nor a good snapshot: restore a backup")


def _apply_rest(machine: StateMachine, journal: Journal) -> None:
    """The entries behind the state, where journal and state meet."""
    if journal.term_at(machine.applied_index) != machine.applied_term and machine.applied_index != 0:
        return
    while machine.applied_index < journal.last_index:
        first = max(machine.applied_index, journal.base_index) + 1
        machine.apply(journal.entries(first, min(first + ENTRIES_PER_STEP - 1, journal.last_index)))
