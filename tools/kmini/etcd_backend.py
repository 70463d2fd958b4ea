"""The store as the etcd face wants it (raftstore/etcd/backend.py): the same requests, in other words.

Nothing is decided here. What is asked often is a property away.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from raftstore.errors import StoreError
from raftstore.etcd.backend import BackendStatus
from raftstore.model import (
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
from raftstore.raft.engine import Member, Role
from raftstore.store import Store
from raftstore.watcher import Watcher

ALARMS_TIMEOUT_S = 1.0


class StoreBackend:
    """Implements `Backend`."""

    def __init__(self, store: Store) -> None:
        status = store.status()
        self.store = store
        self.cluster_id = status.cluster_id
        self.member_id = status.member_id

    @property
    def term(self) -> int:
        return self.store.term

    @property
    def leader(self) -> int:
        return self.store.leader

    @property
    def revision(self) -> int:
        return self.store.revision

    @property
    def compact_revision(self) -> int:
        return self.store.compact_revision

    # --- keys and watches -----------------------------------------------------------------------------

    async def range(self, request: Range, *, serializable: bool) -> RangeResult:
        return await self.store.range(request, level="local" if serializable else "linearizable")

    async def put(self, request: Put) -> PutResult:
        return await self.store.put(
            request.key,
            request.value,
            lease=request.lease,
            prev_kv=request.prev_kv,
            ignore_value=request.ignore_value,
            ignore_lease=request.ignore_lease,
        )

    async def delete(self, request: Delete) -> DeleteResult:
        return await self.store.delete(request.key, request.range_end, prev_kv=request.prev_kv)

    async def txn(self, request: Txn) -> TxnResult:
        return await self.store.txn(request.compare, request.success, request.failure)

    async def compact(self, revision: int, *, physical: bool) -> CompactResult:
        return await self.store.compact(revision, physical=physical)

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
        return self.store.watcher(
            key,
            range_end,
            start_revision=start_revision,
            prev_kv=prev_kv,
            puts=puts,
            deletes=deletes,
            on_ready=on_ready,
        )

    # --- leases ---------------------------------------------------------------------------------------

    async def lease_grant(self, lease_id: int, ttl_s: int) -> LeaseResult:
        return await self.store.lease_grant(ttl_s, lease_id)

    async def lease_revoke(self, lease_id: int) -> LeaseResult:
        return await self.store.lease_revoke(lease_id)

    async def lease_keep_alive(self, lease_id: int) -> LeaseResult:
        return await self.store.lease_keep_alive(lease_id)

    async def lease_time_to_live(self, lease_id: int, *, keys: bool) -> LeaseStatus:
        return await self.store.lease_time_to_live(lease_id, keys=keys)

    async def leases(self) -> Sequence[int]:
        return await self.store.leases()

    # --- members --------------------------------------------------------------------------------------

    def members(self) -> Sequence[Member]:
        return self.store.status().configuration.members

    async def linearize(self) -> None:
        await self.store.linearize()

    async def member_add(self, address: str, *, learner: bool) -> Member:
        """Every new member starts as a learner and is promoted by itself, whatever was asked for."""
        return await self.store.member_add(address)

    async def member_remove(self, member_id: int) -> None:
        await self.store.member_remove(member_id)

    async def member_promote(self, member_id: int) -> None:
        await self.store.member_promote(member_id)

    async def member_update(self, member_id: int, address: str) -> None:
        await self.store.member_update(member_id, address=address)

    async def transfer_leadership(self, target: int) -> None:
        await self.store.transfer_leadership(target)

    # --- care -----------------------------------------------------------------------------------------

    def status(self) -> BackendStatus:
        found = self.store.status()
        return BackendStatus(
            leader=found.leader,
            term=found.term,
            commit_index=found.commit_index,
            applied_index=found.applied_index,
            size_bytes=found.size_bytes,
            used_bytes=found.used_bytes,
            quota_bytes=found.quota_bytes,
            learner=found.role is Role.LEARNER,
            problems=[problem for problem in found.problems if not problem.startswith(("alarm ", "no leader"))],
        )

    async def alarms(self) -> Sequence[Alarm]:
        """None without a leader: whoever asks how a replica is wants an answer then most, and soon."""
        try:
            return await self.store.alarms(timeout_s=ALARMS_TIMEOUT_S)
        except StoreError:
            return []

    async def alarm_set(self, alarm: Alarm, *, raised: bool) -> None:
        await self.store.alarm_set(alarm, raised=raised)

    async def hash_kv(self, revision: int) -> HashResult:
        return await self.store.hash_kv(revision)

    async def snapshot(self) -> tuple[int, AsyncIterator[bytes]]:
        return await self.store.snapshot()
