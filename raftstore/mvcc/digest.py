"""Two digests by which replicas find out that they differ.

The chain covers every change: each entry's digest is that of the one before, the entry's index and the
bytes of its changes. Replicas compare it at equal index, from a ring of recent ones.

The scan covers the state: every version that is visible at the compacted revision and every change after
it, up to a revision. That is etcd's HashKV, and like it independent of how far physical compaction got.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from hashlib import blake2b
from typing import NamedTuple

from ..errors import Compacted
from ..model import HashResult
from .read import View, check_revision
from .schema import REVISION_BYTES, Cursor, decode_key_value, pack_number, pack_revision, unpack_index

DIGEST_BYTES = 16
RING_ENTRIES_MAX = 1024
SCAN_STEP_EVENTS = 512
SCAN_STEP_BYTES = 2 * 1024 * 1024


def chain(previous: bytes, index: int, records: Iterable[bytes]) -> bytes:
    """The digest after the entry at `index`. Records are msgpack, so putting them together loses nothing."""
    return blake2b(b"".join((previous, pack_number(index), *records)), digest_size=DIGEST_BYTES).digest()


class DigestRing:
    """(index, digest) of the last entries, oldest first."""

    def __init__(self) -> None:
        self._digests: OrderedDict[int, bytes] = OrderedDict()

    def add(self, index: int, digest: bytes) -> None:
        self._digests[index] = digest
        if len(self._digests) > RING_ENTRIES_MAX:
            self._digests.popitem(last=False)

    def at(self, index: int) -> bytes | None:
        return self._digests.get(index)

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        return iter(self._digests.items())

    def __len__(self) -> int:
        return len(self._digests)


class _Visibility(NamedTuple):
    """Decides whether a version at or below the compacted revision is the one visible there."""

    view: View
    history: Cursor
    bound: bytes  # (compact revision + 1, 0)

    def of(self, stamp: bytes, record: bytes) -> bool:
        kv = decode_key_value(record)
        if not kv.version:
            return False
        index = self.view.txn.get(kv.key, db=self.view.tables.keys)
        if index is not None and index[:REVISION_BYTES] == stamp:
            return True
        following = self._following(kv.key, stamp)
        if following is None:  # outdated by the newest version, which is not in history
            return index is not None and unpack_index(index)[0] > self.view.compact_revision
        return following >= self.bound

    def _following(self, key: bytes, stamp: bytes) -> bytes | None:
        if not self.history.set_range_dup(key, stamp + b"\xff"):
            return None
        return self.history.value()


class StateScan:
    """A scan digest under way: call `step` until it returns False, then read `result`.

    Each step opens a transaction of its own, so a long scan stops no page from being reused.
    """

    def __init__(self, reading: Callable[[], AbstractContextManager[View]], revision: int) -> None:
        """`revision` 0 is the newest. Raises FutureRevision, Compacted."""
        with reading() as view:
            self.revision = check_revision(revision, revision=view.revision, compact_revision=view.compact_revision)
            self.compact_revision = view.compact_revision
        self._reading = reading
        self._next = pack_revision(0, 0)
        self._end = pack_revision(self.revision + 1, 0)
        self._hash = blake2b(digest_size=DIGEST_BYTES)
        self._done = False

    def step(self, *, events_max: int = SCAN_STEP_EVENTS, bytes_max: int = SCAN_STEP_BYTES) -> bool:
        """Look at some more events; True while more remain.

        Raises Compacted when the compacted revision moved on since the scan began: begin a new one.
        """
        if not self._done:
            with self._reading() as view:
                if view.compact_revision != self.compact_revision:
                    raise Compacted(f"revision {view.compact_revision} was compacted while the state was scanned")
                self._done = not self._scan(view, events_max, bytes_max)
        return not self._done

    def _scan(self, view: View, events_max: int, bytes_max: int) -> bool:
        folded = pack_revision(self.compact_revision + 1, 0)
        visibility = _Visibility(view, view.txn.cursor(db=view.tables.history), folded)
        cursor = view.txn.cursor(db=view.tables.events)
        if not cursor.set_range(self._next):
            return False
        for stamp, record in cursor.iternext():
            if stamp >= self._end:
                return False
            if events_max <= 0 or bytes_max <= 0:
                self._next = stamp
                return True
            if stamp >= folded or visibility.of(stamp, record):
                self._hash.update(record)
            events_max -= 1
            bytes_max -= len(record)
        return False

    @property
    def digest(self) -> bytes:
        """Meaningful once `step` returned False."""
        if not self._done:
            raise ValueError("the scan is not finished: step until it returns False")
        return self._hash.digest()

    @property
    def result(self) -> HashResult:
        return HashResult(self.revision, self.compact_revision, self.digest)
