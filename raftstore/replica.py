"""One replica of the store, without I/O: the log, the state machine and the rooms between, wired together.

Everything is driven by the `Runtime` and the engine's calls; every answer is a callback. `Store` puts
futures around it, the simulator runs it as it is. The rooms are:

    proposals.py   writes: named, batched, forwarded, resolved     session.py, batches.py
    applying.py    committed entries into the state, in slices
    reading.py     shared ReadIndex rounds
    leases.py      the leader's clocks
    members.py     membership, promotion, transfer
    housekeeping.py compaction by age, space alarms
    agreement.py   comparing digests, quarantine
    calls.py       questions between replicas

The order in which a transaction is told of: callers first, then watchers, then readers that wait for its
index. A replica that cannot trust its state sets `house.refusal` and from then on serves nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec

from .agreement import Agreement
from .applying import Applying
from .calls import ANSWER, ASK, Body, Calls, Reply
from .command import Command, GrantLease
from .errors import NoSpace, Quarantined, StateDamaged, Stopped, StoreError, UnavailableError
from .failpoint import failpoint
from .house import Done, House
from .housekeeping import Compaction, Space
from .leases import Leases
from .members import Members
from .metrics import Metrics
from .model import KeyValue, Range, RangeResult
from .mvcc.machine import StateMachine
from .mvcc.outcome import Applied
from .options import ReplicaOptions
from .proposals import PROPOSE, Proposals, requests_of
from .raft.engine import Configuration, Engine, Entry, Message, Role
from .reading import Reading, Released
from .runtime import Runtime, Timer
from .snapshot import Manifest
from .snapshot_transfer import TYPES as SNAPSHOT_TYPES
from .snapshotting import Places, Snapshots
from .watch import WatchHub
from .watcher import Watcher

Level = Literal["linearizable", "local"]

WANT_SNAPSHOT = "want_snapshot"

log = logging.getLogger(__name__)


class ReplicaStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A replica as it sees itself. Bytes are of the state; indexes are of the log."""

    member_id: int
    name: str
    cluster_id: int
    role: Role
    term: int
    leader: int  # 0: none known
    commit_index: int
    applied_index: int
    revision: int
    compact_revision: int
    used_bytes: int  # 0 while the state is not in use
    size_bytes: int
    quota_bytes: int
    configuration: Configuration
    problems: tuple[str, ...]  # plain words, empty when all is well


class Replica:
    """See the module. `engine` is told to listen to this replica and started by `start`."""

    def __init__(
        self,
        *,
        runtime: Runtime,
        member_id: int,
        machine: StateMachine,
        engine: Engine,
        places: Places | None = None,
        options: ReplicaOptions | None = None,
        stopped: Callable[[StoreError], None] | None = None,
    ) -> None:
        """`stopped(error)` is called once when the replica stops by itself, with the reason.

        Without `places` it can neither take, send nor install snapshots: for tests of other things.
        """
        options = options or ReplicaOptions()
        self.metrics = Metrics()
        house = self.house = House(
            runtime=runtime, member_id=member_id, machine=machine, options=options, metrics=self.metrics
        )
        self._stopped = stopped
        self._running = False
        self._pulse_timer: Timer | None = None
        self.hub = WatchHub(machine, on_work=self._catch_up_soon)
        self._catch_up_due = False
        self.calls = Calls(house)
        self.proposals = Proposals(house)
        self.reading = Reading(house, self.calls)
        self.leases = Leases(house, self.reading, self.proposals, self.calls)
        self.members = Members(house, self.calls)
        self.compaction = Compaction(house, self.proposals, self.fail)
        self.space = Space(house, self.proposals)
        self.agreement = Agreement(house, self.proposals, self.calls, self.quarantine)
        self.applying = Applying(house, told=self._applied, failed=self.fail, disk_full=self._disk_full)
        self.snapshots: Snapshots | None = None
        if places is not None:
            self.snapshots = Snapshots(
                house, places, hold=self._being_replaced, replaced=self._replaced, failed=self.fail
            )
        self.calls.answer_with(WANT_SNAPSHOT, self._asked_for_snapshot)
        house.engine = engine.listen(self)

    # --- life -----------------------------------------------------------------------------------------

    def start(self) -> None:
        self._running = True
        self.house.engine.start()
        self.compaction.start()
        self._pulse_later()

    def stop(self) -> None:
        """Answer everyone and stop at once, without saying good-bye. Idempotent."""
        self._end(Stopped("this replica is shut down"))

    def fail(self, error: StoreError) -> None:
        """Stop for good because of `error`: its message says what happened and what mends it."""
        if self._running:
            log.critical("replica stopped", extra={"reason": error.message})
            if isinstance(error, StateDamaged) and self.snapshots is not None:
                self.snapshots.distrust_state()
            self._end(error)
            if self._stopped is not None:
                self._stopped(error)

    def _end(self, error: StoreError) -> None:
        if not self._running:
            return
        self._running = False
        self.house.stopped = True
        self.house.refusal = error
        self.house.role, self.house.leader = Role.FOLLOWER, 0
        self.applying.hold()
        self._refuse_all(error)
        self.house.engine.stop()
        if self._pulse_timer is not None:
            self._pulse_timer.cancel()
        self.leases.stop()
        self.calls.stop()
        self.proposals.stop()
        self.reading.stop()
        if self.snapshots is not None:
            self.snapshots.stop()

    def _refuse_all(self, error: StoreError) -> None:
        self.proposals.fail_all(error)
        self.reading.fail_all(error)
        self.hub.close(error.message)

    def quarantine(self, reason: str) -> None:
        """Serve nothing until the state is replaced: it differs from the majority's."""
        if not self._running or self.house.refusal is not None:
            return
        failpoint("before_quarantine")
        error = Quarantined(f"{reason}: this replica serves nothing until it has the state of the leader")
        log.critical("replica quarantined", extra={"reason": reason})
        self.house.refusal = error
        self.house.quarantined = True
        self.applying.hold()
        self._refuse_all(error)
        self._hand_over()
        if self.snapshots is not None:
            self.snapshots.distrust_state()

    def _hand_over(self) -> None:
        """Let another lead, if this one does and another can."""
        try:
            self.house.engine.transfer(0)
        except StoreError as error:
            log.info("leadership not handed over", extra={"reason": error.message})

    # --- requests -------------------------------------------------------------------------------------

    def execute(self, command: Command, done: Done, timeout_s: float | None = None) -> None:
        """Put a command through the log. `done` gets its result, or a StoreError that says if it may still happen."""
        self.proposals.submit(command, done, self._timeout_s(timeout_s))

    def barrier(self, released: Released, timeout_s: float | None = None) -> None:
        """`released(None)` once whatever was acknowledged before this call can be read here."""
        self.reading.join(released, self._timeout_s(timeout_s))

    def range(self, request: Range, level: Level, done: Done, timeout_s: float | None = None) -> None:
        """`done` gets a RangeResult or a StoreError. Level "local" reads what this replica has."""
        local = level == "local" or 0 < request.revision <= self.house.machine.revision
        if local:
            self.house.answer_soon(done, self._read(request))
        else:
            self.barrier(lambda error: done(error or self._read(request)), timeout_s)

    def _read(self, request: Range) -> Any:
        try:
            return self.read(request)
        except StoreError as error:
            return error

    def read(self, request: Range) -> RangeResult:
        """Read what is applied here. Raises Compacted, FutureRevision, InvalidRequest, Quarantined, Stopped."""
        return self.usable.range(request)

    def page(self, key: bytes, range_end: bytes, limit: int, revision: int) -> RangeResult:
        """The first keys of a range. Raises Compacted, FutureRevision, Quarantined, Stopped."""
        return self.usable.page(key, range_end, limit, revision)

    def get(self, key: bytes) -> KeyValue | None:
        """The newest value this replica has applied. Raises Quarantined, Stopped."""
        return self.usable.get(key)

    def watch(
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
        """Watch from a revision on (0: the next one). See WatchHub.watch; also raises Quarantined, Stopped."""
        if self.house.refusal is not None:
            raise self.house.refusal
        return self.hub.watch(
            key,
            range_end,
            start_revision=start_revision,
            puts=puts,
            deletes=deletes,
            prev_kv=prev_kv,
            on_ready=on_ready,
        )

    def _catch_up_soon(self) -> None:
        """Give watchers that are behind a piece of history per loop turn."""
        if not self._catch_up_due:
            self._catch_up_due = True
            self.house.runtime.call_soon(self._catch_up)

    def _catch_up(self) -> None:
        self._catch_up_due = False
        if self._running and self.house.refusal is None and self.hub.step():
            self._catch_up_soon()

    def lease_grant(self, lease: int, ttl_s: int, done: Done, timeout_s: float | None = None) -> None:
        """`lease` 0 draws one; a time to live below what an election takes is raised to it, as etcd does."""
        ttl_s = max(ttl_s, self.house.options.lease_ttl_s_min)
        self.execute(GrantLease(lease or self.house.runtime.random_id(), ttl_s), done, timeout_s)

    def keep_alive(self, lease: int, done: Done, timeout_s: float | None = None) -> None:
        """`done` gets a LeaseResult, its ttl 0 when there is no such lease."""
        self.leases.keep_alive(lease, done, self._timeout_s(timeout_s))

    def time_to_live(self, lease: int, keys: bool, done: Done, timeout_s: float | None = None) -> None:
        """`done` gets a LeaseStatus."""
        self.leases.time_to_live(lease, keys, done, self._timeout_s(timeout_s))

    def change_members(self, kind: str, body: Body, done: Done, timeout_s: float | None = None) -> None:
        """A step of members.py; `done` gets the Configuration in which it is true."""
        self.members.ask(kind, body, done, self._timeout_s(timeout_s))

    def transfer(self, target: int, done: Done, timeout_s: float | None = None) -> None:
        """Hand leadership to `target` (0: the most advanced voter); `done(None)` once it moved."""
        self.members.transfer(target, done, self._timeout_s(timeout_s))

    def _timeout_s(self, timeout_s: float | None) -> float:
        return self.house.options.request_timeout_s if timeout_s is None else timeout_s

    # --- what can be seen -----------------------------------------------------------------------------

    @property
    def applied_index(self) -> int:
        return self.house.machine.applied_index

    @property
    def revision(self) -> int:
        return self.house.machine.revision

    @property
    def usable(self) -> StateMachine:
        """The state, to read from within one loop turn. Raises Quarantined, Stopped."""
        if self.house.refusal is not None:
            raise self.house.refusal
        return self.house.machine

    def status(self) -> ReplicaStatus:
        house, machine, engine = self.house, self.house.machine, self.house.engine.status()
        own = engine.configuration.member(house.member_id)
        return ReplicaStatus(
            member_id=house.member_id,
            name=own.name if own is not None else "",
            cluster_id=engine.configuration.cluster_id,
            role=engine.role,
            term=engine.term,
            leader=engine.leader,
            commit_index=engine.commit_index,
            applied_index=machine.applied_index,
            revision=machine.revision,
            compact_revision=machine.compact_revision,
            used_bytes=machine.used_bytes if house.refusal is None else 0,
            size_bytes=machine.size_bytes,
            quota_bytes=house.options.quota_bytes,
            configuration=engine.configuration,
            problems=self._problems(),
        )

    def _problems(self) -> tuple[str, ...]:
        house = self.house
        found = [error.message for error in (house.refusal, house.write_refusal) if error is not None]
        alarms = sorted(house.machine.alarms, key=lambda alarm: alarm.member)
        found += [f"alarm {alarm.type.name} of member {alarm.member}" for alarm in alarms]
        if not house.leader:
            found.append("no leader is known")
        return tuple(found)

    # --- EngineListener -------------------------------------------------------------------------------

    def committed(self, entries: Sequence[Entry]) -> None:
        self.applying.committed(entries)

    def _applied(self, entries: Sequence[Entry], applied: Applied) -> None:
        """One transaction is in the state: tell everyone, in the order of the module's docstring."""
        machine = self.house.machine
        self.leases.applied(applied.outcomes)  # first: who hears of a revoke may ask about its clock
        self.proposals.applied(entries, applied.outcomes)
        if self.snapshots is not None:
            self.snapshots.applied(entries)
        self.compaction.applied(applied.outcomes)
        if applied.events:
            failpoint("before_watch_publish")
            self.metrics.events += len(applied.events)
        self.hub.publish(applied.events, machine.revision)
        self.reading.applied(machine.applied_index)
        self.agreement.applied(machine.applied_index)

    def role_changed(self, role: Role, term: int, leader: int) -> None:
        if not self._running:
            return
        house = self.house
        house.role, house.term, house.leader = role, term, leader
        log.info("role", extra={"role": role.value, "term": term, "leader": leader})
        self.proposals.role_changed()
        self.reading.role_changed()
        self.leases.role_changed()
        self.members.role_changed()
        self.agreement.role_changed()

    def configuration_changed(self, configuration: Configuration, committed: bool) -> None:
        self.members.configuration_changed(configuration, committed)

    def peer_needs_snapshot(self, peer: int) -> None:
        if self.snapshots is not None:
            self.snapshots.needed_by(peer)

    def peer_connected(self, peer: int) -> None:
        if peer == self.house.leader:
            self.proposals.send_again()
            self.reading.role_changed()
        if self.snapshots is not None:
            self.snapshots.connected(peer)

    def peer_disconnected(self, peer: int) -> None:
        self.calls.disconnected(peer)

    def peer_message(self, peer: int, message: Message) -> None:
        if not self._running:
            return
        kind = message["type"]
        if kind == PROPOSE:
            self.proposals.forwarded(requests_of(message))
        elif kind in (ASK, ANSWER):
            self.calls.received(peer, message)
        elif kind in SNAPSHOT_TYPES:
            if self.snapshots is not None:
                self.snapshots.received(peer, message)
        else:
            log.warning("message of an unknown type, dropped", extra={"peer": peer, "type": str(kind)})

    def failed(self, error: StoreError) -> None:
        self.fail(error)

    # --- housekeeping ---------------------------------------------------------------------------------

    def _disk_full(self, full: bool) -> None:
        """The state's disk has no room: nothing more is taken, and a leader makes way for one that has."""
        if full:
            if self.house.write_refusal is None:
                self._hand_over()
            self.house.write_refusal = NoSpace("the disk of this replica's state is full")
        else:
            self.house.write_refusal = None

    def _pulse_later(self) -> None:
        runtime = self.house.runtime
        self._pulse_timer = runtime.call_at(runtime.now() + self.house.options.pulse_s, self._pulse)

    def _pulse(self) -> None:
        self._pulse_later()
        if self.house.refusal is None:
            self.space.pulse()
            self.compaction.pulse(early=self.space.above_soft)
            self.members.pulse()
            self.agreement.pulse()
            if self.snapshots is not None:
                self.snapshots.pulse()
        elif self.house.quarantined:
            self._want_snapshot()

    # --- another state --------------------------------------------------------------------------------

    def _being_replaced(self) -> None:
        """Nobody reads and nothing is applied until the new state is there; what waits goes on waiting."""
        self.applying.hold()
        if self.house.refusal is None:
            self.house.refusal = UnavailableError("the state is being replaced by the leader's snapshot: ask again")

    def _replaced(self, machine: StateMachine, manifest: Manifest) -> None:
        house = self.house
        house.machine = machine
        house.installs += 1
        house.refusal = None
        house.quarantined = False
        self.applying.restart()
        house.engine.installed(manifest.index, manifest.term, manifest.configuration)
        self.leases.installed()
        self.leases.role_changed()
        self.hub.rebase(machine)
        self.proposals.send_again()
        self.reading.applied(machine.applied_index)
        self.compaction.start()

    def _want_snapshot(self) -> None:
        """A quarantined replica asks whoever leads; if that is itself, it tries again to make way."""
        if self.house.leading:
            self._hand_over()
        elif self.house.leader:
            self.calls.ask(self.house.leader, WANT_SNAPSHOT, {}, lambda _: None, self.house.options.pulse_s)

    def _asked_for_snapshot(self, peer: int, body: Body, reply: Reply) -> None:
        if self.snapshots is not None and self.house.leading and not self.house.quarantined:
            self.snapshots.needed_by(peer)
        reply({})
