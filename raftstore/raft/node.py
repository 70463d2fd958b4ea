"""The engine on pysyncobj: one replica of the Raft log, driven by its runtime.

Inputs (a message, a proposal, a finished fsync, a timer) are handled at once; then one *step* of the pump
lets the core decide, sends what may leave, hands committed entries over and starts the next fsync. No
polling: the only timers are the heartbeat of a leader and the election timeout of the others.

What must always hold is listed in engine.py; every rule that keeps it is in guard.py.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from ..command import KIND_CONFIGURATION
from ..errors import (
    InvalidRequest,
    NotLeader,
    Removed,
    StateDamaged,
    StoreError,
)
from ..limits import Timing
from ..runtime import Runtime, Timer
from .configuration import encode_configuration
from .configuring import Configuring
from .context import Context
from .core import Core
from .election import Election
from .engine import Configuration, EngineListener, Message, Role, Status, Wire
from .follower import Follower
from .guard import Guard
from .journal import Journal
from .leader import Leader
from .messages import well_formed
from .reads import Done
from .repair import beyond_repair
from .syncing import Syncing

_log = logging.getLogger(__name__)

#: Messages after which the core has nothing to decide.
_ASKS_NO_CORE = frozenset({"read_ping", "read_pong"})
#: Steps in one go before other work of the event loop gets its turn.
_STEPS_MAX = 8
#: Committed entries handed over in one step.
_DELIVERY_ENTRIES_MAX = 256
_DELIVERY_BYTES_MAX = 2 * 1024 * 1024
#: The core's heartbeat is due strictly after its period.
_TICK_S = 0.001


class Node:
    """`Engine` on pysyncobj. `applied_index` is what the state machine holds already."""

    def __init__(
        self,
        *,
        member_id: int,
        runtime: Runtime,
        journal: Journal,
        wire: Wire,
        timing: Timing | None = None,
        applied_index: int = 0,
        protections_off: Iterable[str] = (),
    ) -> None:
        self._runtime = runtime
        self._journal = journal
        self._wire = wire
        self._listener: EngineListener
        context = self._context = Context(
            member_id=member_id,
            runtime=runtime,
            journal=journal,
            wire=wire,
            guard=Guard(protections_off),
            timing=timing or Timing(),
        )
        self._applied_at_start = applied_index
        self._election = Election(context)
        self._leader = Leader(context, self._election)
        self._follower = Follower(context, self._election)
        self._configuring = Configuring(context, wire)
        self._syncing = Syncing(context, done=self._synced, make_way=self._make_way, failed=self._fail)
        self._handlers: dict[str, Callable[[int, Message], None]] = {
            "append": self._follower.on_append,
            "contact": self._follower.on_contact,
            "ack": self._leader.on_ack,
            "vote": self._election.on_vote,
            "vote_given": self._election.on_vote_given,
            "prevote": self._election.on_prevote,
            "prevote_reply": self._election.on_prevote_reply,
            "timeout_now": self._election.on_timeout_now,
            "members": lambda peer, message: self._configuring.heard(message),
            "read_ping": self._on_read_ping,
            "read_pong": self._leader.on_read_pong,
        }
        self._leading_term = 0  # 0: not leading
        self._shown: tuple[Role, int, int] | None = None
        self._running = False
        self._pumping = False
        self._again = False
        self._scheduled = False
        self._noticing = False
        self._timer: Timer | None = None
        self._timer_due = float("inf")
        self._heartbeat_due = 0.0

    # --- Engine: life ------------------------------------------------------------------------------

    def listen(self, listener: EngineListener) -> Node:
        """Who is told what happens; once, before `start`."""
        self._listener = listener
        return self

    def start(self) -> None:
        context, journal = self._context, self._journal
        self._configuring.start()
        hopeless = beyond_repair(journal, context.member_id)
        if hopeless is not None:
            self._fail(hopeless)
            return
        commit = context.guard.commit_at_start(self._applied_at_start, journal.base_index, journal.last_index)
        context.delivered = max(self._applied_at_start, journal.base_index)
        self._running = True
        self._new_core(commit)
        self._wire.start(self)
        self._configuring.tell_wire()
        self._schedule()

    def stop(self) -> None:
        if not self._running:
            return
        self._running = False
        if self._timer is not None:
            self._timer.cancel()
        self._syncing.stop()
        self._leader.follow()
        self._wire.stop()

    def _fail(self, error: StoreError) -> None:
        self.stop()
        self._listener.failed(error)

    def _new_core(self, commit_index: int) -> None:
        context = self._context
        context.core = Core(
            member_id=context.member_id,
            voters=context.voters,
            journal=self._journal,
            commit_index=commit_index,
            heartbeat_s=context.timing.heartbeat_s,
            quorum_timeout_s=context.guard.quorum_timeout_s(context.timing.election_timeout_s_min),
            now=self._runtime.now,
            send=self._core_sends,
        )

    # --- Engine: requests --------------------------------------------------------------------------

    def propose(self, payload: bytes) -> bool:
        context = self._context
        if not self._running or not self._leads or self._leader.handing_over or context.disk_full:
            return False
        if not context.guard.entry_fits(payload):
            raise InvalidRequest(f"an entry of {len(payload)} bytes does not fit into one append")
        context.core.append(payload)
        self._pump()
        return True

    def read_index(self, done: Done) -> None:
        if not self._running:
            done(None)
            return
        self._leader.read_index(done)
        self._leader.serve_reads()

    def transfer(self, target: int) -> None:
        self._leader.transfer(target)
        self._schedule()

    def change_configuration(self, configuration: Configuration) -> None:
        if not self._running or self._leader.handing_over:
            raise NotLeader("only the leader changes the configuration, and not while it hands over")
        self._configuring.check_change(configuration)
        self._context.core.append(encode_configuration(configuration))
        self._pump()

    def send(self, peer: int, message: Message) -> bool:
        return self._running and self._wire.send(peer, message)

    def connected_peers(self) -> frozenset[int]:
        return frozenset(self._context.linked)

    def trim(self, index: int, term: int) -> None:
        """Drop what a durable snapshot holds. `term` must be the entry's: it is checked."""
        if self._journal.term_at(index) != term:
            raise StateDamaged(f"a snapshot claims term {term} at index {index}, the log says otherwise")
        if index > self._journal.base_index:
            self._journal.trim(index)
            self._schedule()

    def installed(self, index: int, term: int, configuration: Configuration) -> None:
        if self._journal.term_at(index) == term:
            self._journal.trim(index)
        else:
            self._journal.reset(index, term, configuration)
        self._context.delivered = index
        commit = max(index, min(self._context.core.commit_index, self._journal.last_index))
        self._leader.follow()
        self._leading_term = 0
        self._configuring.adopt()
        self._new_core(commit)
        self._schedule()

    def status(self) -> Status:
        context, journal = self._context, self._journal
        core = context.core
        role, term, leader = self._role()
        return Status(
            member_id=context.member_id,
            role=role,
            term=term,
            leader=leader,
            commit_index=context.guard.applicable(core.commit_index, journal.durable_index),
            durable_index=journal.durable_index,
            first_index=journal.base_index + 1,
            last_index=journal.last_index,
            configuration=context.configuration,
            configuration_committed=context.configuration_index <= core.commit_index,
            match={peer: progress.match for peer, progress in self._leader.replication.peers.items()},
            kinds=context.common_kinds(),
        )

    @property
    def counters(self) -> dict[str, int]:
        return dict(self._context.counters)

    # --- WireListener ------------------------------------------------------------------------------

    def connected(self, peer: int, kinds: frozenset[str]) -> None:
        self._context.kinds[peer] = kinds
        self._context.linked.add(peer)
        if self._running:
            self._wire.send(peer, self._configuring.news())
            self._election.peer_came()
            if self._context.core.is_leader:
                self._leader.connected(peer)
        self._listener.peer_connected(peer)
        self._schedule()

    def disconnected(self, peer: int) -> None:
        context = self._context
        context.linked.discard(peer)
        context.outbox.forget(peer)
        self._follower.forget(peer)
        if self._running:
            context.core.hide(peer)
            if peer == context.core.leader:
                self._election.hurry()
        self._listener.peer_disconnected(peer)
        self._schedule()

    def drained(self, peer: int) -> None:
        self._leader.poke(peer)
        self._schedule()

    def received(self, peer: int, message: Message) -> None:
        if not self._running:
            return
        kind = message.get("type")
        if type(kind) is str and kind.startswith("store."):
            self._listener.peer_message(peer, message)
            return
        if peer not in self._context.linked or not well_formed(message):
            self._context.counters["malformed_message"] += 1
            return
        try:
            self._handlers[message["type"]](peer, message)
        except StoreError as error:
            self._fail(error)
            return
        if message["type"] not in _ASKS_NO_CORE or (self._leading and not self._context.core.is_leader):
            self._schedule()

    def _on_read_ping(self, peer: int, message: Message) -> None:
        term = self._context.core.term
        if message["term"] <= term:
            self._context.send_in_term(peer, {"type": "read_pong", "term": term, "round": message["round"]})

    def _core_sends(self, peer: int, message: Message) -> None:
        """What the core wants to say; everything it may not say is dropped here."""
        kind = message["type"]
        if kind == "append_entries":
            self._heartbeat_due = self._runtime.now() + self._context.timing.heartbeat_s
            self._leader.poke(peer)
        elif kind == "request_vote":
            self._election.core_asks_for_vote(peer, message)
        elif kind == "response_vote":
            self._election.core_gives_vote(peer, message)
        elif kind != "next_node_idx":  # acknowledgements are follower.py's
            self._context.counters["core_message_dropped"] += 1

    # --- the pump ----------------------------------------------------------------------------------

    def _schedule(self) -> None:
        if self._running and not self._scheduled:
            self._scheduled = True
            self._runtime.call_soon(self._scheduled_pump)

    def _scheduled_pump(self) -> None:
        self._scheduled = False
        self._pump()

    def _pump(self) -> None:
        """Steps until there is nothing more to do now. A call from inside a step asks for one more."""
        if self._pumping:
            self._again = True
            return
        self._pumping = True
        try:
            for _ in range(_STEPS_MAX):
                if not self._running:
                    return
                self._again = False
                self._step()
                if not self._again:
                    break
            else:
                self._schedule()
        except StoreError as error:
            self._fail(error)
        finally:
            self._pumping = False
        self._set_timer()

    def _step(self) -> None:
        self._note_leadership()  # first: a deposed core with its connections still exposed campaigns at once
        self._election.check_deadline()
        self._context.core.tick()
        self._note_leadership()
        self._note_configuration()
        self._deliver()  # before the followers hear of the commit: the caller waits for this
        if self._leading:
            self._leader.hand_over()
            for peer in self._leader.flush():
                self._listener.peer_needs_snapshot(peer)
            self._leader.serve_reads()
            self._notice_soon()
        self._syncing.begin()
        self._show_role()
        if self._leader.has_more and self._leading and self._journal.durable_term >= self._leading_term:
            self._schedule()

    def _notice_soon(self) -> None:
        """After whoever is woken by what was just delivered had its turn, and what it asks for was proposed."""
        if self._leader.has_notices and not self._noticing:
            self._noticing = True
            self._runtime.call_soon(lambda: self._runtime.call_soon(self._notice))

    def _notice(self) -> None:
        self._noticing = False
        if self._running and self._leads:
            self._leader.flush_notices()

    @property
    def _leading(self) -> bool:
        return self._leading_term != 0

    @property
    def _leads(self) -> bool:
        """Leading, and not deposed since the last step. A new term is led only once it is on disk."""
        return self._leading and self._context.core.is_leader

    def _note_leadership(self) -> None:
        core = self._context.core
        if not core.is_leader and core.exposed:  # also when it led only between two steps, and nobody noticed
            self._election.hide_all()
        term = core.term if core.is_leader and self._journal.durable_term >= core.term else 0
        if term == self._leading_term:
            return
        if self._leading:
            self._leader.follow()
        self._leading_term = term
        if term:
            self._leader.lead()
        else:
            self._election.postpone()

    def _deliver(self) -> None:
        context, journal = self._context, self._journal
        limit = context.guard.applicable(context.core.commit_index, journal.durable_index)
        if context.delivered >= limit:
            return
        entries = journal.entries(
            context.delivered + 1, limit, count_max=_DELIVERY_ENTRIES_MAX, bytes_max=_DELIVERY_BYTES_MAX
        )
        context.delivered = entries[-1].index
        self._listener.committed(entries)
        for entry in entries:
            if entry.payload[0] == KIND_CONFIGURATION:
                self._configuration_committed(entry.index)
        if context.delivered < limit:
            self._schedule()

    def _synced(self) -> None:
        if self._context.core.is_leader:
            self._leader.own_copy_durable()
        self._pump()

    def _make_way(self) -> None:
        self._leader.make_way()
        self._set_timer()

    # --- configuration -----------------------------------------------------------------------------

    def _note_configuration(self) -> None:
        """The latest configuration in the log is the one in force (§4.1); a change of voters is a new core."""
        context = self._context
        latest = self._configuring.in_force()
        if latest == (context.configuration_index, context.configuration):
            return
        voters = context.voters
        context.adopt(*latest)
        self._configuring.tell_wire()
        if context.voters == voters:
            if self._leading:
                self._leader.peers_changed()
        else:
            self._change_core()
        self._listener.configuration_changed(context.configuration, False)

    def _change_core(self) -> None:
        context = self._context
        led, leader, term = self._leading, context.core.leader, context.core.term
        if led:
            self._leading_term = 0
            self._leader.follow()
        self._new_core(context.core.commit_index)
        if leader in context.linked:
            self._follower.core_hears(leader, term)
        elif led and self._election.may_campaign() and context.quorum > 1:
            self._election.campaign(transfer=True)  # its followers are fine with it: go on at once in the next term
        self._again = True

    def _configuration_committed(self, index: int) -> None:
        configuration, removes_us = self._configuring.committed_at(index)
        for peer in sorted(self._context.linked):
            self._wire.send(peer, self._configuring.news())
        self._listener.configuration_changed(configuration, True)
        if removes_us:
            self._fail(
                Removed("this replica was removed from the cluster; delete its data directory to let it join anew")
            )

    # --- role and time -----------------------------------------------------------------------------

    def _role(self) -> tuple[Role, int, int]:
        context, core = self._context, self._context.core
        if self._leads:
            return Role.LEADER, core.term, context.member_id
        leader = core.leader if core.leader in context.linked else 0
        if self._configuring.is_removed:
            return Role.REMOVED, core.term, leader
        return (Role.FOLLOWER if context.is_voter else Role.LEARNER), core.term, leader

    def _show_role(self) -> None:
        role = self._role()
        if role != self._shown:
            self._shown = role
            self._listener.role_changed(*role)

    def _set_timer(self) -> None:
        """One timer for the next thing due; a later due time is found out when it fires."""
        if not self._running:
            return
        now, context = self._runtime.now(), self._context
        if self._leading:
            due = max(self._heartbeat_due, now) + _TICK_S if self._leader.replication.peers else float("inf")
        elif self._election.may_campaign():
            due = max(self._election.deadline, now)
        else:
            due = now + context.timing.election_timeout_s_max
        if context.disk_full:
            due = min(due, max(now + _TICK_S, self._syncing.retry_at))
        if self._timer is not None:
            if self._timer_due <= due:
                return
            self._timer.cancel()
            self._timer = None
        if due == float("inf"):
            return
        self._timer_due = due
        self._timer = self._runtime.call_at(due, self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        self._timer_due = float("inf")
        self._pump()
