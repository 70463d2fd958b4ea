"""What the etcd face needs of a store, and nothing more.

The seam between the wire and the store: the services are written and tested against this; `store.py`'s
`Store` is behind it in production. Methods raise the store's errors (raftstore/errors.py).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

import msgspec

from ..model import (
    Alarm,
    CompactResult,
    Delete,
    DeleteResult,
    Event,
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
from ..raft.engine import Member


class BackendStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes in bytes; indexes are of the Raft log. `problems` in plain words, alarms and a missing leader included."""

    leader: int  # 0: none known
    term: int
    commit_index: int
    applied_index: int
    size_bytes: int
    used_bytes: int
    quota_bytes: int
    learner: bool
    problems: Sequence[str] = ()


class Watcher(Protocol):
    """One watch. Calls its `on_ready` when `take` has something to give or to raise, and when it has caught up."""

    @property
    def progress_revision(self) -> int:
        """Every event up to this revision has been taken. 0 while the watch is still catching up."""

    def take(self) -> Sequence[Event]:
        """Events in revision order, a revision whole, at most a buffer full; empty when there is none now.

        Raises WatchCanceled once the events before it are taken.
        """

    def cancel(self) -> None: ...


class Backend(Protocol):
    @property
    def cluster_id(self) -> int: ...
    @property
    def member_id(self) -> int: ...
    @property
    def term(self) -> int: ...
    @property
    def leader(self) -> int:
        """0: none known."""

    @property
    def revision(self) -> int: ...
    @property
    def compact_revision(self) -> int: ...

    async def range(self, request: Range, *, serializable: bool) -> RangeResult: ...
    async def put(self, request: Put) -> PutResult: ...
    async def delete(self, request: Delete) -> DeleteResult: ...
    async def txn(self, request: Txn) -> TxnResult: ...
    async def compact(self, revision: int, *, physical: bool) -> CompactResult: ...

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
        """`start_revision` 0 begins behind `revision` as it is now. Raises WatchCompacted, TooManyRequests."""

    async def lease_grant(self, lease_id: int, ttl_s: int) -> LeaseResult:
        """`lease_id` 0: the store draws one."""

    async def lease_revoke(self, lease_id: int) -> LeaseResult: ...
    async def lease_keep_alive(self, lease_id: int) -> LeaseResult: ...
    async def lease_time_to_live(self, lease_id: int, *, keys: bool) -> LeaseStatus: ...
    async def leases(self) -> Sequence[int]: ...

    def members(self) -> Sequence[Member]: ...
    async def linearize(self) -> None:
        """Return once this replica has applied everything that was committed before the call."""

    async def member_add(self, address: str, *, learner: bool) -> Member: ...
    async def member_remove(self, member_id: int) -> None: ...
    async def member_promote(self, member_id: int) -> None: ...
    async def member_update(self, member_id: int, address: str) -> None: ...

    def status(self) -> BackendStatus: ...
    async def alarms(self) -> Sequence[Alarm]: ...
    async def alarm_set(self, alarm: Alarm, *, raised: bool) -> None: ...
    async def hash_kv(self, revision: int) -> HashResult:
        """`revision` 0: the newest."""

    async def snapshot(self) -> tuple[int, AsyncIterator[bytes]]:
        """A consistent copy of the state: its size in bytes, and its chunks."""

    async def transfer_leadership(self, target: int) -> None: ...
