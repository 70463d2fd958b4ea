"""Whether the state file may be trusted, and how it is made anew when not (docs/architecture.md, section 4).

The state is written without syncing: after a kill it is intact, after a power loss it is anything. So a
marker beside it names what must not have changed since it was last known to be whole: the member, the boot,
and the file's device, inode and mount. The marker is durable before the first unsynced transaction. At start
the file continues only if

    the marker names this member, this boot and this very file,
    the file's index is one the journal holds (or its base), with the same term,
    and no I/O error was noted (noting one removes the marker).

Otherwise it is rebuilt: the marker goes first, a new file is written from the newest good snapshot, synced,
checked, renamed over the old one, and then marked. A crash at any point leaves no marker or one that tells
the truth, so the worst is to rebuild again.

Everything here blocks.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from .errors import SnapshotDamaged, StateDamaged
from .failpoint import failpoint
from .limits import QUOTA_BYTES_DEFAULT
from .mvcc.machine import StateMachine
from .mvcc.meta import SnapshotMeta, read_snapshot_meta
from .mvcc.schema import STATE_FILE
from .raft.journal import FIRST_INDEX, Journal
from .snapshot import Manifest, SnapshotStore

FORMAT_VERSION = 1
MARKER_FILE = "marker"
MARKER_BYTES_MAX = 4096

_NEW_SUFFIX = ".new"
_LOCK_SUFFIX = "-lock"
_BOOT_ID_PATH = Path("/proc/sys/kernel/random/boot_id")
_MOUNTS_PATH = Path("/proc/self/mountinfo")


class Marker(msgspec.Struct, frozen=True):
    """What the state file must still be for its unsynced pages to be there."""

    cluster_id: int
    member_id: int
    boot_id: str
    device: int
    inode: int
    mount: str
    format: int = FORMAT_VERSION


class Decision(NamedTuple):
    """`rebuild` False: the file goes on as it is. `reason` is for the log."""

    rebuild: bool
    reason: str


def boot_id() -> str:
    """A new one after every boot of the machine. Raises OSError."""
    return _BOOT_ID_PATH.read_text(encoding="ascii").strip()


def mount_of(folder: Path) -> str:
    """Which mount the folder lies on. Raises OSError.

    A mount that other mount namespaces share is known by its peer group: the number of the mount itself is
    another one in each namespace (`ip netns exec` makes one every time).
    """
    place = str(folder.resolve())
    best_length, best = -1, ""
    for line in _MOUNTS_PATH.read_text(encoding="utf-8").splitlines():
        fields = line.split(" ")
        point = fields[4].encode("ascii").decode("unicode_escape")
        if (place == point or place.startswith(point.rstrip("/") + "/")) and len(point) >= best_length:
            groups = [field.partition(":")[2] for field in fields[6 : fields.index("-")]]
            best_length, best = len(point), f"peers {groups[0]}" if groups else f"mount {fields[0]}"
    return best


class StateFolder:
    """The folder of one replica's state file. `boot_id` and `mount_of` are seams for tests and the simulator."""

    def __init__(
        self,
        folder: Path,
        *,
        cluster_id: int,
        member_id: int,
        boot_id: Callable[[], str] = boot_id,
        mount_of: Callable[[Path], str] = mount_of,
    ) -> None:
        self.folder = folder
        self.path = folder / STATE_FILE
        self._marker = folder / MARKER_FILE
        self._owner = (cluster_id, member_id)
        self._boot_id = boot_id
        self._mount_of = mount_of
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    # --- deciding ---

    def decide(self, journal: Journal) -> Decision:
        """Whether the file there is may be used with this journal. Changes nothing."""
        if not self.path.exists():
            return Decision(True, "there is no state file")
        marker = self._read_marker()
        if marker is None:
            return Decision(True, "the state file is not marked as whole")
        if marker != self._present_marker():
            return Decision(True, "member, boot, file or mount are not those that wrote the state file")
        try:
            meta = read_snapshot_meta(self.path)
        except StateDamaged as error:
            return Decision(True, error.message)
        return _fits(meta, journal)

    def _read_marker(self) -> Marker | None:
        try:
            marker = msgspec.json.decode(self._marker.read_bytes()[:MARKER_BYTES_MAX], type=Marker)
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        return marker if marker.format == FORMAT_VERSION else None

    def _present_marker(self) -> Marker:
        status = self.path.stat()
        return Marker(*self._owner, self._boot_id(), status.st_dev, status.st_ino, self._mount_of(self.folder))

    # --- marking ---

    def mark(self) -> None:
        """The file as it is on disk now is whole; durable on return. Raises OSError."""
        unfinished = self._marker.with_name(MARKER_FILE + _NEW_SUFFIX)
        fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, msgspec.json.encode(self._present_marker()))
            os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(unfinished, self._marker)
        self._sync()

    def distrust(self) -> None:
        """The file must be rebuilt before it is used again: an I/O error was seen. Durable; raises OSError."""
        self._marker.unlink(missing_ok=True)
        self._sync()

    def _sync(self) -> None:
        fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    # --- rebuilding ---

    def rebuild(self, snapshots: SnapshotStore, manifest: Manifest | None) -> None:
        """Put a file made from the snapshot (None: an empty state) in the place of the old one, and mark it.

        The state must be closed. Raises SnapshotDamaged, UnknownFormat, StateDamaged, NoSpace, OSError; the
        old file then stands as it was, without its marker.
        """
        self.distrust()
        new = self.path.with_name(STATE_FILE + _NEW_SUFFIX)
        self._remove(new)
        if manifest is None:
            self._make_empty(new)
        else:
            snapshots.extract(manifest, new)
            _check_contents(new, manifest)
        with new.open("rb") as file:
            os.fsync(file.fileno())
        self.path.with_name(STATE_FILE + _LOCK_SUFFIX).unlink(missing_ok=True)
        failpoint("state_before_rename")
        os.replace(new, self.path)
        self._sync()
        failpoint("state_after_rename")
        self.mark()

    def _make_empty(self, new: Path) -> None:
        scratch = self.folder / "empty"
        StateMachine.open(scratch, sync=True).close()
        os.replace(scratch / STATE_FILE, new)
        (scratch / (STATE_FILE + _LOCK_SUFFIX)).unlink(missing_ok=True)
        scratch.rmdir()

    def _remove(self, new: Path) -> None:
        scratch = self.folder / "empty"
        if scratch.is_dir():
            for path in scratch.iterdir():
                path.unlink()
            scratch.rmdir()
        new.unlink(missing_ok=True)


def open_state(
    folder: StateFolder,
    snapshots: SnapshotStore,
    journal: Journal,
    *,
    quota_bytes: int = QUOTA_BYTES_DEFAULT,
) -> tuple[StateMachine, Decision]:
    """The state to start with: the one there is, or one rebuilt from the newest good snapshot.

    The journal's entries behind it are applied as they are committed. A snapshot that the journal does not
    reach (a crash came between its arrival and the new log) becomes the journal's base, durably. Raises
    StateDamaged when no snapshot reaches the journal's base, and what `rebuild` raises.
    """
    decision = folder.decide(journal)
    if decision.rebuild:
        _rebuild(folder, snapshots, journal)
    return StateMachine.open(folder.folder, quota_bytes=quota_bytes), decision


def _rebuild(folder: StateFolder, snapshots: SnapshotStore, journal: Journal) -> None:
    while True:
        manifest = snapshots.newest_good(index_min=journal.base_index)
        if manifest is None and journal.base_index > FIRST_INDEX:
            raise StateDamaged(
                f"no good snapshot reaches entry {journal.base_index}, where the journal begins: remove this replica "
                "from the cluster and join it again with an empty data directory, or run `kmini snapshot restore`"
            )
        try:
            folder.rebuild(snapshots, manifest)
        except SnapshotDamaged:
            assert manifest is not None
            snapshots.set_aside(manifest)
            continue
        if manifest is not None and journal.term_at(manifest.index) != manifest.term:
            _begin_behind(journal, manifest)
        return


def _begin_behind(journal: Journal, manifest: Manifest) -> None:
    journal.reset(manifest.index, manifest.term, manifest.configuration)
    while (work := journal.take()) is not None:
        work.run()
        journal.finish(work, None)


def _fits(meta: SnapshotMeta, journal: Journal) -> Decision:
    index, term = meta.applied_index, meta.applied_term
    if index > journal.last_index:
        return Decision(True, f"the state is at entry {index}, the journal ends at {journal.last_index}")
    if index < journal.base_index:
        return Decision(True, f"the state is at entry {index}, the journal begins at {journal.base_index}")
    if journal.term_at(index) != term:
        return Decision(True, f"the state's entry {index} is of term {term}, the journal's is not")
    return Decision(False, f"the state goes on from entry {index}")


def _check_contents(path: Path, manifest: Manifest) -> None:
    """The bytes are those of the manifest; is the manifest that of the bytes? Raises SnapshotDamaged, UnknownFormat."""
    try:
        meta = read_snapshot_meta(path)
    except StateDamaged as error:
        raise SnapshotDamaged(f"snapshot {manifest.name} cannot be opened: {error.message}") from error
    found = (meta.applied_index, meta.applied_term, meta.revision)
    if found != (manifest.index, manifest.term, manifest.revision):
        raise SnapshotDamaged(f"snapshot {manifest.name} holds (index, term, revision) {found}")
