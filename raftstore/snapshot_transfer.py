"""Sending a snapshot to a replica that needs one, in chunks, over connections that may break.

    sender                                         receiver
    offer {manifest}                    ->
                                        <-         wanted {id, offset}      where to begin: what it holds already
    chunk {id, offset, data}            ->
                                        <-         wanted {id, offset}      so much is written
                                        <-         installed {id, index}    verified, durable, in use
                                        <-         refused {id, reason}     or never

The sender keeps at most `WINDOW_CHUNKS` beyond what the receiver says it has written. The first chunk behind
a gap is answered with the offset that is wanted, and the sender goes back to it; duplicates and chunks of
unknown transfers are not answered at all, or a repeated message would breed others. A broken transfer of the
same bytes goes on where it stopped, also after a restart of the receiver; another
snapshot replaces it. Nothing is put in place before its whole SHA-256 holds.

Both ends are free of I/O but for the snapshot store's files: `SnapshotReceiver.handle` and the reading of
`SnapshotSender.due` chunks block and belong on the snapshot lane; everything else is for the loop.
"""

from __future__ import annotations

from typing import NamedTuple

from .disk import DiskFile
from .errors import IntegrityError, MembershipError, SnapshotDamaged, WrongCluster
from .identity import replace_file
from .limits import KIB, MAP_TO_QUOTA, QUOTA_BYTES_DEFAULT
from .raft.engine import Message
from .snapshot import MANIFEST_BYTES_MAX, Manifest, SnapshotStore

OFFER = "store.snapshot.offer"
CHUNK = "store.snapshot.chunk"
WANTED = "store.snapshot.wanted"
INSTALLED = "store.snapshot.installed"
REFUSED = "store.snapshot.refused"
TYPES = frozenset({OFFER, CHUNK, WANTED, INSTALLED, REFUSED})

CHUNK_BYTES = 256 * KIB
WINDOW_CHUNKS = 8
SNAPSHOT_BYTES_MAX = MAP_TO_QUOTA * QUOTA_BYTES_DEFAULT

_INCOMING = "incoming"
_INCOMING_MANIFEST = "incoming.offer"


class SnapshotSender:
    """One snapshot on its way to one peer.

    Send `offer()`; give every message of the peer to `received`; as long as `due()` names a chunk, read it
    and send `chunk(...)`. After a reconnection, or when nothing was heard for long, send `offer()` again.
    """

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.installed = False
        self.refusal: str | None = None
        self._written: int | None = None  # what the receiver holds; None until it said so
        self._next = 0

    @property
    def finished(self) -> bool:
        return self.installed or self.refusal is not None

    @property
    def progress_bytes(self) -> int:
        return self._written or 0

    def offer(self) -> Message:
        """Also begins again after the connection was lost."""
        self._written = None
        return {"type": OFFER, "id": self.manifest.id, "manifest": self.manifest.encode()}

    def received(self, message: Message) -> None:
        """Messages about other snapshots are ignored: they are late."""
        if message.get("id") != self.manifest.id:
            return
        kind = message["type"]
        if kind == INSTALLED:
            self.installed = True
        elif kind == REFUSED:
            self.refusal = str(message.get("reason", ""))
        elif kind == WANTED:
            self._wanted(message.get("offset"))

    def _wanted(self, offset: object) -> None:
        if type(offset) is not int or not 0 <= offset <= self.manifest.size:
            return
        if self._written is None or offset == self._written:
            self._next = offset  # the beginning, or a chunk that never arrived
        if self._written is None or offset > self._written:
            self._written = offset
            self._next = max(self._next, offset)

    def due(self) -> tuple[int, int] | None:
        """(offset, length) of the chunk to send now; None while the window is full or all is sent."""
        if self.finished or self._written is None or self._next >= self.manifest.size:
            return None
        if self._next - self._written >= WINDOW_CHUNKS * CHUNK_BYTES:
            return None
        return self._next, min(CHUNK_BYTES, self.manifest.size - self._next)

    def chunk(self, offset: int, data: bytes) -> Message:
        """The message for a chunk that was due. Call `unsent` if the wire does not take it."""
        self._next = offset + len(data)
        return {"type": CHUNK, "id": self.manifest.id, "offset": offset, "data": data}

    def unsent(self, offset: int) -> None:
        self._next = min(self._next, offset)


class Reply(NamedTuple):
    """What to answer, if anything, and the snapshot when it is whole: install it, then send `installed(...)`."""

    message: Message | None
    snapshot: Manifest | None = None


class SnapshotReceiver:
    """The receiving end: at most one snapshot at a time, the newest offered.

    `handle` takes offers and chunks in the order they came and blocks on the disk. Close it when done.
    """

    def __init__(self, store: SnapshotStore) -> None:
        self._store = store
        self._manifest: Manifest | None = None
        self._file: DiskFile | None = None
        self._written = 0
        self._gap_told = False

    def handle(self, message: Message, *, have_index: int) -> Reply:
        """`have_index` is what this replica has applied: an older snapshot is of no use. Raises OSError."""
        if message["type"] == OFFER:
            return self._offered(message, have_index)
        return self._chunk(message)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    # --- offers ---

    def _offered(self, message: Message, have_index: int) -> Reply:
        raw = message.get("manifest")
        try:
            if type(raw) is not bytes or len(raw) > MANIFEST_BYTES_MAX:
                raise SnapshotDamaged("the offer has no manifest")
            manifest = Manifest.decode(raw, "the manifest offered")
            self._check(manifest)
        except (IntegrityError, MembershipError) as error:
            return Reply(_refused(str(message.get("id", "")), error.message))
        if manifest.index <= have_index:
            return Reply(installed(manifest))
        if self._stored(manifest):
            return Reply({"type": WANTED, "id": manifest.id, "offset": manifest.size}, manifest)
        self._begin(manifest, raw)
        return self._progress()

    def _stored(self, manifest: Manifest) -> bool:
        """It arrived whole before this replica stopped."""
        if manifest not in self._store.manifests():
            return False
        try:
            self._store.verify(manifest)
        except SnapshotDamaged:
            self._store.set_aside(manifest)
            return False
        return True

    def _check(self, manifest: Manifest) -> None:
        if manifest.cluster_id != self._store.cluster_id:
            raise WrongCluster(f"the snapshot is of cluster {manifest.cluster_id:016x}")
        if not 0 < manifest.size <= SNAPSHOT_BYTES_MAX:
            raise SnapshotDamaged(f"a snapshot of {manifest.size} bytes is beyond {SNAPSHOT_BYTES_MAX}")

    def _begin(self, manifest: Manifest, raw: bytes) -> None:
        """Go on with the same bytes, else begin anew."""
        if self._file is not None and self._manifest == manifest:
            return
        self.close()
        disk = self._store.disk
        if not (disk.exists(_INCOMING) and self._noted() == raw):
            if disk.exists(_INCOMING):
                disk.remove(_INCOMING)
                disk.sync_folder()  # else a power loss could put old bytes behind the new note
            replace_file(disk, _INCOMING_MANIFEST, raw)
        self._manifest = manifest
        self._file = disk.open(_INCOMING, create=True)
        self._written = min(self._file.size(), manifest.size)

    def _noted(self) -> bytes:
        disk = self._store.disk
        if not disk.exists(_INCOMING_MANIFEST):
            return b""
        file = disk.open(_INCOMING_MANIFEST)
        try:
            return file.read_at(0, MANIFEST_BYTES_MAX)
        finally:
            file.close()

    # --- chunks ---

    def _chunk(self, message: Message) -> Reply:
        manifest, file = self._manifest, self._file
        if manifest is None or file is None or message.get("id") != manifest.id:
            return Reply(None)
        offset, data = message.get("offset"), message.get("data")
        if type(offset) is not int or type(data) is not bytes or not 0 < len(data) <= CHUNK_BYTES:
            return Reply(None)
        if offset == self._written and len(data) <= manifest.size - offset:
            file.write_at(offset, data)
            self._written += len(data)
            self._gap_told = False
            return self._progress()
        if offset < self._written or self._gap_told:
            return Reply(None)
        self._gap_told = True
        return self._progress()

    def _progress(self) -> Reply:
        manifest = self._manifest
        assert manifest is not None
        if self._written < manifest.size:
            return Reply({"type": WANTED, "id": manifest.id, "offset": self._written})
        return self._complete(manifest)

    def _complete(self, manifest: Manifest) -> Reply:
        assert self._file is not None
        self._file.sync()
        self.close()
        self._manifest = None
        disk = self._store.disk
        try:
            self._store.verify_file(_INCOMING, manifest)
        except SnapshotDamaged as error:
            disk.remove(_INCOMING)
            disk.remove(_INCOMING_MANIFEST)
            disk.sync_folder()
            return Reply(_refused(manifest.id, error.message))
        self._store.admit(_INCOMING, manifest)
        disk.remove(_INCOMING_MANIFEST)
        message: Message = {"type": WANTED, "id": manifest.id, "offset": manifest.size}
        return Reply(message, manifest)


def installed(manifest: Manifest) -> Message:
    """To the sender: this replica goes on from `index`. Only once the state in use is the snapshot's or newer."""
    return {"type": INSTALLED, "id": manifest.id, "index": manifest.index}


def _refused(transfer: str, reason: str) -> Message:
    return {"type": REFUSED, "id": transfer, "reason": reason}
