"""The in-memory twin of the engine: the same promises, no disk, no elections of its own.

`InMemoryCluster` holds one log and says who leads; each member's `InMemoryEngine` keeps the order that
raft/engine.py promises, on a `Runtime`. Tests of the rooms above the seam run on it: they move leadership,
hold commits back, lose an uncommitted tail, cut connections and drop messages by hand. With one member it
is a whole store that forgets everything when it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..command import KIND_NOOP
from ..errors import ChangeInProgress, LastVoter, MemberNotFound, NotLeader
from ..runtime import Runtime
from .engine import Configuration, EngineListener, Entry, Member, Message, Role, Status

MESSAGE_LOSS_NONE: Callable[[int, int, Message], bool] = lambda source, target, message: False  # noqa: E731


class InMemoryCluster:
    """One log, shared; index 1 is the core's own no-op, as in a fresh journal."""

    def __init__(self, runtime: Runtime, member_ids: Sequence[int] = (1,), *, kinds: frozenset[str]) -> None:
        self.runtime = runtime
        self.kinds = kinds
        self.entries: list[Entry] = [Entry(bytes((KIND_NOOP,)), 1, 0)]
        self.commit_index = 1
        self.term = 0
        self.leader = 0
        self.hold_commits = False
        self.lose = MESSAGE_LOSS_NONE
        self.cut: set[int] = set()  # members without connections
        members = tuple(Member(member_id, f"m{member_id}", f"127.0.0.1:{member_id}") for member_id in member_ids)
        self.configuration = Configuration(1, members)
        self.engines = {member_id: InMemoryEngine(self, member_id) for member_id in member_ids}

    def elect(self, member_id: int, *, lose_tail: bool = False) -> None:
        """Make one member the leader of the next term; 0 leaves the cluster without one."""
        if lose_tail:
            del self.entries[self.commit_index :]
        self.term += 1
        self.leader = member_id
        if member_id:
            self.entries.append(Entry(bytes((KIND_NOOP,)), len(self.entries) + 1, self.term))
        for engine in self.engines.values():
            engine.tell_role()
        self.commit()

    def commit(self) -> None:
        """Commit everything there is, unless commits are held back."""
        if not self.hold_commits:
            self.commit_index = len(self.entries)
        for engine in self.engines.values():
            engine.deliver_soon()

    def reachable(self, one: int, other: int) -> bool:
        return one not in self.cut and other not in self.cut and other in self.engines


class InMemoryEngine:
    def __init__(self, cluster: InMemoryCluster, member_id: int) -> None:
        self._cluster = cluster
        self._runtime = cluster.runtime
        self.member_id = member_id
        self.applied = 1
        self.trimmed: list[tuple[int, int]] = []
        self.transfers: list[int] = []
        self.rounds_asked = 0
        self.hold_rounds = False
        self.hold_delivery = False
        self._rounds: list[Callable[[int | None], None]] = []
        self._listener: EngineListener | None = None
        self._running = False
        self._delivery_due = False

    def listen(self, listener: EngineListener) -> InMemoryEngine:
        self._listener = listener
        return self

    def start(self) -> None:
        self._running = True
        self.tell_role()
        self.deliver_soon()

    def stop(self) -> None:
        self._running = False

    @property
    def is_leader(self) -> bool:
        return self._running and self._cluster.leader == self.member_id

    def propose(self, payload: bytes) -> bool:
        if not self.is_leader:
            return False
        cluster = self._cluster
        cluster.entries.append(Entry(payload, len(cluster.entries) + 1, cluster.term))
        self._runtime.call_soon(cluster.commit)
        return True

    def read_index(self, done: Callable[[int | None], None]) -> None:
        self.rounds_asked += 1
        self._rounds.append(done)
        if not self.hold_rounds:
            self._runtime.call_soon(self.confirm_rounds)

    def confirm_rounds(self) -> None:
        """End the rounds that were asked for: confirmed when this member still leads."""
        rounds, self._rounds = self._rounds, []
        index = self._cluster.commit_index if self.is_leader and self.member_id not in self._cluster.cut else None
        for done in rounds:
            done(index)

    def change_configuration(self, configuration: Configuration) -> None:
        cluster = self._cluster
        if not self.is_leader:
            raise NotLeader("only the leader changes the configuration")
        if not configuration.voters:
            raise LastVoter("the last voter cannot be removed")
        if cluster.hold_commits:
            raise ChangeInProgress("a membership change is not committed yet")
        cluster.configuration = configuration
        for engine in cluster.engines.values():
            engine.tell_configuration()

    def transfer(self, target: int) -> None:
        if not self.is_leader:
            raise NotLeader("only the leader hands leadership over")
        others = sorted(self._cluster.configuration.voters - {self.member_id})
        if target and target not in others:
            raise MemberNotFound(f"no voter {target}")
        self.transfers.append(target)
        if others:
            chosen = target or others[0]
            self._runtime.call_soon(lambda: self._cluster.elect(chosen))

    def send(self, peer: int, message: Message) -> bool:
        if not self._running or not self._cluster.reachable(self.member_id, peer):
            return False
        if not self._cluster.lose(self.member_id, peer, message):
            target = self._cluster.engines[peer]
            self._runtime.call_soon(lambda: target.receive(self.member_id, message))
        return True

    def connected_peers(self) -> frozenset[int]:
        peers = self._cluster.engines.keys() - {self.member_id}
        return frozenset(peer for peer in peers if self._cluster.reachable(self.member_id, peer))

    def trim(self, index: int, term: int) -> None:
        self.trimmed.append((index, term))

    def installed(self, index: int, term: int, configuration: Configuration) -> None:
        self.applied = index
        self.deliver_soon()

    def status(self) -> Status:
        cluster = self._cluster
        return Status(
            member_id=self.member_id,
            role=self._role(),
            term=cluster.term,
            leader=cluster.leader,
            commit_index=cluster.commit_index,
            durable_index=len(cluster.entries),
            first_index=1,
            last_index=len(cluster.entries),
            configuration=cluster.configuration,
            configuration_committed=True,
            match={peer: engine.applied for peer, engine in cluster.engines.items() if peer != self.member_id},
            kinds=cluster.kinds,
        )

    # --- what the cluster does to its members -------------------------------------------------------

    def _role(self) -> Role:
        if self._cluster.leader == self.member_id:
            return Role.LEADER
        return Role.LEARNER if self.member_id in self._cluster.configuration.learners else Role.FOLLOWER

    def tell_role(self) -> None:
        if self._running and self._listener is not None:
            self._listener.role_changed(self._role(), self._cluster.term, self._cluster.leader)

    def tell_configuration(self) -> None:
        if self._running and self._listener is not None:
            self._listener.configuration_changed(self._cluster.configuration, True)

    def tell_snapshot_needed(self, peer: int) -> None:
        if self._listener is not None:
            self._listener.peer_needs_snapshot(peer)

    def deliver_soon(self) -> None:
        if not self._delivery_due:
            self._delivery_due = True
            self._runtime.call_soon(self._deliver)

    def _deliver(self) -> None:
        self._delivery_due = False
        if not self._running or self.hold_delivery or self._listener is None:
            return
        entries = self._cluster.entries[self.applied : self._cluster.commit_index]
        if entries:
            self.applied = entries[-1].index
            self._listener.committed(entries)

    def receive(self, peer: int, message: Message) -> None:
        if self._running and self._listener is not None:
            self._listener.peer_message(peer, message)
