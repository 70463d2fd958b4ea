"""Snapshots of the state at rest: a compact LMDB file and a manifest that vouches for it.

A snapshot exists once its manifest does: the data file is written, synced and named first, the manifest
last. Whoever wants to use one reads it through `extract` or `verify`, which hold its bytes against the
manifest's size and SHA-256; one that fails is set aside and the next older one is tried.

Everything here blocks on a disk and belongs on the snapshot lane's thread.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from .disk import Disk, RealDisk, opened
from .errors import SnapshotDamaged, UnknownFormat, WrongCluster
from .failpoint import failpoint
from .identity import replace_file
from .limits import KIB, MIB
from .raft.engine import Configuration
from .raft.recovery import Base

if TYPE_CHECKING:
    from .mvcc.meta import SnapshotMeta

FORMAT_VERSION = 1
READ_BYTES = MIB
MANIFEST_BYTES_MAX = 64 * KIB

_DATA_SUFFIX = ".snapshot"
_MANIFEST_SUFFIX = ".manifest"
_TAKING = "taking"
_ASIDE_PREFIX = "damaged-"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot holds and how to know that it is whole. `taken_at_s` is wall clock, for people."""

    format: int = FORMAT_VERSION
    cluster_id: int
    member_name: str
    index: int
    term: int
    revision: int
    compact_revision: int
    configuration: Configuration
    size: int
    sha256: str
    taken_at_s: float

    @property
    def id(self) -> str:
        """Names these very bytes: two replicas' snapshots of one index differ."""
        return f"{self.index:016x}-{self.term:016x}-{self.sha256[:16]}"

    @property
    def name(self) -> str:
        return f"{self.index:016x}-{self.term:016x}{_DATA_SUFFIX}"

    def encode(self) -> bytes:
        body = msgspec.json.encode(self)
        return body + b"\n" + hashlib.sha256(body).hexdigest().encode() + b"\n"

    @classmethod
    def decode(cls, raw: bytes, where: str = "a snapshot's manifest") -> Manifest:
        """Raises SnapshotDamaged, UnknownFormat."""
        body, _, digest = raw.partition(b"\n")
        if hashlib.sha256(body).hexdigest().encode() + b"\n" != digest:
            raise SnapshotDamaged(f"{where} is damaged: its digest does not hold")
        try:
            version = msgspec.json.decode(body, type=_Version).format
            if version != FORMAT_VERSION:
                raise UnknownFormat(
                    f"{where} has format {version}, this version reads {FORMAT_VERSION}: upgrade this replica first"
                )
            return msgspec.json.decode(body, type=cls)
        except msgspec.DecodeError as error:
            raise SnapshotDamaged(f"{where} does not decode: {error}") from error


class _Version(msgspec.Struct):
    format: int


def base_of(manifest: Manifest | None) -> Base | None:
    """What a journal may rely on a snapshot for."""
    return None if manifest is None else Base(manifest.index, manifest.term, manifest.configuration)


class SnapshotStore:
    """The snapshots in one folder. `damaged` names those that were found bad since it was opened."""

    def __init__(self, disk: Disk, *, cluster_id: int) -> None:
        self.disk = disk
        self.cluster_id = cluster_id
        self.damaged: list[str] = []

    # --- making ---

    def take(
        self,
        copy: Callable[[Path], SnapshotMeta],
        *,
        scratch: Path,
        member_name: str,
        configuration: Configuration,
        now_wall_s: float,
    ) -> Manifest:
        """Copy the state, make the copy durable and vouch for it. Blocking.

        `copy` is StateMachine.copy; `scratch` is a folder it may use when the disk is not a real one.
        `configuration` is that of the journal, for a state that has not seen one. Raises OSError, NoSpace,
        StateDamaged; then nothing changed but for leftovers that `clean` removes.
        """
        self.clean()
        meta = self._copy(copy, scratch)
        with opened(self.disk, _TAKING) as file:
            file.sync()
            size, digest = file.size(), _digest(self._chunks(_TAKING))
        manifest = Manifest(
            cluster_id=self.cluster_id,
            member_name=member_name,
            index=meta.applied_index,
            term=meta.applied_term,
            revision=meta.revision,
            compact_revision=meta.compact_revision,
            configuration=meta.configuration or configuration,
            size=size,
            sha256=digest,
            taken_at_s=now_wall_s,
        )
        self.admit(_TAKING, manifest)
        return manifest

    def _copy(self, copy: Callable[[Path], SnapshotMeta], scratch: Path) -> SnapshotMeta:
        if isinstance(self.disk, RealDisk):
            return copy(self.disk.folder / _TAKING)
        path = scratch / _TAKING
        path.unlink(missing_ok=True)
        try:
            meta = copy(path)
            with opened(self.disk, _TAKING, create=True) as target, path.open("rb") as source:
                offset = 0
                while block := source.read(READ_BYTES):
                    target.write_at(offset, block)
                    offset += len(block)
        finally:
            path.unlink(missing_ok=True)
        return meta

    def admit(self, name: str, manifest: Manifest) -> None:
        """Make a synced data file a snapshot: its name first, then the manifest that vouches for it."""
        failpoint("snapshot_before_rename")
        self.disk.rename(name, manifest.name)
        self.disk.sync_folder()
        failpoint("snapshot_before_manifest")
        replace_file(self.disk, _manifest_name(manifest.name), manifest.encode())
        failpoint("snapshot_after_manifest")

    def clean(self) -> None:
        """Remove what an interrupted `take` or `prune` left."""
        names = set(self.disk.names())
        for name in names:
            orphan = name.endswith(_DATA_SUFFIX) and _manifest_name(name) not in names
            if name == _TAKING or (orphan and not name.startswith(_ASIDE_PREFIX)):
                self.disk.remove(name)

    def prune(self, keep: int) -> None:
        """Remove all but the newest `keep` snapshots."""
        for manifest in self.manifests()[max(1, keep) :]:
            self.disk.remove(_manifest_name(manifest.name))
            self.disk.sync_folder()
            self.disk.remove(manifest.name)

    # --- finding ---

    def manifests(self) -> list[Manifest]:
        """The manifests that read well, newest first. Their data was not looked at.

        Raises UnknownFormat, WrongCluster for a snapshot of another cluster.
        """
        found = []
        for name in self.disk.names():
            if name.endswith(_MANIFEST_SUFFIX) and not name.startswith(_ASIDE_PREFIX):
                manifest = self._read_manifest(name)
                if manifest is not None:
                    found.append(manifest)
        return sorted(found, key=lambda manifest: (manifest.index, manifest.term), reverse=True)

    def newest_good(self, *, index_min: int = 0) -> Manifest | None:
        """The newest snapshot at or beyond `index_min` whose bytes hold. Bad ones are set aside."""
        for manifest in self.manifests():
            if manifest.index < index_min:
                break
            try:
                self.verify(manifest)
            except SnapshotDamaged:
                self.set_aside(manifest)
            else:
                return manifest
        return None

    def _read_manifest(self, name: str) -> Manifest | None:
        with opened(self.disk, name) as file:
            raw = file.read_at(0, MANIFEST_BYTES_MAX)
        try:
            manifest = Manifest.decode(raw, f"snapshot manifest {name}")
        except SnapshotDamaged:
            self._rename_aside(name)
            return None
        if manifest.cluster_id != self.cluster_id:
            raise WrongCluster(
                f"snapshot {name} is of cluster {manifest.cluster_id:016x}, not of {self.cluster_id:016x}"
            )
        return manifest

    def set_aside(self, manifest: Manifest) -> None:
        """Its bytes do not hold: keep them for a person to look at, use them never."""
        self._rename_aside(_manifest_name(manifest.name))
        if self.disk.exists(manifest.name):
            self._rename_aside(manifest.name)

    def _rename_aside(self, name: str) -> None:
        self.damaged.append(name)
        self.disk.rename(name, _ASIDE_PREFIX + name)
        self.disk.sync_folder()

    # --- reading ---

    def verify(self, manifest: Manifest) -> None:
        """Read it all. Raises SnapshotDamaged."""
        if not self.disk.exists(manifest.name):
            raise SnapshotDamaged(f"snapshot {manifest.name} is gone, its manifest is not")
        self.verify_file(manifest.name, manifest)

    def verify_file(self, name: str, manifest: Manifest) -> None:
        """Hold any file of the folder against a manifest. Raises SnapshotDamaged."""
        with opened(self.disk, name) as file:
            size = file.size()
        if size != manifest.size or _digest(self._chunks(name)) != manifest.sha256:
            raise SnapshotDamaged(f"snapshot file {name} does not have the bytes its manifest says")

    def read(self, manifest: Manifest, offset: int, length: int) -> bytes:
        """Some of its bytes, unchecked. Raises OSError."""
        with opened(self.disk, manifest.name) as file:
            return file.read_at(offset, length)

    def extract(self, manifest: Manifest, path: Path) -> None:
        """Write its bytes to a new file, synced, and check them on the way. Raises SnapshotDamaged, OSError."""
        digest = hashlib.sha256()
        with open(path, "wb", opener=_private) as target:
            for block in self._chunks(manifest.name):
                digest.update(block)
                target.write(block)
            target.flush()
            os.fsync(target.fileno())
        if digest.hexdigest() != manifest.sha256:
            path.unlink()
            raise SnapshotDamaged(f"snapshot {manifest.name} does not have the bytes its manifest says")

    def chunks(self, manifest: Manifest) -> Iterator[bytes]:
        """Its bytes in order, unchecked."""
        return self._chunks(manifest.name)

    def _chunks(self, name: str) -> Iterator[bytes]:
        with opened(self.disk, name) as file:
            offset = 0
            while block := file.read_at(offset, READ_BYTES):
                yield block
                offset += len(block)


def _manifest_name(name: str) -> str:
    return name.removesuffix(_DATA_SUFFIX) + _MANIFEST_SUFFIX


def _digest(chunks: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for block in chunks:
        digest.update(block)
    return digest.hexdigest()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
