"""Virtual connections between replicas: what TCP does to messages, and on request what it cannot do.

Between two replicas there is at most one live connection, with one ordered channel each way. A channel
may stall (a one-way partition: the bytes wait and arrive late, as TCP re-sends them), a connection may
break (what is in flight is lost, and the two ends learn of it at different times), and a send buffer may
be full. Duplication and reordering of messages, which no TCP does, are a mode of their own. Every message
is encoded when sent and decoded when delivered, so replicas share nothing by reference.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Sequence

import msgspec

from ..command import COMMAND_TAGS_V1
from ..raft.engine import Member, Message, WireListener
from ..raft.frames import decode_body, encode
from .runtime import VirtualRuntime
from .schedule import Schedule

CONNECT_RETRY_S_MAX = 0.6
STALL_BREAKS_AFTER_S = 3.4  # a stall longer than this ends the connection, as keep-alives would


class NetworkOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Latency is drawn around `latency_s` with a tail; rates are per message."""

    latency_s: float = 0.002
    tail_rate: float = 0.01
    tail_s: float = 0.3
    duplicate_rate: float = 0.0
    reorder_rate: float = 0.0
    buffer_bytes_max: int = 4 * 1024 * 1024


class _Channel:
    """One direction of a connection."""

    __slots__ = ("buffered_bytes", "cut_at_s", "full", "last_delivery_s")

    def __init__(self) -> None:
        self.last_delivery_s = 0.0
        self.cut_at_s = float("inf")
        self.buffered_bytes = 0
        self.full = False


class _Connection:
    """`up` holds the ends that believe it is up, by member id."""

    __slots__ = ("broken", "channels", "ends", "up")

    def __init__(self, first: VirtualWire, second: VirtualWire) -> None:
        self.ends = {first.member_id: first, second.member_id: second}
        self.channels = {first.member_id: _Channel(), second.member_id: _Channel()}
        self.up: set[int] = set()
        self.broken = False


_FRAME_HEADER_BYTES = 5


class VirtualNetwork:
    """All wires of one world, by member id. Faults are called from `faults`, never from a replica."""

    def __init__(self, schedule: Schedule, rng: random.Random, options: NetworkOptions) -> None:
        self.options = options
        self.messages_delivered = 0
        self.on_message: Callable[[int, int, Message], None] | None = None  # looks on
        self._schedule = schedule
        self._rng = rng
        self._wires: dict[int, VirtualWire] = {}
        self._connections: dict[tuple[int, int], _Connection] = {}
        self._attempts: set[tuple[int, int]] = set()
        self._stalled_until_s: dict[tuple[int, int], float] = {}
        self._unruly = options.duplicate_rate > 0 or options.reorder_rate > 0

    def wire(self, member_id: int, runtime: VirtualRuntime, *, kinds: frozenset[str] = COMMAND_TAGS_V1) -> VirtualWire:
        """The wire of a new incarnation of a member."""
        return VirtualWire(self, member_id, runtime, kinds)

    # --- faults

    def stall(self, source: int, target: int, duration_s: float) -> None:
        """Nothing from `source` reaches `target` for a while; a long stall breaks the connection."""
        until_s = self._schedule.now_s + duration_s
        self._stalled_until_s[source, target] = max(self._stalled_until_s.get((source, target), 0.0), until_s)
        self._schedule.trace(f"stall {source}->{target} {duration_s:.3f}")
        if duration_s > STALL_BREAKS_AFTER_S:
            self._schedule.after(STALL_BREAKS_AFTER_S, lambda: self.break_connection(source, target, hard=True))

    def stalled(self, source: int, target: int) -> bool:
        return self._stalled_until_s.get((source, target), 0.0) > self._schedule.now_s

    def break_connection(self, first: int, second: int, *, hard: bool = False) -> None:
        """The connection ends; with `hard` everything in flight is lost, else some of it still arrives."""
        pair = _pair(first, second)
        connection = self._connections.pop(pair, None)
        if connection is None:
            return
        self._schedule.trace(f"break {pair[0]}-{pair[1]}")
        connection.broken = True
        now_s = self._schedule.now_s
        for member_id, channel in connection.channels.items():
            in_flight_s = 0.0 if hard else self._rng.random() * 2 * self.options.latency_s
            channel.cut_at_s = now_s + in_flight_s
            self._end_sees_break(connection, member_id, in_flight_s + self._rng.random() * 0.3)
        self._attempt_later(pair, 0.02 + self._rng.random() * CONNECT_RETRY_S_MAX)

    def heal(self) -> None:
        """No more stalls, stragglers and unruly messages."""
        self._schedule.trace("network healed")
        self.options = msgspec.structs.replace(self.options, tail_rate=0.0)
        self._stalled_until_s.clear()
        self._unruly = False

    def connected(self, first: int, second: int) -> bool:
        return _pair(first, second) in self._connections

    # --- wires

    def attach(self, wire: VirtualWire) -> None:
        self._wires[wire.member_id] = wire

    def detach(self, wire: VirtualWire, *, silent: bool = False) -> None:
        """The wire's process ended. `silent`: a power loss, so peers hear nothing until their keep-alives fail."""
        if self._wires.get(wire.member_id) is wire:
            del self._wires[wire.member_id]
        for pair, connection in list(self._connections.items()):
            if connection.ends.get(wire.member_id) is not wire:
                continue
            if silent:
                self._lose_peer(pair, connection, wire.member_id)
            else:
                self.break_connection(*pair)

    def _lose_peer(self, pair: tuple[int, int], connection: _Connection, lost: int) -> None:
        channel = connection.channels[lost]
        channel.cut_at_s = min(channel.cut_at_s, self._schedule.now_s + self.options.latency_s)
        delay_s = STALL_BREAKS_AFTER_S * self._rng.random()
        self._schedule.after(delay_s, lambda: self._break_if_live(pair, connection))

    def _break_if_live(self, pair: tuple[int, int], connection: _Connection) -> None:
        if self._connections.get(pair) is connection:
            self.break_connection(*pair, hard=True)

    def members_changed(self, wire: VirtualWire) -> None:
        """Drop connections to strangers and try the others."""
        for pair, connection in list(self._connections.items()):
            if wire.member_id in connection.ends:
                other = pair[0] if pair[1] == wire.member_id else pair[1]
                if other not in wire.peers:
                    self.break_connection(*pair)
        for peer in sorted(wire.peers):
            self._attempt_later(_pair(wire.member_id, peer), self._rng.random() * 0.05)

    def _attempt_later(self, pair: tuple[int, int], delay_s: float) -> None:
        if pair in self._attempts:
            return
        self._attempts.add(pair)
        self._schedule.after(delay_s, lambda: self._attempt(pair))

    def _attempt(self, pair: tuple[int, int]) -> None:
        self._attempts.discard(pair)
        first, second = (self._wires.get(member_id) for member_id in pair)
        wanting = [w for w in (first, second) if w is not None and (pair[0] + pair[1] - w.member_id) in w.peers]
        if not wanting or self._connected_live(pair, first, second):
            return
        refused = first is None or second is None or len(wanting) < 2
        if refused or self.stalled(*pair) or self.stalled(pair[1], pair[0]):
            self._attempt_later(pair, CONNECT_RETRY_S_MAX * (0.3 + 0.7 * self._rng.random()))
            return
        assert first is not None
        assert second is not None
        self._connect(pair, first, second)

    def _connected_live(self, pair: tuple[int, int], first: VirtualWire | None, second: VirtualWire | None) -> bool:
        connection = self._connections.get(pair)
        if connection is None:
            return False
        if connection.ends[pair[0]] is first and connection.ends[pair[1]] is second:
            return True
        self.break_connection(*pair, hard=True)  # one end is an incarnation that is no more
        return True

    def _connect(self, pair: tuple[int, int], first: VirtualWire, second: VirtualWire) -> None:
        connection = self._connections[pair] = _Connection(first, second)
        self._schedule.trace(f"connect {pair[0]}-{pair[1]}")
        ends = [first, second] if self._rng.random() < 0.5 else [second, first]
        for position, wire in enumerate(ends):
            self._bring_up(connection, pair, wire, position * self._latency_s())

    def _bring_up(self, connection: _Connection, pair: tuple[int, int], wire: VirtualWire, delay_s: float) -> None:
        """What the other end sends the moment it is up must not overtake this end's own `connected`."""
        connection.channels[_other(pair, wire.member_id)].last_delivery_s = self._schedule.now_s + delay_s
        self._schedule.after(delay_s, lambda: wire.runtime.dispatch(lambda: wire.end_up(connection, pair)))

    def _end_sees_break(self, connection: _Connection, member_id: int, delay_s: float) -> None:
        wire = connection.ends[member_id]
        peer = next(other for other in connection.ends if other != member_id)
        self._schedule.after(delay_s, lambda: wire.runtime.dispatch(lambda: wire.end_down(connection, peer)))

    # --- messages

    def _latency_s(self) -> float:
        latency_s = self.options.latency_s * (0.5 + self._rng.random())
        if self._rng.random() < self.options.tail_rate:
            latency_s += self._rng.random() * self.options.tail_s
        return latency_s

    def transmit(self, connection: _Connection, source: int, target: int, message: Message) -> bool:
        """Queue a message on a channel. False when its buffer is over the bound."""
        channel = connection.channels[source]
        if channel.buffered_bytes >= self.options.buffer_bytes_max:
            channel.full = True
            return False
        if self.on_message is not None:
            self.on_message(source, target, message)
        frame = encode(message)
        channel.buffered_bytes += len(frame)
        now_s = self._schedule.now_s
        arrival_s = now_s + self._latency_s()
        if self._unruly and self._rng.random() < self.options.reorder_rate:
            arrival_s = max(arrival_s + self._rng.random() * 1.5, channel.last_delivery_s)
        else:
            arrival_s = channel.last_delivery_s = max(arrival_s, channel.last_delivery_s)
        self._deliver_at(arrival_s, connection, source, target, frame, len(frame))
        if self._unruly and self._rng.random() < self.options.duplicate_rate:
            self._deliver_at(arrival_s + self._rng.random() * 1.5, connection, source, target, frame, 0)
        return True

    def _deliver_at(
        self, when_s: float, connection: _Connection, source: int, target: int, frame: bytes, charge: int
    ) -> None:
        self._schedule.at(when_s, lambda: self._arrive(connection, source, target, frame, charge))

    def _arrive(self, connection: _Connection, source: int, target: int, frame: bytes, charge: int) -> None:
        channel = connection.channels[source]
        if channel.cut_at_s < self._schedule.now_s:
            return
        stalled_until_s = self._stalled_until_s.get((source, target), 0.0)
        if stalled_until_s > self._schedule.now_s:
            channel.last_delivery_s = max(channel.last_delivery_s, stalled_until_s)
            self._deliver_at(stalled_until_s, connection, source, target, frame, charge)
            return
        wire = connection.ends[target]
        wire.runtime.dispatch(lambda: self._read(connection, channel, wire, source, frame, charge))

    def _read(
        self, connection: _Connection, channel: _Channel, wire: VirtualWire, source: int, frame: bytes, charge: int
    ) -> None:
        """The target's process takes the frame out of its socket (later than it arrived, when it was paused)."""
        channel.buffered_bytes -= charge
        if channel.full and channel.buffered_bytes * 2 < self.options.buffer_bytes_max:
            channel.full = False
            sender = connection.ends[source]
            sender.runtime.call_soon(lambda: sender.end_drained(connection, wire.member_id))
        self.messages_delivered += 1
        self._schedule.trace(f"deliver {source}->{wire.member_id} {len(frame)} {zlib.crc32(frame):08x}")
        wire.end_received(connection, source, frame)


class VirtualWire:
    """The `Wire` of one process."""

    def __init__(self, network: VirtualNetwork, member_id: int, runtime: VirtualRuntime, kinds: frozenset[str]) -> None:
        self.member_id = member_id
        self.runtime = runtime
        self.peers: frozenset[int] = frozenset()
        self._network = network
        self._kinds = kinds
        self._listener: WireListener | None = None
        self._connections: dict[int, _Connection] = {}

    @property
    def kinds(self) -> frozenset[str]:
        return self._kinds

    # --- Wire

    def start(self, listener: WireListener) -> None:
        self._listener = listener
        self._network.attach(self)
        self._network.members_changed(self)

    def set_members(self, members: Sequence[Member]) -> None:
        self.peers = frozenset(member.id for member in members) - {self.member_id}
        if self._listener is None:
            return
        for peer in sorted(self._connections.keys() - self.peers):
            self._down_soon(self._connections[peer], peer)
        self._network.members_changed(self)

    def _down_soon(self, connection: _Connection, peer: int) -> None:
        self.runtime.call_soon(lambda: self.end_down(connection, peer))

    def send(self, peer: int, message: Message) -> bool:
        connection = self._connections.get(peer)
        if connection is None or self.runtime.dead:
            return False
        return self._network.transmit(connection, self.member_id, peer, message)

    def stop(self, *, silent: bool = False) -> None:
        self._listener = None
        self._connections.clear()
        self._network.detach(self, silent=silent)

    # --- called by the network, inside the process

    def end_up(self, connection: _Connection, pair: tuple[int, int]) -> None:
        peer = _other(pair, self.member_id)
        if self._listener is None or connection.broken:
            return
        self._connections[peer] = connection
        connection.up.add(self.member_id)
        self._listener.connected(peer, connection.ends[peer].kinds)

    def end_down(self, connection: _Connection, peer: int) -> None:
        if self._connections.get(peer) is not connection:
            return  # replaced by a newer connection, or never seen up
        del self._connections[peer]
        if self._listener is not None:
            self._listener.disconnected(peer)

    def end_received(self, connection: _Connection, source: int, frame: bytes) -> None:
        if self._listener is not None and self._connections.get(source) is connection and source in self.peers:
            self._listener.received(source, decode_body(memoryview(frame)[_FRAME_HEADER_BYTES:]))

    def end_drained(self, connection: _Connection, peer: int) -> None:
        if self._listener is not None and self._connections.get(peer) is connection:
            self._listener.drained(peer)


def _pair(first: int, second: int) -> tuple[int, int]:
    return (first, second) if first < second else (second, first)


def _other(pair: tuple[int, int], member_id: int) -> int:
    return pair[1] if pair[0] == member_id else pair[0]
