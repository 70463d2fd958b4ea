"""An in-memory twin of the store behind the etcd face: enough of it to test what the face does with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from raftstore.errors import (
    Compacted,
    FutureRevision,
    LeaseNotFound,
    MemberNotFound,
    SlowWatcher,
    WatchCanceled,
    WatchCompacted,
)
from raftstore.etcd.backend import BackendStatus
from raftstore.model import (
    Alarm,
    CompactResult,
    Delete,
    DeleteResult,
    Event,
    EventType,
    HashResult,
    KeyValue,
    LeaseResult,
    LeaseStatus,
    Put,
    PutResult,
    Range,
    RangeResult,
    Txn,
    TxnResult,
)
from raftstore.raft.engine import Member


def covers(key: bytes, range_end: bytes, candidate: bytes) -> bool:
    if not range_end:
        return candidate == key
    return candidate >= key and (range_end == b"\0" or candidate < range_end)


class MemoryWatcher:
    """`limit_events` is the buffer: beyond it the watch is cut off as too slow."""

    def __init__(
        self,
        backend: MemoryBackend,
        wanted: Callable[[Event], bool],
        start_revision: int,
        on_ready: Callable[[], None],
    ) -> None:
        self._backend = backend
        self._wanted = wanted
        self._on_ready = on_ready
        self._buffer: list[Event] = []
        self._slow_from = 0
        self.cancelled = False
        self.behind = False
        for event in backend.history:
            if event.kv.mod_revision >= start_revision:
                self.offer(event)

    @property
    def progress_revision(self) -> int:
        return 0 if self._buffer or self._slow_from or self.behind else self._backend.revision

    def offer(self, event: Event) -> None:
        if self.cancelled or self._slow_from or not self._wanted(event):
            return
        if len(self._buffer) >= self._backend.watch_buffer_events:
            self._slow_from = event.kv.mod_revision
        else:
            self._buffer.append(event)
        self._on_ready()

    def take(self) -> Sequence[Event]:
        events, self._buffer = self._buffer, []
        if not events and self._backend.ended is not None:
            raise self._backend.ended
        if not events and self._slow_from:
            raise SlowWatcher("the buffer was full", resume_revision=self._slow_from)
        return events

    def cancel(self) -> None:
        self.cancelled = True
        self._backend.on_watch_cancelled()


class MemoryBackend:
    cluster_id = 77
    member_id = 5
    term = 3

    def __init__(self) -> None:
        self.leader = 5
        self.revision = 1
        self.compact_revision = 0
        self.data: dict[bytes, KeyValue] = {}
        self.history: list[Event] = []
        self.watchers: list[MemoryWatcher] = []
        self.watch_buffer_events = 1_000
        self.on_watch_cancelled: Callable[[], None] = lambda: None
        self.lease_table: dict[int, int] = {}
        self.alarm_set_calls: list[tuple[Alarm, bool]] = []
        self.raised: list[Alarm] = []
        self.member_list = [
            Member(5, "a", "127.0.0.1:2380", client_address="127.0.0.1:2379"),
            Member(6, "b", "127.0.0.1:2390", learner=True),
        ]
        self.snapshot_chunks = [b"x" * 700, b"y" * 100]
        self.transferred_to = 0
        self.linearized = 0
        self.problems: list[str] = []
        self.error: Exception | None = None
        self.ended: WatchCanceled | None = None

    def _check(self) -> None:
        if self.error is not None:
            raise self.error

    # --- keys ---

    def _publish(self, event: Event) -> None:
        self.history.append(event)
        for watcher in list(self.watchers):
            watcher.offer(event)

    def put_now(self, key: bytes, value: bytes, lease: int = 0) -> PutResult:
        old = self.data.get(key)
        self.revision += 1
        kv = KeyValue(
            key,
            value,
            old.create_revision if old else self.revision,
            self.revision,
            old.version + 1 if old else 1,
            lease,
        )
        self.data[key] = kv
        self._publish(Event(EventType.PUT, kv, old.mod_revision if old else 0, old))
        return PutResult(self.revision, old)

    def delete_now(self, key: bytes, range_end: bytes = b"") -> DeleteResult:
        gone = [self.data.pop(k) for k in sorted(self.data) if covers(key, range_end, k)]
        if gone:
            self.revision += 1
        for kv in gone:
            tomb = KeyValue(kv.key, b"", 0, self.revision, 0)
            self._publish(Event(EventType.DELETE, tomb, kv.mod_revision, kv))
        return DeleteResult(self.revision, len(gone), gone)

    async def range(self, request: Range, *, serializable: bool) -> RangeResult:
        self._check()
        if request.revision > self.revision:
            raise FutureRevision(f"revision {request.revision}")
        if 0 < request.revision < self.compact_revision:
            raise Compacted(f"revision {request.revision}")
        found = [self.data[k] for k in sorted(self.data) if covers(request.key, request.range_end, k)]
        return RangeResult(self.revision, found, len(found))

    async def put(self, request: Put) -> PutResult:
        self._check()
        result = self.put_now(request.key, request.value, request.lease)
        return result if request.prev_kv else PutResult(result.revision)

    async def delete(self, request: Delete) -> DeleteResult:
        self._check()
        result = self.delete_now(request.key, request.range_end)
        return result if request.prev_kv else DeleteResult(result.revision, result.deleted)

    async def txn(self, request: Txn) -> TxnResult:
        self._check()
        return TxnResult(self.revision, True, [])

    async def compact(self, revision: int, *, physical: bool) -> CompactResult:
        self._check()
        if revision <= self.compact_revision:
            raise Compacted(f"revision {revision}")
        self.compact_revision = revision
        return CompactResult(self.revision, revision)

    def watch(
        self,
        key: bytes,
        range_end: bytes,
        *,
        start_revision: int,
        prev_kv: bool,
        puts: bool,
        deletes: bool,
        on_ready: Callable[[], None],
    ) -> MemoryWatcher:
        if 0 < start_revision < self.compact_revision:
            floor = self.compact_revision
            raise WatchCompacted(f"revision {start_revision}", resume_revision=floor, compact_revision=floor)

        def wanted(event: Event) -> bool:
            kind = puts if event.type is EventType.PUT else deletes
            return kind and covers(key, range_end, event.kv.key)

        watcher = MemoryWatcher(self, wanted, start_revision or self.revision + 1, on_ready)
        self.watchers.append(watcher)
        return watcher

    # --- leases ---

    def _lease_keys(self, lease_id: int) -> list[bytes]:
        return [key for key, kv in sorted(self.data.items()) if kv.lease == lease_id]

    async def lease_grant(self, lease_id: int, ttl_s: int) -> LeaseResult:
        self._check()
        lease_id = lease_id or 1234
        self.lease_table[lease_id] = ttl_s
        return LeaseResult(self.revision, lease_id, ttl_s)

    async def lease_revoke(self, lease_id: int) -> LeaseResult:
        if lease_id not in self.lease_table:
            raise LeaseNotFound(f"lease {lease_id}")
        del self.lease_table[lease_id]
        for key in self._lease_keys(lease_id):
            self.delete_now(key)
        return LeaseResult(self.revision, lease_id, 0)

    async def lease_keep_alive(self, lease_id: int) -> LeaseResult:
        self._check()
        if lease_id not in self.lease_table:
            raise LeaseNotFound(f"lease {lease_id}")
        return LeaseResult(self.revision, lease_id, self.lease_table[lease_id])

    async def lease_time_to_live(self, lease_id: int, *, keys: bool) -> LeaseStatus:
        if lease_id not in self.lease_table:
            return LeaseStatus(lease_id, 0, -1)
        ttl = self.lease_table[lease_id]
        return LeaseStatus(lease_id, ttl, ttl - 1, self._lease_keys(lease_id) if keys else [])

    async def leases(self) -> Sequence[int]:
        return sorted(self.lease_table)

    # --- the rest ---

    def members(self) -> Sequence[Member]:
        return self.member_list

    async def linearize(self) -> None:
        self.linearized += 1

    async def member_add(self, address: str, *, learner: bool) -> Member:
        self._check()
        member = Member(99, "", address, learner=learner)
        self.member_list.append(member)
        return member

    async def member_remove(self, member_id: int) -> None:
        if all(member.id != member_id for member in self.member_list):
            raise MemberNotFound(f"member {member_id}")
        self.member_list = [member for member in self.member_list if member.id != member_id]

    async def member_promote(self, member_id: int) -> None:
        self._check()

    async def member_update(self, member_id: int, address: str) -> None:
        self._check()

    def status(self) -> BackendStatus:
        return BackendStatus(
            leader=self.leader,
            term=self.term,
            commit_index=40,
            applied_index=39,
            size_bytes=4096,
            used_bytes=1024,
            quota_bytes=1 << 31,
            learner=False,
            problems=self.problems,
        )

    async def alarms(self) -> Sequence[Alarm]:
        return self.raised

    async def alarm_set(self, alarm: Alarm, *, raised: bool) -> None:
        self.alarm_set_calls.append((alarm, raised))

    async def hash_kv(self, revision: int) -> HashResult:
        return HashResult(revision or self.revision, self.compact_revision, bytes(range(32)))

    async def snapshot(self) -> tuple[int, AsyncIterator[bytes]]:
        async def chunks() -> AsyncIterator[bytes]:
            for chunk in self.snapshot_chunks:
                yield chunk

        return sum(map(len, self.snapshot_chunks)), chunks()

    async def transfer_leadership(self, target: int) -> None:
        self.transferred_to = target
