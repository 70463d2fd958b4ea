"""`Store` as the etcd face wants it: names and defaults, no logic."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any

from ..model import (
    Alarm,
    CompactResult,
    Delete,
    DeleteResult,
    HashResult,
    LeaseResult,
    LeaseStatus,
    Put,
    PutResult,
    Range,
    RangeResult,
    Txn,
    TxnResult,
)
from ..raft.engine import Member, Role
from ..store import Store
from ..watcher import Watcher
from .backend import BackendStatus


class StoreBackend:
    """`Backend` on a `Store`. Calls return the store's own coroutines: no frame of ours on the hot path."""

    def __init__(self, store: Store) -> None:
        status = store.status()
        self._store = store
        self.cluster_id = status.cluster_id
        self.member_id = status.member_id

    @property
    def term(self) -> int:
        return self._store.term

    @property
    def leader(self) -> int:
        return self._store.leader

    @property
    def revision(self) -> int:
        return self._store.revision

    @property
    def compact_revision(self) -> int:
        return self._store.compact_revision

    # --- keys ---

    def range(self, request: Range, *, serializable: bool) -> Coroutine[Any, Any, RangeResult]:
        return self._store.range(request, level="local" if serializable else "linearizable")

    def put(self, request: Put) -> Coroutine[Any, Any, PutResult]:
        return self._store.put(
            request.key,
            request.value,
            lease=request.lease,
            prev_kv=request.prev_kv,
            ignore_value=request.ignore_value,
            ignore_lease=request.ignore_lease,
        )

    def delete(self, request: Delete) -> Coroutine[Any, Any, DeleteResult]:
        return self._store.delete(request.key, request.range_end, prev_kv=request.prev_kv)

    def txn(self, request: Txn) -> Coroutine[Any, Any, TxnResult]:
        return self._store.txn(request.compare, request.success, request.failure)

    def compact(self, revision: int, *, physical: bool) -> Coroutine[Any, Any, CompactResult]:
        return self._store.compact(revision, physical=physical)

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
    ) -> Watcher:
        return self._store.watcher(
            key,
            range_end,
            start_revision=start_revision,
            puts=puts,
            deletes=deletes,
            prev_kv=prev_kv,
            on_ready=on_ready,
        )

    # --- leases ---

    def lease_grant(self, lease_id: int, ttl_s: int) -> Coroutine[Any, Any, LeaseResult]:
        return self._store.lease_grant(ttl_s, lease_id)

    def lease_revoke(self, lease_id: int) -> Coroutine[Any, Any, LeaseResult]:
        return self._store.lease_revoke(lease_id)

    def lease_keep_alive(self, lease_id: int) -> Coroutine[Any, Any, LeaseResult]:
        return self._store.lease_keep_alive(lease_id)

    def lease_time_to_live(self, lease_id: int, *, keys: bool) -> Coroutine[Any, Any, LeaseStatus]:
        return self._store.lease_time_to_live(lease_id, keys=keys)

    def leases(self) -> Coroutine[Any, Any, Sequence[int]]:
        return self._store.leases()

    # --- members ---

    def members(self) -> Sequence[Member]:
        return self._store.status().configuration.members

    def linearize(self) -> Coroutine[Any, Any, None]:
        return self._store.linearize()

    def member_add(self, address: str, *, learner: bool) -> Coroutine[Any, Any, Member]:
        """Every new member begins as a learner; the store promotes it by itself once it has caught up."""
        return self._store.member_add(address)

    def member_remove(self, member_id: int) -> Coroutine[Any, Any, None]:
        return self._store.member_remove(member_id)

    def member_promote(self, member_id: int) -> Coroutine[Any, Any, None]:
        return self._store.member_promote(member_id)

    def member_update(self, member_id: int, address: str) -> Coroutine[Any, Any, None]:
        return self._store.member_update(member_id, address=address)

    def transfer_leadership(self, target: int) -> Coroutine[Any, Any, None]:
        return self._store.transfer_leadership(target)

    # --- care ---

    def status(self) -> BackendStatus:
        found = self._store.status()
        return BackendStatus(
            leader=found.leader,
            term=found.term,
            commit_index=found.commit_index,
            applied_index=found.applied_index,
            size_bytes=found.size_bytes,
            used_bytes=found.used_bytes,
            quota_bytes=found.quota_bytes,
            learner=found.role is Role.LEARNER,
            problems=found.problems,
        )

    def alarms(self) -> Coroutine[Any, Any, Sequence[Alarm]]:
        return self._store.alarms()

    async def alarm_set(self, alarm: Alarm, *, raised: bool) -> None:
        await self._store.alarm_set(alarm, raised=raised)

    def hash_kv(self, revision: int) -> Coroutine[Any, Any, HashResult]:
        return self._store.hash_kv(revision)

    def snapshot(self) -> Coroutine[Any, Any, tuple[int, AsyncIterator[bytes]]]:
        return self._store.snapshot()
