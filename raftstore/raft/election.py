"""Who may campaign, and when: PreVote, stickiness, and votes that count once.

The core would campaign at any moment (its own timeouts are always past) but does so only while it
believes to be connected to somebody. So a campaign is: win a pre-vote, expose the connections for the
length of one tick, hide them again. Votes are handed to the core one per voter.
"""

from __future__ import annotations

from .context import Context
from .engine import Message
from .guard import LogEnd

_LONG_AGO = float("-inf")


class Election:
    """The election side of one engine. Times are the runtime's monotonic seconds."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.deadline = 0.0
        self.leader_heard = _LONG_AGO
        self._round = 0
        self._yes: set[int] = set()
        self._votes: set[int] = set()
        self._votes_term = 0
        self._transfer = False
        self.answered: dict[int, float] = {}
        self.postpone()

    # --- time ---

    def postpone(self) -> None:
        """Draw a new election timeout from now."""
        runtime, timing = self._context.runtime, self._context.timing
        spread = timing.election_timeout_s_max - timing.election_timeout_s_min
        self.deadline = runtime.now() + timing.election_timeout_s_min + spread * runtime.random()

    def hurry(self) -> None:
        """The leader's connection broke: most likely it died, so ask soon; a random little later than others."""
        runtime, timing = self._context.runtime, self._context.timing
        self.leader_heard = _LONG_AGO
        soon = runtime.now() + timing.election_timeout_s_min * (0.05 + 0.2 * runtime.random())
        self.deadline = min(self.deadline, soon)

    def peer_came(self) -> None:
        """With a majority in reach and no leader ever heard of, a start waits for nothing; a pre-vote does no harm."""
        context = self._context
        within_reach = len(set(context.linked_voters()) | {context.member_id})
        if self.leader_heard == _LONG_AGO and within_reach >= context.quorum and not context.core.is_leader:
            self.hurry()

    def leader_spoke(self) -> None:
        self.leader_heard = self._context.runtime.now()
        self._round += 1  # replies to a pre-vote of before come too late
        self.postpone()

    def has_leader(self) -> bool:
        """Whether a leader was heard from, or, as leader, a majority, within the shortest election timeout."""
        context = self._context
        since = context.runtime.now() - context.timing.election_timeout_s_min
        if context.core.is_leader:
            return 1 + sum(self.answered.get(peer, _LONG_AGO) > since for peer in context.voters) >= context.quorum
        return self.leader_heard > since

    # --- campaign ---

    def may_campaign(self) -> bool:
        context = self._context
        return (
            context.is_voter
            and not context.core.is_leader
            and not context.disk_full
            and context.guard.may_vote(context.damaged)
        )

    def check_deadline(self) -> None:
        """Begin a pre-vote when the election timeout is over. A sole voter's core campaigns by itself."""
        context = self._context
        if context.runtime.now() < self.deadline or not self.may_campaign() or context.quorum == 1:
            return
        self.postpone()
        if "prevote_granted" in context.guard.off:
            self.campaign(transfer=False)
            return
        self._round += 1
        self._yes = {context.member_id}
        end = context.log_end
        request = {
            "type": "prevote",
            "term": context.core.term + 1,
            "round": self._round,
            "last_term": end.term,
            "last_index": end.index,
        }
        for peer in context.linked_voters():
            context.outbox.send(peer, request)

    def campaign(self, *, transfer: bool) -> None:
        """One tick with connections exposed: the core raises its term and asks for votes."""
        core = self._context.core
        self._transfer = transfer
        self.postpone()
        for peer in self._context.linked_voters():
            core.expose(peer)
        core.tick()
        if not core.is_leader:
            self.hide_all()

    def hide_all(self) -> None:
        context = self._context
        for peer in sorted(context.peers() | context.linked):
            context.core.hide(peer)

    def core_asks_for_vote(self, peer: int, message: Message) -> None:
        request = {
            "type": "vote",
            "term": message["term"],
            "last_term": message["last_log_term"],
            "last_index": message["last_log_index"],
            "transfer": self._transfer,
        }
        self._context.hold_vote(peer, request)

    # --- messages ---

    def on_prevote(self, peer: int, message: Message) -> None:
        context = self._context
        candidate = LogEnd(message["last_term"], message["last_index"])
        granted = context.guard.prevote_granted(
            message["term"], context.core.term, candidate, context.log_end, self.has_leader()
        ) and context.guard.may_vote(context.damaged)
        if granted and not context.core.is_leader:
            # Two candidates in one moment split the votes: let the one who asked first go first.
            floor = context.runtime.now() + context.timing.election_timeout_s_min * 0.25 * (
                1 + context.runtime.random()
            )
            self.deadline = max(self.deadline, floor)
        reply = {"type": "prevote_reply", "term": context.core.term, "round": message["round"], "granted": granted}
        context.send_in_term(peer, reply)

    def on_prevote_reply(self, peer: int, message: Message) -> None:
        context = self._context
        if message["term"] > context.core.term:
            context.core.step_down(peer, message["term"])
            return
        if not message["granted"] or message["round"] != self._round or peer not in context.voters:
            return
        if self.has_leader() or not self.may_campaign():
            return
        self._yes.add(peer)
        if len(self._yes) >= context.quorum:
            self._round += 1
            self.campaign(transfer=False)

    def on_vote(self, peer: int, message: Message) -> None:
        context = self._context
        guard, core, journal = context.guard, context.core, context.journal
        if not guard.may_vote(context.damaged):
            return
        if guard.ignores_vote_request(self.has_leader(), message["transfer"]):
            return
        if message["term"] == core.term and journal.voted_for not in (0, peer):
            return  # the journal may know of a vote that the core does not: see follower.py on damage
        if not core.is_leader and guard.vote_given_again(message["term"], core.term, journal.voted_for, peer):
            context.hold_vote(peer, {"type": "vote_given", "term": core.term})
            return
        request = {
            "type": "request_vote",
            "term": message["term"],
            "last_log_term": message["last_term"],
            "last_log_index": message["last_index"],
        }
        core.deliver(peer, request)

    def core_gives_vote(self, peer: int, message: Message) -> None:
        self.postpone()
        self._context.hold_vote(peer, {"type": "vote_given", "term": message["term"]})

    def on_vote_given(self, peer: int, message: Message) -> None:
        context = self._context
        core, term = context.core, context.core.term
        if message["term"] != term or core.is_leader or peer not in context.voters:
            return
        if self._votes_term != term:
            self._votes, self._votes_term = set(), term
        if not context.guard.vote_counts(peer, self._votes):
            return
        self._votes.add(peer)
        for linked in context.linked_voters():
            core.expose(linked)
        core.deliver(peer, {"type": "response_vote", "term": term})
        if core.is_leader:
            self.answered = {peer: context.runtime.now()}
        else:
            self.hide_all()

    def on_timeout_now(self, peer: int, message: Message) -> None:
        """§3.10: the leader orders this replica to take over; its stickiness and the pre-vote are passed by."""
        core = self._context.core
        if message["term"] == core.term and core.leader == peer and self.may_campaign():
            self.campaign(transfer=True)
