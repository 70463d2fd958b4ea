"""The real state machine behind the etcd face, with no log in front of it: every command is applied at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from etcd_memory import MemoryBackend

from raftstore.command import (
    Command,
    Compact,
    GrantLease,
    RegisterSession,
    Request,
    RevokeLease,
    encode_request,
    join_batch,
)
from raftstore.errors import StoreError
from raftstore.model import (
    CompactResult,
    Delete,
    DeleteResult,
    LeaseResult,
    Put,
    PutResult,
    Range,
    RangeResult,
    Txn,
    TxnResult,
)
from raftstore.mvcc.machine import StateMachine
from raftstore.raft.engine import Entry
from raftstore.watch import WatchHub
from raftstore.watcher import Watcher


class MachineBackend(MemoryBackend):
    def __init__(self, folder: Path) -> None:
        self.machine = StateMachine.open(folder, quota_bytes=64 << 20)
        self._sequence = 0
        self._hub = WatchHub(self.machine, on_work=self._catch_up_soon)
        super().__init__()
        self.apply(RegisterSession(session=1))

    @property  # the twin counts for itself, this one asks the state
    def revision(self) -> int:
        return self.machine.revision

    @revision.setter
    def revision(self, value: int) -> None:
        """The twin's own counting is of no interest here."""

    @property
    def compact_revision(self) -> int:
        return self.machine.compact_revision

    @compact_revision.setter
    def compact_revision(self, value: int) -> None:
        """As above."""

    def apply(self, command: Command) -> Any:
        """Raises what the store would answer with."""
        self.machine.check(command)
        self._sequence += 1
        request = Request(1, self._sequence, self._sequence, command)
        entry = Entry(join_batch([encode_request(request)]), self.machine.applied_index + 1, 1)
        applied = self.machine.apply([entry])
        if applied.events:
            self._hub.publish(applied.events, self.machine.revision)
        (outcome,) = applied.outcomes
        if isinstance(outcome.result, StoreError):
            raise outcome.result
        return outcome.result

    def watch(self, key: bytes, range_end: bytes, **options: Any) -> Watcher:  # type: ignore[override]
        return self._hub.watch(key, range_end, **options)

    def _catch_up_soon(self) -> None:
        asyncio.get_running_loop().call_soon(self._catch_up)

    def _catch_up(self) -> None:
        if self._hub.step():
            self._catch_up_soon()

    async def range(self, request: Range, *, serializable: bool) -> RangeResult:
        return self.machine.range(request)

    async def put(self, request: Put) -> PutResult:
        result: PutResult = self.apply(request)
        return result

    async def delete(self, request: Delete) -> DeleteResult:
        result: DeleteResult = self.apply(request)
        return result

    async def txn(self, request: Txn) -> TxnResult:
        result: TxnResult = self.apply(request)
        return result

    async def compact(self, revision: int, *, physical: bool) -> CompactResult:
        result: CompactResult = self.apply(Compact(revision))
        while self.machine.compact_step():
            pass
        return result

    async def lease_grant(self, lease_id: int, ttl_s: int) -> LeaseResult:
        self.lease_table[lease_id] = ttl_s
        result: LeaseResult = self.apply(GrantLease(lease_id, ttl_s))
        return result

    async def lease_revoke(self, lease_id: int) -> LeaseResult:
        result: LeaseResult = self.apply(RevokeLease(lease_id))
        return result

    async def leases(self) -> Sequence[int]:
        return [lease.id for lease in self.machine.leases()]

    def close(self) -> None:
        self.machine.close()
