"""The state machine of one replica: committed entries in, results and events out, reads at any time.

It owns one LMDB file in which data, revision, applied index, digest, sessions, leases, alarms and members
change in one transaction, so a process killed at any moment finds them agreeing. The file is a cache of
snapshot and journal: it is opened without syncing, and who opens it decides whether it may be trusted
(docs/architecture.md, section 4).

Everything but `copy` and `sync` is called from one thread. No transaction outlives the call it serves.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lmdb
import msgspec

from ..command import Command
from ..errors import Compacted, NoSpace, StateDamaged, StoreError
from ..limits import MAP_TO_QUOTA, MIB, QUOTA_BYTES_DEFAULT
from ..model import Event, KeyValue, Range, RangeResult
from ..raft.configuration import encode_configuration
from ..raft.engine import Configuration, Entry
from . import compaction, mapping, quota
from .batch import Batch
from .digest import DigestRing, StateScan
from .history import events_from
from .lease import Lease, all_leases, find_lease, keys_of
from .meta import SnapshotMeta, load_alarms, load_configuration, read_snapshot_meta
from .outcome import Applied
from .read import View, read_page, read_range, value_at
from .schema import (
    META_ALARMS,
    META_CONFIGURATION,
    META_STATE,
    REVISION_BYTES,
    STATE_FILE,
    State,
    Tables,
    decode_key_value,
    load_state,
    open_environment,
    open_tables,
)
from .sessions import SessionTable
from .validate import check, check_range

#: Below this much room a failed write is taken for a full disk: LMDB reports a short write as EIO.
_ROOM_BYTES_MIN = 4 * MIB


class StateMachine:
    """See the module. Made by `open`."""

    def __init__(self, folder: Path, environment: lmdb.Environment, tables: Tables, quota_bytes: int) -> None:
        self.folder = folder
        self.quota_bytes = quota_bytes
        self.digests = DigestRing()
        self._environment = environment
        self._tables = tables
        self._begin = environment.begin
        self._marked_at, self._marked = 0, b""  # how far compaction came at the compacted revision itself
        self._keys, self._events = tables.keys, tables.events
        with environment.begin() as txn:
            self._state = load_state(txn, tables)
            self._sessions = SessionTable.load(txn, tables)
            self.configuration = load_configuration(txn, tables)
            self.alarms = load_alarms(txn, tables)
        self.digests.add(self._state.applied_index, self._state.digest)

    @classmethod
    def open(cls, folder: Path, *, quota_bytes: int = QUOTA_BYTES_DEFAULT, sync: bool = False) -> StateMachine:
        """Open the state in `folder`, or make an empty one.

        Raises UnknownFormat for a file of another version, StateDamaged for one that cannot be read, NoSpace.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / STATE_FILE
        environment = open_environment(path, map_bytes=MAP_TO_QUOTA * quota_bytes, sync=sync)
        try:
            environment.reader_check()  # slots of processes that were killed would keep pages from reuse
            tables = open_tables(environment, path, create=True)
            return cls(folder, environment, tables, quota_bytes)
        except BaseException:
            environment.close()
            raise

    def close(self) -> None:
        """Idempotent. Nothing may be called after it."""
        self._environment.close()

    # --- what it holds ---

    @property
    def applied_index(self) -> int:
        return self._state.applied_index

    @property
    def applied_term(self) -> int:
        return self._state.applied_term

    @property
    def revision(self) -> int:
        return self._state.revision

    @property
    def compact_revision(self) -> int:
        return self._state.compact_revision

    @property
    def digest(self) -> bytes:
        """The chain digest after `applied_index`."""
        return self._state.digest

    @property
    def session_count(self) -> int:
        return len(self._sessions)

    @property
    def used_bytes(self) -> int:
        """Bytes in use: what the quota is compared with. Pages freed by compaction do not count."""
        with self._environment.begin() as txn:
            return quota.used_bytes(txn, self._tables)

    @property
    def size_bytes(self) -> int:
        """The size of the file; it does not shrink."""
        return (self.folder / STATE_FILE).stat().st_size

    # --- writing ---

    def check(self, command: Command) -> None:
        """Raises RequestError for a command that cannot succeed whatever the state."""
        check(command)

    def apply(self, entries: Sequence[Entry]) -> Applied:
        """Apply committed entries in one transaction. What a request does wrong is its result.

        Raises UnknownFormat or StateDamaged for an entry that this version cannot read, NoSpace when disk or
        map are full, StateDamaged for any other I/O error. Then nothing at all has changed.
        """
        if not entries:
            return Applied([], [], None)
        try:
            with self._environment.begin(write=True) as txn:
                batch = Batch(txn, self._tables, self._state, self._sessions, self.alarms)
                for entry in entries:
                    batch.entry(entry)
                batch.finish()
        except lmdb.Error as error:
            self._sessions.abort()
            raise self._failure(error) from error
        except BaseException:
            self._sessions.abort()
            raise
        return self._committed(batch)

    def _committed(self, batch: Batch) -> Applied:
        self._state = batch.state
        self.alarms = batch.alarms
        self._sessions.commit()
        for index, digest in batch.digests:
            self.digests.add(index, digest)
        if batch.configuration is not None:
            self.configuration = batch.configuration
        return Applied(batch.outcomes, batch.events, batch.configuration)

    def compact_step(self, budget: int = compaction.STEP_VERSIONS) -> bool:
        """Physically remove up to `budget` versions hidden by compaction; True while more remain.

        Raises NoSpace, StateDamaged.
        """
        revision = self.compact_revision
        marked = self._marked if self._marked_at == revision else b""
        with self._reading() as view:
            if not compaction.has_work(view.txn, self._tables, revision, marked):
                return False
        try:
            with self._environment.begin(write=True) as txn:
                marked, more = compaction.remove_garbage(txn, self._tables, revision, budget, marked)
        except lmdb.Error as error:
            raise self._failure(error) from error
        self._marked_at, self._marked = revision, marked
        return more

    def reset(self, *, configuration: Configuration, index: int, term: int, raise_revision_by: int = 0) -> None:
        """Make this state the start of a new log: restore and recovery.

        Everything below the raised revision counts as compacted, so watchers of before list anew instead of
        missing events. Sessions and alarms of the old cluster are forgotten; leases stay.
        """
        revision = self.revision + raise_revision_by
        compact_revision = revision if raise_revision_by else self.compact_revision
        state = State(index, term, revision, compact_revision, self.digest)
        try:
            with self._environment.begin(write=True) as txn:
                txn.drop(self._tables.sessions, delete=False)
                txn.delete(META_ALARMS, db=self._tables.meta)
                txn.put(META_CONFIGURATION, encode_configuration(configuration), db=self._tables.meta)
                txn.put(META_STATE, state.encode(), db=self._tables.meta)
        except lmdb.Error as error:
            raise self._failure(error) from error
        self._state = state
        self._sessions = SessionTable({})
        self.alarms = frozenset()
        self.configuration = configuration
        self.digests = DigestRing()
        self.digests.add(index, state.digest)

    def _failure(self, error: lmdb.Error) -> StoreError:
        code = getattr(error, "code", 0)
        full = isinstance(error, lmdb.MapFullError) or code in (errno.ENOSPC, errno.EDQUOT)
        if full or (code == errno.EIO and self._disk_room_bytes() < _ROOM_BYTES_MIN):
            return NoSpace(f"the state in {self.folder} has no room: {error}")
        return StateDamaged(f"the state in {self.folder} cannot be written: {error}: rebuild it")

    def _disk_room_bytes(self) -> int:
        room = os.statvfs(self.folder)
        return room.f_bavail * room.f_frsize

    # --- reading ---

    @contextmanager
    def _reading(self, *, buffers: bool = False) -> Iterator[View]:
        """`buffers`: what the transaction gives out are views of the file's pages, good within it alone."""
        state = self._state
        try:
            begin: Any = self._environment.begin
            with begin(buffers=buffers) as txn:
                yield View(txn, self._tables, state.revision, state.compact_revision)
        except (lmdb.Error, msgspec.DecodeError) as error:
            raise StateDamaged(f"the state in {self.folder} cannot be read: {error}: rebuild it") from error

    def get(self, key: bytes) -> KeyValue | None:
        """The newest version of a key."""
        with self._begin() as txn:
            try:
                index = txn.get(key, db=self._keys)
            except lmdb.BadValsizeError:  # an empty key, or one longer than any that is stored
                return None
            if index is None:
                return None
            record = txn.get(index[:REVISION_BYTES], db=self._events)
        if record is None:
            raise StateDamaged(f"the value of {key!r} is gone from the state in {self.folder}: rebuild it")
        return decode_key_value(record)

    def range(self, request: Range) -> RangeResult:
        """Raises Compacted, FutureRevision, InvalidRequest."""
        check_range(request)
        with self._reading() as view:
            return read_range(view, request)

    def page(self, key: bytes, range_end: bytes, limit: int, revision: int) -> RangeResult:
        """See read_page. Raises Compacted, FutureRevision."""
        newest = revision <= 0 or revision == self.revision
        with self._reading(buffers=newest) as view:
            return read_page(view, key, range_end, limit, revision)

    def value_at(self, key: bytes, mod_revision: int) -> KeyValue | None:
        """The version of `key` that `mod_revision` wrote; None when it is compacted away or never was."""
        with self._reading() as view:
            return value_at(view, key, mod_revision)

    def events(
        self, start_revision: int, key: bytes, range_end: bytes, *, revisions_max: int, bytes_max: int
    ) -> tuple[list[Event], int]:
        """Events of a range from `start_revision` on, whole revisions, and the revision to ask for next.

        Looks at no more than `revisions_max` revisions or about `bytes_max` bytes, but at one revision at
        least. Raises Compacted when changes at `start_revision` may be gone.
        """
        if start_revision < self.compact_revision:
            raise Compacted(f"revision {start_revision} is compacted, the oldest is {self.compact_revision}")
        with self._reading() as view:
            return events_from(view, start_revision, key, range_end, revisions_max=revisions_max, bytes_max=bytes_max)

    def lease(self, lease_id: int) -> Lease | None:
        with self._reading() as view:
            return find_lease(view.txn, self._tables, lease_id)

    def leases(self) -> list[Lease]:
        with self._reading() as view:
            return all_leases(view.txn, self._tables)

    def lease_keys(self, lease_id: int) -> list[bytes]:
        with self._reading() as view:
            return keys_of(view.txn, self._tables, lease_id)

    def hash_kv(self, revision: int = 0) -> StateScan:
        """Begin a scan digest at a revision (0: the newest). Raises Compacted, FutureRevision."""
        return StateScan(self._reading, revision)

    def release_pages(self) -> int:
        """Give the resident pages of the file back to the kernel; the bytes of address space covered."""
        return mapping.release(self.folder / STATE_FILE)

    # --- copies ---

    def copy(self, path: Path) -> SnapshotMeta:
        """Write a compact copy to `path`, which must not exist. Call it off the loop; neither synced nor renamed.

        Raises FileExistsError, NoSpace, StateDamaged; what was written so far is removed.
        """
        if path.exists():
            raise FileExistsError(errno.EEXIST, "a copy of the state replaces no file", str(path))
        try:
            self._environment.copy(str(path), compact=True)
            return read_snapshot_meta(path)
        except lmdb.Error as error:
            path.unlink(missing_ok=True)
            raise self._failure(error) from error

    def sync(self) -> None:
        """Make everything so far durable. Blocks on the disk; raises NoSpace, StateDamaged."""
        try:
            self._environment.sync(True)
        except lmdb.Error as error:
            raise self._failure(error) from error
