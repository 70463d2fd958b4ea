"""One incarnation of a replica on a host: the product's rooms put together as `Store` puts them together.

Also the replica's `Port`: what virtual clients may ask it. Every call enters through the runtime, as a
socket would bring it in.
"""

from __future__ import annotations

from collections.abc import Callable

from ..command import Command, GrantLease
from ..errors import StoreError, WatchCanceled
from ..limits import KIB
from ..model import Event, EventType, Range
from ..mvcc.machine import StateMachine
from ..options import ReplicaOptions, SnapshotOptions
from ..raft.engine import Configuration, Member
from ..raft.journal import Journal, JournalOptions
from ..raft.node import Node
from ..replica import Replica
from ..snapshot import SnapshotStore, base_of
from ..snapshotting import Places
from ..state_folder import StateFolder, open_state
from ..watcher import Watcher
from .history import WatchedEvent
from .host import Host
from .network import VirtualNetwork
from .observer import ObservedListener, Observer
from .port import Done, WatchHandle, WatchSink
from .runtime import VirtualRuntime
from .swarm import Options

_SEGMENT_FILL_BYTES = 8 * KIB


def journal_options(options: Options) -> JournalOptions:
    return JournalOptions(segment_bytes=options.segment_bytes, fill_bytes=_SEGMENT_FILL_BYTES, recent_bytes=64 * KIB)


def replica_options(options: Options, protections_off: frozenset[str]) -> ReplicaOptions:
    return ReplicaOptions(
        protections_off=protections_off,
        timing=options.timing,
        quota_bytes=options.quota_bytes,
        request_timeout_s=options.request_timeout_s,
        pulse_s=0.25,
        compaction_age_s=options.compaction_age_s,
        snapshot=SnapshotOptions(
            journal_bytes_min=options.snapshot_bytes_min,
            every_s=options.snapshot_every_s,
            tail_entries=options.tail_entries,
            retry_s=1.0,
        ),
    )


def found(host: Host, configuration: Configuration, options: Options) -> None:
    """Give a host the journal of a member: a founder's, or that of one who was told it may join."""
    Journal.create(
        host.disk,
        cluster_id=host.cluster_id,
        member_id=host.member_id,
        configuration=configuration,
        options=journal_options(options),
    ).close()


class Process:
    """See the module."""

    def __init__(
        self,
        host: Host,
        runtime: VirtualRuntime,
        *,
        options: Options,
        network: VirtualNetwork,
        observer: Observer,
        protections_off: frozenset[str],
        stopped: Callable[[StoreError], None],
    ) -> None:
        self.host = host
        self.runtime = runtime
        self.member_id = host.member_id
        self._observer = observer
        snapshots = SnapshotStore(host.snapshot_disk, cluster_id=host.cluster_id)
        self.journal = Journal.open(
            host.disk,
            cluster_id=host.cluster_id,
            member_id=host.member_id,
            options=journal_options(options),
            snapshot=lambda: base_of(snapshots.newest_good()),
        )
        observer.raft.restarted(host.member_id, self.journal.term, self.journal.voted_for)
        machine, places = self._open_state(options)
        self._wire = network.wire(host.member_id, runtime)
        node = Node(
            member_id=host.member_id,
            runtime=runtime,
            journal=self.journal,
            wire=self._wire,
            timing=options.timing,
            applied_index=machine.applied_index,
            protections_off=protections_off,
        )
        self.replica = Replica(
            runtime=runtime,
            member_id=host.member_id,
            machine=machine,
            engine=node,
            places=places,
            options=replica_options(options, protections_off),
            stopped=stopped,
        )
        self.listener = ObservedListener(
            observer,
            self.replica,
            member_id=host.member_id,
            life=host.life,
            log=self.journal,
            delivered=self._delivered,
        )
        self.node = node.listen(self.listener)

    def _open_state(self, options: Options) -> tuple[StateMachine, Places]:
        host = self.host
        scratch = host.folder / "scratch"
        scratch.mkdir(parents=True, exist_ok=True)
        state = StateFolder(
            host.folder / "state",
            cluster_id=host.cluster_id,
            member_id=host.member_id,
            boot_id=lambda: host.boot_id,
            mount_of=lambda folder: "virtual",
        )
        places = Places(SnapshotStore(host.snapshot_disk, cluster_id=host.cluster_id), state, scratch)
        machine, decision = open_state(state, places.snapshots, self.journal, quota_bytes=options.quota_bytes)
        host.schedule.trace(f"{host.name} state rebuilt {decision.rebuild} at {machine.applied_index}")
        return machine, places

    def _delivered(self) -> int:
        """Up to which index entries need not be handed over any more."""
        return max(self.replica.applied_index, self.journal.base_index)

    def start(self) -> None:
        self.replica.start()

    def abandon(self, *, silent: bool) -> None:
        """The process is gone: give back what this one Python process cannot have twice."""
        self._observer.raft.died(self.member_id, self.host.life, self.journal.durable_term)
        self._wire.stop(silent=silent)
        self.runtime.close_opened()

    # --- looked at from outside

    @property
    def alive(self) -> bool:
        return not self.runtime.dead

    @property
    def leading_term(self) -> int:
        return self.listener.leading_term

    @property
    def damaged(self) -> bool:
        return self.journal.damage is not None

    @property
    def knows_nobody(self) -> bool:
        """Damage took even the list of members: it can ask no one for help."""
        return self.damaged and not self.node.status().configuration.members

    # --- Port

    def write(self, command: Command, timeout_s: float, done: Done) -> None:
        if isinstance(command, GrantLease):
            self.runtime.call_soon(lambda: self.replica.lease_grant(command.id, command.ttl, done, timeout_s))
        else:
            self.runtime.call_soon(lambda: self.replica.execute(command, done, timeout_s))

    def read(self, request: Range, timeout_s: float, done: Done) -> None:
        self.runtime.call_soon(lambda: self.replica.range(request, "linearizable", done, timeout_s))

    def read_local(self, request: Range, done: Done) -> None:
        self.runtime.call_soon(lambda: self.replica.range(request, "local", done))

    def keep_alive(self, lease: int, timeout_s: float, done: Done) -> None:
        self.runtime.call_soon(lambda: self.replica.keep_alive(lease, done, timeout_s))

    def add_member(self, member: Member, timeout_s: float, done: Done) -> None:
        self.runtime.call_soon(lambda: self.replica.members.add(member, done, timeout_s))

    def remove_member(self, member_id: int, timeout_s: float, done: Done) -> None:
        self.runtime.call_soon(lambda: self.replica.members.remove(member_id, done, timeout_s))

    def transfer(self, target: int, timeout_s: float, done: Done) -> None:
        self.runtime.call_soon(lambda: self.replica.transfer(target, done, timeout_s))

    def watch(
        self, key: bytes, range_end: bytes, start_revision: int, previous_wanted: bool, sink: WatchSink
    ) -> WatchHandle:
        stream = _Stream(self, sink)
        self.runtime.call_soon(lambda: stream.open(key, range_end, start_revision, previous_wanted))
        return stream


class _Stream:
    """A watch on this process, taken from at the end of the loop turn in which it got ready."""

    def __init__(self, process: Process, sink: WatchSink) -> None:
        self._process = process
        self._sink = sink
        self._watcher: Watcher | None = None
        self._told_progress = 0

    def open(self, key: bytes, range_end: bytes, start_revision: int, previous_wanted: bool) -> None:
        try:
            self._watcher = self._process.replica.hub.watch(
                key, range_end, start_revision=start_revision, prev_kv=previous_wanted, on_ready=self._ready
            )
        except WatchCanceled as error:
            self._sink.canceled(error)
        except StoreError as error:
            self._sink.canceled(WatchCanceled(error.message, resume_revision=start_revision))

    def _ready(self) -> None:
        self._process.runtime.call_soon(self._take)

    def _take(self) -> None:
        if self._watcher is None:
            return
        try:
            events = self._watcher.take()
        except WatchCanceled as error:
            self._watcher = None
            self._sink.canceled(error)
            return
        if events:
            self._sink.events(tuple(map(_watched, events)))

    def request_progress(self) -> None:
        self._process.runtime.call_soon(self._progress)

    def _progress(self) -> None:
        if self._watcher is not None and self._watcher.progress_revision:
            self._sink.progress(self._watcher.progress_revision)

    def cancel(self) -> None:
        self._process.runtime.call_soon(self._cancel)

    def _cancel(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
            self._watcher = None


def _watched(event: Event) -> WatchedEvent:
    value = None if event.type is EventType.DELETE else event.kv.value
    return WatchedEvent(event.kv.mod_revision, event.kv.key, value, event.kv.version, event.prev_kv)
