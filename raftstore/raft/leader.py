"""Leading: replication, acknowledgements, read indexes and the hand-over of leadership.

The core pokes when something should be sent; after each tick one message per poked peer goes out, so that
a proposal, a commit and a heartbeat of the same moment share it.
"""

from __future__ import annotations

import logging

from ..errors import MemberNotFound, NotLeader, StoreError, TooManyRequests
from .context import Context
from .election import Election
from .engine import Message
from .progress import Replication
from .reads import Done, ReadRounds

_log = logging.getLogger(__name__)

#: Messages to one peer in one go; the rest follows in the next turn of the loop.
_BURST = 16


class Leader:
    def __init__(self, context: Context, election: Election) -> None:
        self._context = context
        self._election = election
        self.replication = Replication(context.journal)
        self.rounds = ReadRounds()
        self._poked: set[int] = set()
        self._notices: set[int] = set()  # peers for whom there is nothing but a newer commit index
        self._successor = 0
        self._successor_deadline = 0.0
        self._successor_asked = False
        self._pinged_at = 0.0

    # --- coming and going ---

    def lead(self) -> None:
        peers = self._context.peers()
        self.replication.lead(peers)
        for peer in sorted(peers & self._context.linked):
            self._context.core.expose(peer)
            self._poked.add(peer)

    def follow(self) -> None:
        self.replication.follow()
        self._poked.clear()
        self._notices.clear()
        self._successor = 0
        for done in self.rounds.abandon():
            done(None)

    def peers_changed(self) -> None:
        """Learners came or went; the voters are the same."""
        peers = self._context.peers()
        self.replication.set_peers(peers)
        for peer in sorted(peers & self._context.linked):
            self._context.core.expose(peer)
            self._poked.add(peer)

    def connected(self, peer: int) -> None:
        if peer in self.replication.peers:
            self.replication.reconnected(peer)
            self._context.core.expose(peer)
            self._poked.add(peer)

    def poke(self, peer: int) -> None:
        self._poked.add(peer)

    # --- replication ---

    def flush(self) -> list[int]:
        """Send to everybody poked; the peers that need a snapshot are returned."""
        context = self._context
        term = context.core.term
        poked, self._poked = self._poked, set()
        if context.journal.durable_term < term:  # a sole voter leads before its term is on disk
            self._poked = poked
            return []
        commit = context.guard.applicable(context.core.commit_index, context.journal.durable_index)
        snapshots = []
        for peer in sorted(poked & context.linked & self.replication.peers.keys()):
            if self.replication.needs_snapshot(peer):
                snapshots.append(peer)
            elif not self.replication.more(peer):
                self._notices.add(peer)
                continue
            self._send_to(peer, term, commit)
        return snapshots

    @property
    def has_notices(self) -> bool:
        return bool(self._notices)

    def flush_notices(self) -> None:
        """Send what was put off: a heartbeat, or a commit index that no entry has taken along meanwhile.

        A caller whose write was just committed often has the next one ready; its entries carry the commit index
        too, which saves a message to everybody per write.
        """
        context = self._context
        commit = context.guard.applicable(context.core.commit_index, context.journal.durable_index)
        for peer in sorted(self._notices & context.linked & self.replication.peers.keys()):
            self._send_to(peer, context.core.term, commit)
        self._notices.clear()

    def _send_to(self, peer: int, term: int, commit: int) -> None:
        self._notices.discard(peer)
        for _ in range(_BURST):
            message, last_index = self.replication.message(peer, term, commit)
            if not self._context.outbox.send(peer, message):
                return  # the wire says when it is drained
            if not last_index:
                return
            self.replication.sent(peer, last_index, message)
            if not self.replication.more(peer):
                return
        self._poked.add(peer)

    @property
    def has_more(self) -> bool:
        return bool(self._poked)

    def on_ack(self, peer: int, message: Message) -> None:
        context = self._context
        core, guard = context.core, context.guard
        if message["term"] > core.term:
            core.step_down(peer, message["term"])
            return
        progress = self.replication.peers.get(peer)
        if not core.is_leader or progress is None or peer not in context.linked:
            return
        if not guard.ack_of_this_term(message["term"], core.term):
            return
        self._election.answered[peer] = context.runtime.now()
        if message["success"] and message["match"] <= context.journal.last_index:
            progress.acknowledged(message["match"])
            self._count(peer, message["match"])
            if self.replication.more(peer):
                self._poked.add(peer)
        elif message["reset"]:
            core.contact(peer)
            if guard.reject_is_fresh(message["sequence"], progress.reset_sequence):
                progress.reset_sequence = self.replication.sequence
                progress.send_again_from(max(1, min(message["next"], context.journal.last_index + 1)))
                if not self.replication.needs_snapshot(peer):  # else at heartbeat pace, until it has one
                    self._poked.add(peer)
        else:
            core.contact(peer)

    def _count(self, peer: int, match: int) -> None:
        """Show the ack to the core as far as our own copy is durable; the rest after the fsync."""
        context = self._context
        progress = self.replication.peers[peer]
        counted = context.guard.ack_within_own_copy(match, context.journal.durable_index)
        if counted < match:
            progress.held_match = max(progress.held_match, match)
        context.core.acknowledge(peer, counted)

    def own_copy_durable(self) -> None:
        """The journal moved on: show the held acks again."""
        for peer, progress in self.replication.peers.items():
            if progress.held_match and peer in self._context.linked:
                match, progress.held_match = progress.held_match, 0
                self._count(peer, match)

    # --- reads ---

    def read_index(self, done: Done) -> None:
        if not self._context.core.is_leader:
            done(None)
            return
        try:
            self.rounds.join(done, flying_round=self._context.guard.read_joins_flying_round())
        except TooManyRequests:
            self._context.counters["read_rounds_full"] += 1
            done(None)

    def serve_reads(self) -> None:
        """Send off the next round when one is wanted and may begin; repeat a flying one's pings in time."""
        context = self._context
        if not context.core.is_leader:
            return
        if self.rounds.flying:
            if context.runtime.now() - self._pinged_at >= context.timing.heartbeat_s:
                self._ping()
            return
        if not self.rounds.wanted:
            return
        core, journal, guard = context.core, context.journal, context.guard
        index = guard.applicable(core.commit_index, journal.durable_index)
        if not guard.read_may_begin(journal.term_at(index), core.term):
            return
        self.rounds.depart(index, context.member_id)
        if not self._arrived():
            self._ping()

    def _ping(self) -> None:
        context = self._context
        self._pinged_at = context.runtime.now()
        ping = {"type": "read_ping", "term": context.core.term, "round": self.rounds.number}
        for peer in context.linked_voters():
            if peer not in self.rounds.confirmed:
                context.outbox.send(peer, ping)

    def _arrived(self) -> bool:
        context = self._context
        if not context.guard.read_confirmed(len(self.rounds.confirmed & context.voters), context.quorum):
            return False
        index, readers = self.rounds.arrive()
        for done in readers:
            done(index)
        return True

    def on_read_pong(self, peer: int, message: Message) -> None:
        context = self._context
        if message["term"] > context.core.term:
            context.core.step_down(peer, message["term"])
        elif context.core.is_leader and message["term"] == context.core.term:
            self._election.answered[peer] = context.runtime.now()
            if self.rounds.flying and message["round"] == self.rounds.number:
                self.rounds.confirmed.add(peer)
                if self._arrived():
                    self.serve_reads()  # those who came meanwhile

    # --- hand-over ---

    @property
    def handing_over(self) -> bool:
        return self._successor != 0

    @property
    def hand_over_deadline(self) -> float:
        return self._successor_deadline

    def transfer(self, target: int) -> None:
        context = self._context
        if not context.core.is_leader:
            raise NotLeader("this replica does not lead, so it has no leadership to hand over")
        candidates = [peer for peer in context.linked_voters() if peer in self.replication.peers]
        if target == 0 and candidates:
            target = max(candidates, key=lambda peer: (self.replication.peers[peer].match, peer))
        if target not in candidates:
            raise MemberNotFound(
                f"member {target:x} cannot take over: it is not a voter, or not connected"
                if target
                else "no other voter is connected to take over"
            )
        self._successor, self._successor_asked = target, False
        self._successor_deadline = context.runtime.now() + context.timing.election_timeout_s_max

    def make_way(self) -> None:
        """Hand over to whoever can take it, if this replica leads: its disk is full."""
        context = self._context
        if context.core.is_leader and not self.handing_over and context.quorum > 1:
            try:
                self.transfer(0)
            except StoreError as error:
                _log.warning("no successor: %s", error)

    def hand_over(self) -> None:
        """Order the successor to campaign as soon as it holds all; give up at the deadline and lead on."""
        context = self._context
        if not self._successor:
            return
        if context.runtime.now() >= self._successor_deadline:
            self._successor = 0
        elif not self._successor_asked and self._successor in context.linked:
            if self.replication.peers[self._successor].match == context.journal.last_index:
                order = {"type": "timeout_now", "term": context.core.term}
                self._successor_asked = context.outbox.send(self._successor, order)
            else:
                self._poked.add(self._successor)
