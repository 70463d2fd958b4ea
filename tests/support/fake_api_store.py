"""An in-memory twin of the store below the API: as much of raftstore's `Store` as `apiserver.storage` uses.

Everything is done at once and nothing waits, so that a request is one step of the event loop. Every revision since the
last compaction can be read.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, cast

from apiserver.storage import Operation, Storage
from raftstore import Compare, KeyValue, Put, Range, RangeResult, Store, TxnResult
from raftstore.errors import Compacted, FutureRevision
from raftstore.model import CompareOp, CompareTarget


class Changed(NamedTuple):
    """One key, before and after a revision; None: it was not there."""

    revision: int
    key: bytes
    before: KeyValue | None
    after: KeyValue | None


class MemoryStore:
    """`told` hears of every transaction that changed something, once it is done."""

    def __init__(self, told: Callable[[Sequence[Changed]], None]) -> None:
        self.revision = 1
        self.compact_revision = 0
        self._told = told
        self._now: dict[bytes, KeyValue] = {}
        self._keys: list[bytes] = []
        self._log: list[Changed] = []

    # --- reading --------------------------------------------------------------------------------------

    async def linearize(self, *, timeout_s: float | None = None) -> None:
        return

    def peek(self, key: bytes) -> KeyValue | None:
        return self._now.get(key)

    def page(self, key: bytes, range_end: bytes, *, limit: int, revision: int = 0) -> RangeResult:
        """Raises Compacted, FutureRevision."""
        if revision and revision < self.compact_revision:
            raise Compacted(f"revision {revision} is compacted")
        if revision > self.revision:
            raise FutureRevision(f"revision {revision} has not happened yet")
        found = self._as_of(revision, key, range_end) if revision else self._between(key, range_end)
        return RangeResult(self.revision, found[:limit], len(found), len(found) > limit)

    async def range(self, wanted: Range, *, level: str) -> RangeResult:
        found = self._between(wanted.key, wanted.range_end)
        return RangeResult(self.revision, [] if wanted.count_only else found, len(found))

    def _between(self, start: bytes, end: bytes) -> list[KeyValue]:
        return [self._now[key] for key in self._keys[bisect_left(self._keys, start) : bisect_left(self._keys, end)]]

    def _as_of(self, revision: int, start: bytes, end: bytes) -> list[KeyValue]:
        """What is there now, with everything undone that came after."""
        found: dict[bytes, KeyValue | None] = {each.key: each for each in self._between(start, end)}
        for changed in reversed(self._log):
            if changed.revision <= revision:
                break
            if start <= changed.key < end:
                found[changed.key] = changed.before
        return [each for _, each in sorted(found.items()) if each is not None]

    # --- writing --------------------------------------------------------------------------------------

    async def txn(
        self, compare: Iterable[Compare], success: Sequence[Operation], *, timeout_s: float | None = None
    ) -> TxnResult:
        if not all(self._holds(each) for each in compare):
            return TxnResult(self.revision, False, [])
        changes = self._applied(success)
        if changes:
            self.revision += 1
            self._log += changes
            self._told(changes)
        return TxnResult(self.revision, True, [])

    def _holds(self, compare: Compare) -> bool:
        """The comparisons that the API makes: of a mod revision or a value, equal."""
        assert compare.op is CompareOp.EQUAL, compare
        found = self._now.get(compare.key)
        if compare.target is CompareTarget.VALUE:
            return found is not None and found.value == compare.operand
        assert compare.target is CompareTarget.MOD, compare
        return (found.mod_revision if found else 0) == compare.operand

    def _applied(self, success: Sequence[Operation]) -> list[Changed]:
        revision, changes = self.revision + 1, []
        for operation in success:
            key = operation.key
            before = self._now.get(key)
            if isinstance(operation, Put):
                created, version = (before.create_revision, before.version + 1) if before else (revision, 1)
                after: KeyValue | None = KeyValue(key, operation.value, created, revision, version)
                self._now[key] = cast(KeyValue, after)
                if before is None:
                    insort(self._keys, key)
            elif before is None:
                continue
            else:
                after = None
                del self._now[key]
                del self._keys[bisect_left(self._keys, key)]
            changes.append(Changed(revision, key, before, after))
        return changes

    def compact(self) -> None:
        """Forget everything but what is there now."""
        self.compact_revision = self.revision
        self._log = []


class _Plain:
    """Nothing is encrypted in memory."""

    def seal(self, key: bytes, plain: bytes) -> bytes:
        return plain

    def open(self, key: bytes, stored: bytes) -> bytes:
        return stored


def storage_of(store: MemoryStore) -> Storage:
    return Storage(cast(Store, store), _Plain())
