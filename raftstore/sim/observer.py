"""Where the product is looked at: what is delivered, applied and sent reaches the truth and the checkers.

Nothing here changes what the product does. `ObservedListener` stands between an engine and its replica;
`watching_machines` wraps the state machine's class for the length of a run, for a replica makes itself a
new machine when it installs a snapshot.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..command import KIND_BATCH, RevokeLease, decode_batch
from ..errors import StoreError
from ..mvcc.machine import StateMachine
from ..mvcc.outcome import Applied
from ..raft.engine import Configuration, EngineListener, Entry, Message, Role
from .checkers import Violation
from .checkers.leases import Expiry
from .checkers.raft import LogView, RaftChecker
from .runtime import running
from .schedule import Schedule
from .truth import Contradiction, Truth


class Observer:
    """What is seen of all replicas of a run."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.truth = Truth()
        self.violations: list[Violation] = []
        self.expiries: list[Expiry] = []
        self.raft = RaftChecker(self.truth, self._now_s, self.report)

    def _now_s(self) -> float:
        return self.schedule.now_s

    def report(self, violation: Violation) -> None:
        self.schedule.trace(f"VIOLATION {violation}")
        self.violations.append(violation)

    def note_new_entry(self, entry: Entry) -> None:
        """An entry that no replica had delivered before."""
        if entry.payload[0] != KIND_BATCH:
            return
        for request in decode_batch(entry.payload):
            if isinstance(request.command, RevokeLease) and request.command.expired:
                self.expiries.append(Expiry(request.command.id, self.schedule.now_s))

    def applied(self, machine: StateMachine, entries: Sequence[Entry], applied: Applied) -> None:
        """A state machine of some replica took `entries`."""
        process = running()
        member = process.owner if process is not None else 0
        truth = self.truth
        try:
            truth.events_applied(member, applied.events, self.schedule.now_s)
            for entry in entries:
                digest = machine.digests.at(entry[1])
                if digest is not None:
                    truth.digest_seen(member, entry[1], digest)
        except Contradiction as contradiction:
            self.report(Violation("equal states", str(contradiction), self.schedule.now_s))
        truth.compact_revision = max(truth.compact_revision, machine.compact_revision)

    def sent(self, source: int, target: int, message: Message) -> None:
        """A replica put this on the wire: what it promises must be durable already."""
        kind = message["type"]
        if kind == "vote_given":
            self.raft.showed_vote(source, message["term"], target)
        elif kind == "vote":
            self.raft.showed_vote(source, message["term"], source)
        if kind in ("vote_given", "vote", "ack", "append", "contact", "read_pong"):
            self.raft.showed_term(source, message["term"])

    @contextmanager
    def watching_machines(self) -> Iterator[None]:
        original: Callable[[StateMachine, Sequence[Entry]], Applied] = StateMachine.apply
        original_init = StateMachine.__init__
        thread = threading.get_ident()  # machines of real replicas on other threads are not of this run

        def apply(machine: StateMachine, entries: Sequence[Entry]) -> Applied:
            applied = original(machine, entries)
            if threading.get_ident() == thread:
                self.applied(machine, entries, applied)
            return applied

        def init(machine: StateMachine, *arguments: Any, **named: Any) -> None:
            original_init(machine, *arguments, **named)
            process = running()
            if process is not None:
                process.opened.append(machine)

        StateMachine.__init__ = init  # type: ignore[assignment, method-assign]  # undone below
        StateMachine.apply = apply  # type: ignore[assignment, method-assign]  # undone below
        try:
            yield
        finally:
            StateMachine.__init__ = original_init  # type: ignore[method-assign]
            StateMachine.apply = original  # type: ignore[assignment, method-assign]


class ObservedListener:
    """An `EngineListener` that tells the observer and passes everything on."""

    def __init__(
        self,
        observer: Observer,
        listener: EngineListener,
        *,
        member_id: int,
        life: int,
        log: LogView,
        delivered: Callable[[], int],
    ) -> None:
        self._observer = observer
        self._listener = listener
        self._member_id = member_id
        self._life = life
        self._log = log
        self._delivered = delivered
        self._last_delivered = 0
        self.leading_term = 0
        self.role = Role.FOLLOWER

    def committed(self, entries: Sequence[Entry]) -> None:
        before = max(self._last_delivered, self._delivered())
        for entry in self._observer.raft.applied(self._member_id, entries, before, self._log.term):
            self._observer.note_new_entry(entry)
        self._last_delivered = entries[-1].index
        self._listener.committed(entries)

    def role_changed(self, role: Role, term: int, leader: int) -> None:
        self._observer.schedule.trace(f"{self._member_id} is {role.value} in term {term}, leader {leader}")
        self.role = role
        self.leading_term = term if role is Role.LEADER else 0
        if role is Role.LEADER:
            self._observer.raft.became_leader(self._member_id, self._life, term, self._log)
        self._listener.role_changed(role, term, leader)

    def configuration_changed(self, configuration: Configuration, committed: bool) -> None:
        members = [(member.id, member.learner) for member in configuration.members]
        self._observer.schedule.trace(f"{self._member_id} configuration {members} {'committed' if committed else ''}")
        self._listener.configuration_changed(configuration, committed)

    def peer_needs_snapshot(self, peer: int) -> None:
        self._listener.peer_needs_snapshot(peer)

    def peer_connected(self, peer: int) -> None:
        self._listener.peer_connected(peer)

    def peer_disconnected(self, peer: int) -> None:
        self._listener.peer_disconnected(peer)

    def peer_message(self, peer: int, message: Message) -> None:
        self._listener.peer_message(peer, message)

    def failed(self, error: StoreError) -> None:
        self._observer.schedule.trace(f"{self._member_id} failed {type(error).__name__}: {error.message}")
        self.leading_term = 0
        self._listener.failed(error)
