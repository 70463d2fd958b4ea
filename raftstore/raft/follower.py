"""Taking entries from a leader: compare, write only what conflicts or is new, acknowledge what was compared."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import StateDamaged
from .context import Context
from .election import Election
from .engine import Entry, Message
from .messages import acknowledgement, entries_of


class Follower:
    def __init__(self, context: Context, election: Election) -> None:
        self._context = context
        self._election = election
        self._told: dict[int, tuple[int, int, float]] = {}  # peer → term, match and time of the last ack

    def forget(self, peer: int) -> None:
        """The connection is gone, and maybe the last ack with it."""
        self._told.pop(peer, None)

    def _from_present_leader(self, peer: int, message: Message) -> bool:
        """Report a newer term to a deposed leader; note that a present one spoke."""
        context = self._context
        term = context.core.term
        if message["term"] < term:
            if context.guard.term_to_report(message["term"], term):
                context.send_in_term(peer, acknowledgement(term, message["sequence"]))
            return False
        if message["term"] == term and context.core.is_leader:
            context.counters["two_leaders_in_one_term"] += 1
            return False
        self._election.leader_spoke()
        return True

    def on_contact(self, peer: int, message: Message) -> None:
        if not self._from_present_leader(peer, message):
            return
        self.core_hears(peer, message["term"])
        self._reject(peer, message["sequence"], self._context.journal.last_index + 1)

    def on_append(self, peer: int, message: Message) -> None:
        context = self._context
        entries = entries_of(message)
        if entries is None or not context.guard.entries_well_formed(
            message["previous"], message["previous_term"], message["term"], entries
        ):
            context.counters["malformed_append"] += 1
            return
        if not self._from_present_leader(peer, message):
            return
        journal = context.journal
        previous = message["previous"]
        if previous < journal.base_index:  # below our snapshot everything is committed, hence equal
            entries = [entry for entry in entries if entry.index > journal.base_index]
            previous = journal.base_index
        elif previous > journal.last_index:
            self.core_hears(peer, message["term"])
            self._reject(peer, message["sequence"], journal.last_index + 1)
            return
        elif journal.term_at(previous) != message["previous_term"]:
            self.core_hears(peer, message["term"])
            hint = context.guard.reject_hint(journal.term_at, previous, self._committed_floor())
            self._reject(peer, message["sequence"], hint)
            return
        self._write(peer, message, previous, entries)

    def _worth_telling(self, peer: int, term: int, claim: int) -> bool:
        """An ack that claims no more than the last one is only contact, and needed at heartbeat pace only."""
        now = self._context.runtime.now()
        told = self._told.get(peer)
        if told is not None and told[:2] == (term, claim) and now - told[2] < self._context.timing.heartbeat_s / 2:
            return False
        self._told[peer] = (term, claim, now)
        return True

    def _committed_floor(self) -> int:
        return max(self._context.journal.base_index, self._context.core.commit_index)

    def _write(self, peer: int, message: Message, previous: int, entries: Sequence[Entry]) -> None:
        context = self._context
        guard, journal = context.guard, context.journal
        to_write, write = guard.entries_to_write(journal.term_at, entries)
        match = guard.acknowledged(previous, entries, max(journal.last_index, entries[-1].index if entries else 0))
        commit = guard.commit_to_follow(
            message["commit"], match, max(journal.last_index, entries[-1].index if entries else 0)
        )
        if to_write and to_write[0].index <= context.core.commit_index and not guard.off:
            raise StateDamaged(
                f"member {peer} leads term {message['term']} and contradicts committed entry {to_write[0].index}: "
                "this replica's log or the leader's is not what it was; run `kmini doctor`"
            )
        start = previous if write and not to_write else to_write[0].index - 1 if to_write else journal.last_index
        self.core_hears(peer, message["term"], start, to_write, commit)
        self._acknowledge(peer, message, match)

    def core_hears(
        self, peer: int, term: int, previous: int = -1, entries: Sequence[Entry] = (), commit: int = 0
    ) -> None:
        """Without `previous` the core only learns who leads."""
        message: Message = {"type": "append_entries", "term": term, "commit_index": commit}
        if previous >= 0:
            message["prevLogIdx"] = previous
            message["prevLogTerm"] = self._context.journal.term_at(previous)
            message["entries"] = entries
        self._context.core.deliver(peer, message)

    def _reject(self, peer: int, sequence: int, following: int) -> None:
        term = self._context.core.term
        self._context.send_in_term(peer, acknowledgement(term, sequence, reset=True, following=following))

    def _acknowledge(self, peer: int, message: Message, match: int) -> None:
        context = self._context
        journal, term, sequence = context.journal, context.core.term, message["sequence"]
        if context.damaged:
            commit_term = journal.term_at(message["commit"])
            if not context.guard.healed(match, message["commit"], commit_term, term):
                context.send_in_term(peer, acknowledgement(term, sequence))
                return
            if not journal.voted_for:  # a vote of this term may be among what was lost: it goes to who won it
                journal.set_vote(term, peer)
            journal.clear_damage()
        claim = context.guard.ack_may_claim(match, journal.durable_index)
        if claim > journal.durable_index:  # the protection is off
            context.outbox.send(peer, acknowledgement(term, sequence, success=True, match=claim))
            return
        if journal.durable_term >= term:
            if self._worth_telling(peer, term, claim):
                context.outbox.send(peer, acknowledgement(term, sequence, success=True, match=claim))
            if claim == match:
                return
        self._told[peer] = (term, match, context.runtime.now())
        context.outbox.hold(peer, acknowledgement(term, sequence, success=True, match=match))
