"""The portable backup: one snapshot in one file, and the way from that file to a new cluster.

    magic 8 | format version u16 | manifest length u32 | manifest | state file | SHA-256 of all before, 32

little endian. It is written and read as a stream; nothing in it names a path or a secret of the cluster.

`restore` makes the data directory of a one-member cluster that never was: new cluster id, new member id,
the revision raised by `REVISION_STEP` and everything below counted as compacted, so that members of the old
cluster are refused and watchers of before list anew instead of missing events.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from .disk import RealDisk
from .errors import SnapshotDamaged, StateDamaged, UnknownFormat
from .failpoint import failpoint
from .identity import FILE_NAME as IDENTITY_FILE
from .identity import Identity, write_identity
from .limits import MIB
from .mvcc.machine import StateMachine
from .mvcc.schema import STATE_FILE
from .raft.engine import Configuration, Member
from .raft.journal import Journal
from .snapshot import MANIFEST_BYTES_MAX, Manifest, SnapshotStore

FORMAT_VERSION = 1
REVISION_STEP = 1_000_000_000
RAFT_FOLDER = "raft"
SNAPSHOT_FOLDER = "snapshots"  # within the raft folder
_RESTORING = "restoring"  # within it too, until the restore is done

_MAGIC = b"KMINISNP"
_HEAD = struct.Struct("<8sHI")
_DIGEST_BYTES = hashlib.sha256().digest_size
_BLOCK_BYTES = MIB


class _Layout(NamedTuple):
    manifest: Manifest
    data_offset: int


# --- writing --------------------------------------------------------------------------------------


def backup_stream(manifest: Manifest, data: Iterable[bytes]) -> Iterator[bytes]:
    """A backup's bytes from a snapshot's. Raises SnapshotDamaged at the end when the data was not the manifest's."""
    encoded = manifest.encode()
    whole, body = hashlib.sha256(), hashlib.sha256()
    head = _HEAD.pack(_MAGIC, FORMAT_VERSION, len(encoded)) + encoded
    whole.update(head)
    yield head
    for block in data:
        whole.update(block)
        body.update(block)
        yield block
    if body.hexdigest() != manifest.sha256:
        raise SnapshotDamaged(f"snapshot {manifest.name} does not have the bytes its manifest says: nothing was saved")
    yield whole.digest()


def save_backup(path: Path, stream: Iterable[bytes]) -> Manifest:
    """Write a backup from its bytes, wherever they come from: whole, verified and durable, or not at all.

    Raises SnapshotDamaged, UnknownFormat, OSError.
    """
    unfinished = path.with_name(path.name + ".unfinished")
    try:
        with open(unfinished, "wb", opener=_private) as file:
            for block in stream:
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        manifest = verify_backup(unfinished)
        failpoint("backup_before_rename")
        os.replace(unfinished, path)
        _sync_folder(path.parent)
    finally:
        unfinished.unlink(missing_ok=True)
    return manifest


# --- reading --------------------------------------------------------------------------------------


def verify_backup(path: Path) -> Manifest:
    """Read a backup whole. Raises SnapshotDamaged, UnknownFormat, OSError."""
    with path.open("rb") as file:
        layout = _read_layout(file, path)
        whole, body = hashlib.sha256(), hashlib.sha256()
        file.seek(0)
        whole.update(file.read(layout.data_offset))
        for block in _blocks(file, layout.manifest.size):
            whole.update(block)
            body.update(block)
        if file.read(_DIGEST_BYTES + 1) != whole.digest() or body.hexdigest() != layout.manifest.sha256:
            raise SnapshotDamaged(f"backup {path} is damaged: its SHA-256 does not hold")
    return layout.manifest


def _read_layout(file: BinaryIO, path: Path) -> _Layout:
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size or not head.startswith(_MAGIC):
        raise SnapshotDamaged(f"{path} is not a backup of kmini")
    _, version, length = _HEAD.unpack(head)
    if version != FORMAT_VERSION:
        raise UnknownFormat(
            f"backup {path} has format {version}, this version reads {FORMAT_VERSION}: upgrade this kmini first"
        )
    if length > MANIFEST_BYTES_MAX:
        raise SnapshotDamaged(f"backup {path} is damaged: a manifest of {length} bytes")
    manifest = Manifest.decode(file.read(length), f"the manifest in backup {path}")
    return _Layout(manifest, _HEAD.size + length)


def _blocks(file: BinaryIO, size: int) -> Iterator[bytes]:
    while size and (block := file.read(min(size, _BLOCK_BYTES))):
        size -= len(block)
        yield block


# --- restoring ------------------------------------------------------------------------------------


def restore(
    path: Path, data_dir: Path, *, name: str, address: str, cluster_id: int, member_id: int, now_wall_s: float
) -> Manifest:
    """Make `data_dir` that of a new cluster's only member, with the backup's state. Returns its first snapshot.

    `address` is the member's peer address, host:port. The state file itself is built from that snapshot at the
    first start. Raises SnapshotDamaged, UnknownFormat, StateDamaged, OSError. The identity is written last: a
    restore that was interrupted can be done again. Refuses a directory that holds a replica (StateDamaged).
    """
    raft = data_dir / RAFT_FOLDER
    interrupted = (raft / _RESTORING).exists() and not (raft / IDENTITY_FILE).exists()
    if interrupted:
        shutil.rmtree(raft)
    elif raft.exists() and any(raft.iterdir()):
        raise StateDamaged(f"{raft} is not empty: restore into a new data directory, nothing was changed")
    verify_backup(path)
    try:
        return _restore(path, raft, Identity(cluster_id, member_id, name), address, now_wall_s)
    except BaseException:
        shutil.rmtree(raft, ignore_errors=True)
        raise


def _restore(path: Path, raft: Path, identity: Identity, address: str, now_wall_s: float) -> Manifest:
    disk = RealDisk(raft)
    configuration = Configuration(identity.cluster_id, (Member(identity.member_id, identity.name, address),))
    with _unpacked(path, raft / _RESTORING) as machine:
        machine.reset(
            configuration=configuration,
            index=machine.applied_index,
            term=machine.applied_term,
            raise_revision_by=REVISION_STEP,
        )
        manifest = SnapshotStore(RealDisk(raft / SNAPSHOT_FOLDER), cluster_id=identity.cluster_id).take(
            machine.copy,
            scratch=raft,
            member_name=identity.name,
            configuration=configuration,
            now_wall_s=now_wall_s,
        )
        Journal.create(
            disk,
            cluster_id=identity.cluster_id,
            member_id=identity.member_id,
            configuration=configuration,
            base_index=manifest.index,
            base_term=manifest.term,
        ).close()
        write_identity(disk, identity)
    _sync_folder(raft.parent)
    return manifest


@contextmanager
def _unpacked(path: Path, folder: Path) -> Iterator[StateMachine]:
    """The backup's state, opened in a folder that is gone afterwards."""
    folder.mkdir()
    try:
        with path.open("rb") as source, open(folder / STATE_FILE, "wb", opener=_private) as target:
            layout = _read_layout(source, path)
            for block in _blocks(source, layout.manifest.size):
                target.write(block)
        machine = StateMachine.open(folder)
        try:
            yield machine
        finally:
            machine.close()
    finally:
        shutil.rmtree(folder)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
