"""Store: one replica of the replicated store, on asyncio.

The thin face of `Replica`: each request is one future, settled by the replica's callback; there is no task, no
lock and no queue here. A cancelled request is only forgotten: a write may still take effect.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from functools import partial
from typing import Any, Literal

from .command import Command, Compact, RevokeLease, SetAlarm
from .config import StoreConfig
from .errors import Compacted, InvalidRequest, LeaseTTLTooLarge, StoreError
from .limits import LEASE_TTL_S_MAX, RESIDENT_STATE_BYTES_MAX
from .members import ADD, PROMOTE, REMOVE, UPDATE
from .metrics import Metrics
from .model import (
    Alarm,
    AlarmResult,
    CompactResult,
    Compare,
    Delete,
    DeleteResult,
    HashResult,
    KeyValue,
    LeaseResult,
    LeaseStatus,
    Operation,
    Put,
    PutResult,
    Range,
    RangeResult,
    Txn,
    TxnResult,
    prefix_end,
)
from .mvcc import mapping
from .opening import Opened, open_replica
from .raft.engine import Configuration, Member
from .replica import Replica, ReplicaStatus
from .snapshot import Manifest
from .watcher import Watcher
from .watching import Watch

Level = Literal["linearizable", "local"]

HAND_OVER_S = 2.0  # what closing spends on handing leadership over
MEMORY_LOOK_S = 5.0
SCANS_MAX = 3  # tries of a scan that compaction overtook

log = logging.getLogger(__name__)


def _settle(future: asyncio.Future[Any], outcome: Any) -> None:
    if not future.done():
        if isinstance(outcome, StoreError):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)


def _release(future: asyncio.Future[None], error: StoreError | None) -> None:
    if not future.done():
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)


class Store:
    """See the module. `async with await Store.open(config) as store: ...`

    Every request takes `timeout_s`; without it the configured one. Every request raises a StoreError that says
    by `definite` whether a write may still take effect: Timeout, OutcomeUnknown, TooManyRequests, NoSpace,
    Stopped, Quarantined and RequestError's kinds.
    """

    def __init__(self, config: StoreConfig) -> None:
        """Use `open`."""
        self.config = config
        self.stopped: asyncio.Future[StoreError] = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()
        self._opened: Opened
        self._replica: Replica
        self._resident_at_open = 0
        self._memory_timer: asyncio.TimerHandle
        self._closed = False

    @classmethod
    async def open(cls, config: StoreConfig) -> Store:
        """Open the data directory, or found or join a cluster when it is empty, and start the replica.

        Returns when the replica runs; requests wait for a leader by themselves. Raises InvalidRequest,
        IntegrityError, MembershipError, OSError.
        """
        store = cls(config)
        store._opened = await open_replica(config, store._stopped_by_itself)
        store._replica = store._opened.replica
        store._resident_at_open = mapping.resident_file_bytes()
        store._look_at_memory()
        return store

    def _look_at_memory(self) -> None:
        """Keep the state's mapped pages from filling this process's resident set."""
        self._memory_timer = self._loop.call_later(MEMORY_LOOK_S, self._look_at_memory)
        if mapping.resident_file_bytes() - self._resident_at_open > RESIDENT_STATE_BYTES_MAX:
            self._replica.house.machine.release_pages()

    def _stopped_by_itself(self, error: StoreError) -> None:
        if not self.stopped.done():
            self.stopped.set_result(error)

    async def __aenter__(self) -> Store:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Hand leadership over if it is held, answer everyone, and give everything back. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._memory_timer.cancel()
        try:
            await self._hand_over()
        finally:
            await self._opened.close()
            self.stopped.cancel()

    async def _hand_over(self) -> None:
        status = self.status()
        if status.leader != status.member_id or len(status.configuration.voters) < 2:
            return
        try:
            await self.transfer_leadership(timeout_s=HAND_OVER_S)
        except StoreError as error:
            log.info("leadership not handed over", extra={"reason": error.message})

    # --- keys -----------------------------------------------------------------------------------------

    def _execute(self, command: Command, timeout_s: float | None) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self._loop.create_future()
        self._replica.execute(command, partial(_settle, future), timeout_s)
        return future

    def _barrier(self, timeout_s: float | None) -> asyncio.Future[None]:
        future: asyncio.Future[None] = self._loop.create_future()
        self._replica.barrier(partial(_release, future), timeout_s)
        return future

    async def put(
        self,
        key: bytes,
        value: bytes = b"",
        *,
        lease: int = 0,
        prev_kv: bool = False,
        ignore_value: bool = False,
        ignore_lease: bool = False,
        timeout_s: float | None = None,
    ) -> PutResult:
        """Set a key. Also raises LeaseNotFound, KeyNotFound."""
        command = Put(key, value, lease, prev_kv, ignore_value, ignore_lease)
        result: PutResult = await self._execute(command, timeout_s)
        return result

    async def delete(
        self,
        key: bytes,
        range_end: bytes = b"",
        *,
        prefix: bool = False,
        prev_kv: bool = False,
        timeout_s: float | None = None,
    ) -> DeleteResult:
        """Delete a key, a range, or with `prefix` all keys that begin with `key`."""
        command = Delete(key, prefix_end(key) if prefix else range_end, prev_kv)
        result: DeleteResult = await self._execute(command, timeout_s)
        return result

    async def txn(
        self,
        compare: Iterable[Compare] = (),
        success: Iterable[Operation] = (),
        failure: Iterable[Operation] = (),
        *,
        timeout_s: float | None = None,
    ) -> TxnResult:
        """If every compare holds do `success`, else `failure`, at one revision."""
        result: TxnResult = await self._execute(Txn(tuple(compare), tuple(success), tuple(failure)), timeout_s)
        return result

    async def get(
        self, key: bytes, *, level: Level = "linearizable", revision: int = 0, timeout_s: float | None = None
    ) -> KeyValue | None:
        """One key: its newest value, or that as of `revision`. Raises Compacted, FutureRevision."""
        if revision:
            found = await self.range(Range(key, revision=revision), level=level, timeout_s=timeout_s)
            return found.kvs[0] if found.kvs else None
        if level != "local":
            await self._barrier(timeout_s)
        return self._replica.get(key)

    async def range(
        self, request: Range, *, level: Level = "linearizable", timeout_s: float | None = None
    ) -> RangeResult:
        """Read a range. Level "local" reads what this replica has. Raises Compacted, FutureRevision, InvalidRequest.

        A revision that this replica has already is read at once: it never changes.
        """
        if level != "local" and not 0 < request.revision <= self._replica.revision:
            await self._barrier(timeout_s)
        return self._replica.read(request)

    def peek(self, key: bytes) -> KeyValue | None:
        """`get` of level "local", without asyncio. After `linearize`, within one loop turn, several agree."""
        return self._replica.get(key)

    def page(self, key: bytes, range_end: bytes, *, limit: int, revision: int = 0) -> RangeResult:
        """The first `limit` keys of a range as this replica has them; `count` is of these alone.

        Costs the same however much follows. For the next page ask from the last key + b"\\0" on, at the same
        revision. Raises Compacted, FutureRevision, Quarantined, Stopped.
        """
        return self._replica.page(key, range_end, limit, revision)

    async def linearize(self, *, timeout_s: float | None = None) -> None:
        """Return once whatever was acknowledged before this call can be read here with level "local"."""
        await self._barrier(timeout_s)

    async def compact(self, revision: int, *, physical: bool = False, timeout_s: float | None = None) -> CompactResult:
        """Forget history below `revision`; with `physical` wait until this replica's pages are free."""
        result: CompactResult = await self._execute(Compact(revision), timeout_s)
        if physical:
            future: asyncio.Future[None] = self._loop.create_future()
            self._replica.compaction.when_finished(partial(_release, future, None))
            await future
        return result

    # --- watches --------------------------------------------------------------------------------------

    def watch(
        self,
        key: bytes,
        range_end: bytes = b"",
        *,
        prefix: bool = False,
        start_revision: int = 0,
        puts: bool = True,
        deletes: bool = True,
        prev_kv: bool = False,
    ) -> Watch:
        """Iterate over batches of events from `start_revision` on (0: from the next one).

        Raises WatchCompacted, InvalidRequest, TooManyRequests at once; iterating raises WatchCanceled.
        """
        end = prefix_end(key) if prefix else range_end

        def begin(on_ready: Callable[[], None]) -> Watcher:
            return self.watcher(
                key, end, start_revision=start_revision, puts=puts, deletes=deletes, prev_kv=prev_kv, on_ready=on_ready
            )

        return Watch(begin)

    def watcher(
        self,
        key: bytes,
        range_end: bytes = b"",
        *,
        start_revision: int = 0,
        puts: bool = True,
        deletes: bool = True,
        prev_kv: bool = False,
        on_ready: Callable[[], None],
    ) -> Watcher:
        """A watch without asyncio: `on_ready` says that its `take` has something. For faces that fan out."""
        return self._replica.watch(
            key,
            range_end,
            start_revision=start_revision,
            puts=puts,
            deletes=deletes,
            prev_kv=prev_kv,
            on_ready=on_ready,
        )

    # --- leases ---------------------------------------------------------------------------------------

    async def lease_grant(self, ttl_s: int, lease: int = 0, *, timeout_s: float | None = None) -> LeaseResult:
        """`lease` 0 draws one. `ttl` of the result is what was granted: no less than an election takes."""
        if ttl_s > LEASE_TTL_S_MAX:
            raise LeaseTTLTooLarge(f"a time to live of {ttl_s} s is longer than the limit of {LEASE_TTL_S_MAX} s")
        future: asyncio.Future[LeaseResult] = self._loop.create_future()
        self._replica.lease_grant(lease, ttl_s, partial(_settle, future), timeout_s)
        return await future

    async def lease_revoke(self, lease: int, *, timeout_s: float | None = None) -> LeaseResult:
        """End a lease and delete its keys. Raises LeaseNotFound."""
        result: LeaseResult = await self._execute(RevokeLease(lease), timeout_s)
        return result

    async def lease_keep_alive(self, lease: int, *, timeout_s: float | None = None) -> LeaseResult:
        """Renew once; `ttl` 0 says that there is no such lease."""
        future: asyncio.Future[LeaseResult] = self._loop.create_future()
        self._replica.keep_alive(lease, partial(_settle, future), timeout_s)
        return await future

    async def lease_time_to_live(
        self, lease: int, *, keys: bool = False, timeout_s: float | None = None
    ) -> LeaseStatus:
        """What the leader's clock leaves of it; -1 when there is no such lease."""
        future: asyncio.Future[LeaseStatus] = self._loop.create_future()
        self._replica.time_to_live(lease, keys, partial(_settle, future), timeout_s)
        return await future

    async def leases(self, *, timeout_s: float | None = None) -> list[int]:
        """The ids of all leases."""
        await self._barrier(timeout_s)
        return [lease.id for lease in self._replica.usable.leases()]

    # --- members --------------------------------------------------------------------------------------

    async def members(self, *, level: Level = "linearizable", timeout_s: float | None = None) -> Sequence[Member]:
        """The members of the cluster, learners included."""
        if level != "local":
            await self._barrier(timeout_s)
        return self.status().configuration.members

    def _ask_members(self, kind: str, body: dict[str, Any], timeout_s: float | None) -> asyncio.Future[Configuration]:
        future: asyncio.Future[Configuration] = self._loop.create_future()
        self._replica.change_members(kind, body, partial(_settle, future), timeout_s)
        return future

    async def member_add(self, address: str, *, name: str = "", timeout_s: float | None = None) -> Member:
        """Add a member at a peer address, as a learner; it is promoted by itself when it has caught up.

        Raises MemberExists, ChangeInProgress.
        """
        member = Member(self._replica.house.runtime.random_id(), name, address, learner=True)
        body = {"member": [member.id, member.name, member.address, member.learner, member.client_address]}
        await self._ask_members(ADD, body, timeout_s)
        return member

    async def member_remove(self, member_id: int, *, timeout_s: float | None = None) -> None:
        """Remove a member; a leader hands over first. Raises MemberNotFound, LastVoter, ChangeInProgress."""
        await self._ask_members(REMOVE, {"id": member_id}, timeout_s)

    async def member_promote(self, member_id: int, *, timeout_s: float | None = None) -> None:
        """Give a learner its vote. Raises LearnerNotReady, MemberNotFound, MemberExists."""
        await self._ask_members(PROMOTE, {"id": member_id}, timeout_s)

    async def member_update(
        self, member_id: int, *, address: str = "", client_address: str = "", timeout_s: float | None = None
    ) -> None:
        """Change a member's addresses; empty ones stay. Raises MemberNotFound, MemberExists."""
        given = {"address": address, "client_address": client_address}
        body = {"id": member_id, "fields": {name: value for name, value in given.items() if value}}
        await self._ask_members(UPDATE, body, timeout_s)

    async def transfer_leadership(self, target: int = 0, *, timeout_s: float | None = None) -> None:
        """Let `target` lead (0: the voter that is furthest). Raises MemberNotFound, NotLeader, Timeout."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._replica.transfer(target, partial(_settle, future), timeout_s)
        await future

    async def renew_credentials(self) -> None:
        """Ask `credentials_for` again and renew every link under what it gives, without a gap.

        For certificates that are about to end and authorities that are replaced; nothing happens without a peer port.
        Raises what `credentials_for` raises, and OSError for files that do not load: then the former ones stay.
        """
        await self._opened.renew_credentials(self.config)

    # --- care -----------------------------------------------------------------------------------------

    def status(self) -> ReplicaStatus:
        """This replica as it sees itself."""
        return self._replica.status()

    @property
    def revision(self) -> int:
        """The newest revision this replica has applied."""
        return self._replica.revision

    @property
    def compact_revision(self) -> int:
        return self._replica.house.machine.compact_revision

    @property
    def term(self) -> int:
        return self._replica.house.term

    @property
    def leader(self) -> int:
        """The member that leads; 0: none known."""
        return self._replica.house.leader

    @property
    def metrics(self) -> Metrics:
        return self._replica.metrics

    @property
    def peer_port(self) -> int:
        """The port peers reach this replica at; 0: none."""
        return self._opened.transport.port if self._opened.transport is not None else 0

    async def alarms(self, *, timeout_s: float | None = None) -> list[Alarm]:
        await self._barrier(timeout_s)
        return sorted(self._replica.house.machine.alarms, key=lambda alarm: (alarm.member, alarm.type))

    async def alarm_set(self, alarm: Alarm, *, raised: bool, timeout_s: float | None = None) -> AlarmResult:
        """Raise or clear an alarm."""
        result: AlarmResult = await self._execute(SetAlarm(alarm, raised), timeout_s)
        return result

    async def alarm_disarm(self, alarm: Alarm, *, timeout_s: float | None = None) -> AlarmResult:
        """Clear an alarm."""
        return await self.alarm_set(alarm, raised=False, timeout_s=timeout_s)

    async def hash_kv(self, revision: int = 0, *, timeout_s: float | None = None) -> HashResult:
        """Digest of the state at a revision (0: the newest), in steps. Raises Compacted, FutureRevision."""
        await self._barrier(timeout_s)
        for _ in range(SCANS_MAX):
            scan = self._replica.usable.hash_kv(revision)
            try:
                while scan.step():
                    await asyncio.sleep(0)
                    if self._replica.usable.compact_revision != scan.compact_revision:
                        break  # begin anew; also after a snapshot was installed
                else:
                    return scan.result
            except Compacted:
                continue
        raise Compacted("the state was compacted again and again while it was scanned")

    async def snapshot(self) -> tuple[int, AsyncIterator[bytes]]:
        """A consistent, durable copy of the state: its size in bytes, and its chunks. Raises NoSpace, Unavailable."""
        snapshots = self._replica.snapshots
        if snapshots is None:
            raise InvalidRequest("this replica keeps no snapshots")
        future: asyncio.Future[Any] = self._loop.create_future()
        snapshots.take(partial(_settle, future))
        manifest = await future
        return manifest.size, self._chunks(manifest)

    async def _chunks(self, manifest: Manifest) -> AsyncIterator[bytes]:
        store = self._opened.places.snapshots
        chunks = store.chunks(manifest)
        while block := await asyncio.to_thread(next, chunks, b""):
            yield block
