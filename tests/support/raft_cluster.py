"""Whole Raft clusters on one fake clock: real nodes, real journals, a network that tests control by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgpack
from fake_runtime import FakeRuntime

from raftstore.command import COMMAND_TAGS_V1, KIND_BATCH
from raftstore.disk import RealDisk
from raftstore.errors import StoreError
from raftstore.limits import Timing
from raftstore.raft.engine import Configuration, Entry, Member, Message, Role, WireListener
from raftstore.raft.journal import Journal
from raftstore.raft.node import Node

CLUSTER_ID = 77


class LaneRuntime:
    """The cluster's clock with lanes per member, so that a test can hold back one member's disk."""

    def __init__(self, shared: FakeRuntime, member_id: int) -> None:
        self._shared = shared
        self.now, self.wall, self.random = shared.now, shared.wall, shared.random
        self.random_id, self.call_soon, self.call_at = shared.random_id, shared.call_soon, shared.call_at
        self.report = shared.report
        self._member_id = member_id

    def run_blocking(self, lane: str, work: Callable[[], object], done: Callable[..., None]) -> None:
        self._shared.run_blocking(f"{lane}-{self._member_id}", work, done)


class FakeNetwork:
    """Instant, ordered delivery between members that are up and not cut; a test may drop or keep messages."""

    def __init__(self, runtime: FakeRuntime) -> None:
        self.runtime = runtime
        self.wires: dict[int, FakeWire] = {}
        self.cut: set[frozenset[int]] = set()
        self.drop: Callable[[int, int, Message], bool] = lambda source, target, message: False
        self.log: list[tuple[int, int, Message]] = []

    def linked(self, one: int, other: int) -> bool:
        ends = self.wires.get(one), self.wires.get(other)
        return all(ends) and frozenset((one, other)) not in self.cut

    def join(self, wire: FakeWire) -> None:
        self.wires[wire.member_id] = wire
        for other in list(self.wires):
            if other != wire.member_id and self.linked(wire.member_id, other):
                self._connect(wire.member_id, other)

    def leave(self, member_id: int) -> None:
        self.wires.pop(member_id)
        for wire in self.wires.values():
            wire.listener.disconnected(member_id)

    def separate(self, *members: int) -> None:
        """Cut `members` off from everybody else; both sides notice."""
        for one in members:
            for other in list(self.wires):
                if other not in members and one in self.wires:
                    self.cut.add(frozenset((one, other)))
                    self.wires[one].listener.disconnected(other)
                    self.wires[other].listener.disconnected(one)

    def heal(self) -> None:
        healed, self.cut = self.cut, set()
        for one, other in map(sorted, healed):
            if self.linked(one, other):
                self._connect(one, other)

    def _connect(self, one: int, other: int) -> None:
        self.wires[one].listener.connected(other, COMMAND_TAGS_V1)
        self.wires[other].listener.connected(one, COMMAND_TAGS_V1)

    def send(self, source: int, target: int, message: Message) -> bool:
        if not self.linked(source, target):
            return False
        self.log.append((source, target, message))
        if not self.drop(source, target, message):
            copied = msgpack.unpackb(msgpack.packb(message))  # as on a wire: nothing is shared
            self.runtime.call_soon(lambda: self._deliver(source, target, copied))
        return True

    def _deliver(self, source: int, target: int, message: Message) -> None:
        if self.linked(source, target):
            self.wires[target].listener.received(source, message)


class FakeWire:
    def __init__(self, network: FakeNetwork, member_id: int) -> None:
        self.network = network
        self.member_id = member_id
        self.listener: WireListener
        self.members: Sequence[Member] = ()

    def start(self, listener: WireListener) -> None:
        self.listener = listener
        self.network.join(self)

    def set_members(self, members: Sequence[Member]) -> None:
        self.members = members

    def send(self, peer: int, message: Message) -> bool:
        return self.network.send(self.member_id, peer, message)

    def stop(self) -> None:
        if self.network.wires.get(self.member_id) is self:
            self.network.leave(self.member_id)


class Recorder:
    """A listener that keeps everything it is told."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.roles: list[tuple[Role, int, int]] = []
        self.snapshots_wanted: list[int] = []
        self.configurations: list[tuple[Configuration, bool]] = []
        self.failures: list[StoreError] = []
        self.messages: list[tuple[int, Message]] = []

    def committed(self, entries: Sequence[Entry]) -> None:
        self.entries.extend(entries)

    def role_changed(self, role: Role, term: int, leader: int) -> None:
        self.roles.append((role, term, leader))

    def configuration_changed(self, configuration: Configuration, committed: bool) -> None:
        self.configurations.append((configuration, committed))

    def peer_needs_snapshot(self, peer: int) -> None:
        self.snapshots_wanted.append(peer)

    def peer_connected(self, peer: int) -> None: ...

    def peer_disconnected(self, peer: int) -> None: ...

    def peer_message(self, peer: int, message: Message) -> None:
        self.messages.append((peer, message))

    def failed(self, error: StoreError) -> None:
        self.failures.append(error)

    @property
    def values(self) -> list[bytes]:
        return [entry.payload[2:] for entry in self.entries if entry.payload[0] == KIND_BATCH]


def member(member_id: int, *, learner: bool = False) -> Member:
    return Member(member_id, f"n{member_id}", f"127.0.0.1:{member_id}", learner)


def value(text: str) -> bytes:
    """A batch entry of no meaning to anybody but the test."""
    return bytes((KIND_BATCH, 1)) + text.encode()


class RaftCluster:
    """Members 1..n; kill and start them, cut them off, look at what each was handed."""

    def __init__(self, folder: Path, size: int, *, off: Iterable[str] = (), timing: Timing | None = None) -> None:
        self.folder = folder
        self.runtime = FakeRuntime()
        self.network = FakeNetwork(self.runtime)
        self.off = frozenset(off)
        self.timing = timing or Timing()
        self.nodes: dict[int, Node] = {}
        self.journals: dict[int, Journal] = {}
        self.recorders: dict[int, Recorder] = {}
        configuration = Configuration(CLUSTER_ID, tuple(member(number) for number in range(1, size + 1)))
        for number in range(1, size + 1):
            self.found(number, configuration)
            self.start(number)
        self.runtime.run()

    def found(self, member_id: int, configuration: Configuration) -> None:
        disk = RealDisk(self.folder / str(member_id))
        Journal.create(disk, cluster_id=CLUSTER_ID, member_id=member_id, configuration=configuration).close()

    def start(self, member_id: int) -> Node:
        disk = RealDisk(self.folder / str(member_id))
        journal = Journal.open(disk, cluster_id=CLUSTER_ID, member_id=member_id)
        recorder = Recorder()
        node = Node(
            member_id=member_id,
            runtime=LaneRuntime(self.runtime, member_id),
            journal=journal,
            wire=FakeWire(self.network, member_id),
            timing=self.timing,
            protections_off=self.off,
        )
        self.nodes[member_id], self.journals[member_id], self.recorders[member_id] = node, journal, recorder
        node.listen(recorder).start()
        return node

    def kill(self, member_id: int) -> None:
        self.nodes.pop(member_id).stop()
        self.journals.pop(member_id).close()

    def close(self) -> None:
        for member_id in list(self.nodes):
            self.kill(member_id)

    def run(self, seconds: float = 0.0) -> None:
        self.runtime.advance(seconds) if seconds else self.runtime.run()

    def leader(self, within_s: float = 10.0) -> Node:
        """Wait until exactly one node of the newest term leads."""
        for _ in range(int(within_s / 0.05)):
            leading = [node for node in self.nodes.values() if node.status().role is Role.LEADER]
            if leading:
                newest = max(leading, key=lambda node: node.status().term)
                if newest.status().term == max(node.status().term for node in self.nodes.values()):
                    return newest
            self.run(0.05)
        raise AssertionError(f"no leader: {[node.status() for node in self.nodes.values()]}")

    def followers(self) -> list[Node]:
        leader = self.leader()
        return [node for node in self.nodes.values() if node is not leader]

    def propose(self, text: str) -> None:
        assert self.leader().propose(value(text))

    def id_of(self, node: Node) -> int:
        return node.status().member_id
