"""The seam: what the store needs of a consensus engine, and what an engine needs of the world.

`raft/node.py` implements `Engine` on pysyncobj; an engine of another making could stand beside it. The
engine is driven by its `Runtime` alone and is deterministic: same calls, same answers.

Order an engine keeps, whatever happens:
1. `EngineListener.committed` gets every entry exactly once per incarnation, in index order, without a gap,
   starting after the `applied` index the engine was started with (or after an installed snapshot).
2. An entry is handed over only when index <= min(commit index, own durable index).
3. No vote, vote request, acknowledgement or new term leaves before the journal holds it durably.
4. A read index handed out is >= every index committed before `read_index` was called.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from ..errors import StoreError

#: A message between replicas: a msgpack map with a "type".
Message = dict[str, Any]


class Entry(NamedTuple):
    """One log entry. `payload` begins with its kind byte (raftstore/command.py)."""

    payload: bytes
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody calls on an entry
    term: int


class Role(enum.Enum):
    FOLLOWER = "follower"
    CANDIDATE = "candidate"
    LEADER = "leader"
    LEARNER = "learner"
    REMOVED = "removed"


class Member(msgspec.Struct, frozen=True, array_like=True):
    """One replica of the cluster. Identity is `id`; the address may change."""

    id: int
    name: str
    address: str  # host:port of the peer port
    learner: bool = False
    client_address: str = ""  # host:port of the etcd face, "" while unknown


class Configuration(msgspec.Struct, frozen=True, array_like=True):
    """The members as of a log position; kept in the journal and in every snapshot."""

    cluster_id: int
    members: tuple[Member, ...]

    @property
    def voters(self) -> frozenset[int]:
        return frozenset(member.id for member in self.members if not member.learner)

    @property
    def learners(self) -> frozenset[int]:
        return frozenset(member.id for member in self.members if member.learner)

    def member(self, member_id: int) -> Member | None:
        for member in self.members:
            if member.id == member_id:
                return member
        return None


class Status(msgspec.Struct, frozen=True, kw_only=True):
    member_id: int
    role: Role
    term: int
    leader: int  # 0: none known
    commit_index: int
    durable_index: int
    first_index: int
    last_index: int
    configuration: Configuration
    configuration_committed: bool
    match: Mapping[int, int]  # leader only: the index each peer is known to hold
    kinds: frozenset[str]  # command kinds all members announce


class EngineListener(Protocol):
    """What the engine tells the store. Called on the runtime's thread; must not raise."""

    def committed(self, entries: Sequence[Entry]) -> None: ...

    def role_changed(self, role: Role, term: int, leader: int) -> None:
        """Also called when only the known leader or the term changes."""

    def configuration_changed(self, configuration: Configuration, committed: bool) -> None: ...

    def peer_needs_snapshot(self, peer: int) -> None:
        """Leader only: the peer needs entries that are no longer in the journal. May repeat."""

    def peer_connected(self, peer: int) -> None: ...

    def peer_disconnected(self, peer: int) -> None: ...

    def peer_message(self, peer: int, message: Message) -> None:
        """A message of the store's own (its type begins with "store.")."""

    def failed(self, error: StoreError) -> None:
        """The engine stopped for good: damaged disk, removed from the cluster."""


class Engine(Protocol):
    def listen(self, listener: EngineListener) -> Engine:
        """Who is told what happens; once, before `start`. Answers the engine itself."""

    def start(self) -> None: ...

    def stop(self) -> None:
        """Stop at once, without saying good-bye. Idempotent."""

    def propose(self, payload: bytes) -> bool:
        """Append at the leader. False: not the leader, nothing was done. True promises nothing."""

    def read_index(self, done: Callable[[int | None], None]) -> None:
        """Leader only: join the *next* round; `done(index)`, or None when leadership was not confirmed."""

    def change_configuration(self, configuration: Configuration) -> None:
        """Leader only: append a configuration one change away from the present one.

        Raises NotLeader, ChangeInProgress, LastVoter, MembershipError. It is done when `configuration_changed`
        reports it committed.
        """

    def transfer(self, target: int) -> None:
        """Leader only: hand leadership to a voter (0: the most advanced). Raises NotLeader, MemberNotFound."""

    def send(self, peer: int, message: Message) -> bool:
        """A message of the store's own. False: not connected, or its buffer is full."""

    def connected_peers(self) -> frozenset[int]: ...

    def trim(self, index: int, term: int) -> None:
        """A durable snapshot holds everything up to `index`; entries below it may go."""

    def installed(self, index: int, term: int, configuration: Configuration) -> None:
        """The state was replaced by a snapshot at `index`: start the log anew behind it."""

    def status(self) -> Status: ...


class WireListener(Protocol):
    def connected(self, peer: int, kinds: frozenset[str]) -> None:
        """A connection is up in both directions; it replaces any earlier one of that peer."""

    def disconnected(self, peer: int) -> None: ...

    def received(self, peer: int, message: Message) -> None:
        """Messages of one connection arrive in the order sent."""

    def drained(self, peer: int) -> None:
        """The send buffer is below its low mark again."""


class Wire(Protocol):
    """Connections to the other replicas: the real one is raft/transport.py, the simulator has its own."""

    def start(self, listener: WireListener) -> None: ...

    def set_members(self, members: Sequence[Member]) -> None:
        """Whom to connect to and whose certificates to accept. Drops connections to others."""

    def send(self, peer: int, message: Message) -> bool:
        """Queue a message. False: not connected or the buffer is over its bound; nothing was queued."""

    def stop(self) -> None: ...
