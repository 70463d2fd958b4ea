"""The rules that make pysyncobj safe: pure decisions, no I/O, no clock, no randomness.

Each method of `Guard` is one protection: it names the rule it keeps (Ongaro's Raft thesis unless said
otherwise), the defect of the library it closes (ids of docs/guard.md), and what breaks without it.
The switch (`Guard(off={"name"})`) exists for tests only: with a protection off, the simulator or the
directed test named beside it must fail. `python -m raftstore.raft.guard` prints the table.

Protections that are structure rather than decisions (the core never sees an entry's bytes, has no
snapshot code, no socket, no pickle) are listed in STRUCTURAL with the test that shows the defect on the
stock library and its absence here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

from ..command import KINDS
from ..limits import ENTRY_BYTES_MAX
from .engine import Configuration, Entry


class Protection(NamedTuple):
    name: str
    defects: str
    rule: str
    without: str
    shown_by: str


PROTECTIONS: dict[str, Protection] = {}
_F = TypeVar("_F", bound=Callable[..., object])

_DIRECTED = "pytest tests/unit/raft/test_protections.py -k {name}"
#: Switches that random faults are enough to notice; the others have a directed test only.
_SIMULATED = frozenset(
    {
        "ack_may_claim",
        "applicable",
        "entries_to_write",
        "read_confirmed",
        "read_joins_flying_round",
        "read_may_begin",
        "vote_may_leave",
    }
)


def protection(defects: str, without: str) -> Callable[[_F], _F]:
    """Register a rule; its name is the method's, the rule the first line of its docstring."""

    def register(function: _F) -> _F:
        name = function.__name__
        rule = (function.__doc__ or "").strip().split("\n")[0]
        PROTECTIONS[name] = Protection(name, defects, rule, without, _DIRECTED.format(name=name))
        return function

    return register


class LogEnd(NamedTuple):
    """Term first: tuples compare as Raft compares logs (§3.6.1)."""

    term: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody calls on it


class Guard:
    """All decisions. `off` names protections to leave out, for tests."""

    def __init__(self, off: Iterable[str] = ()) -> None:
        self.off = frozenset(off)
        unknown = self.off - PROTECTIONS.keys()
        if unknown:
            raise ValueError(f"no such protection: {', '.join(sorted(unknown))}")

    # --- the leader takes acknowledgements ---------------------------------------------------------

    @protection("1", "an ack of an earlier leadership commits entries nobody else holds")
    def ack_of_this_term(self, ack_term: int, term: int) -> bool:
        """§3.3: a reply counts only in the term it was given in."""
        return "ack_of_this_term" in self.off or ack_term == term

    @protection("3", "the leader counts a copy of its own that a power loss takes away")
    def ack_within_own_copy(self, match: int, durable_index: int) -> int:
        """§10.2.1: a leader may count itself only for what its own disk holds.

        The core counts its own copy at once, so a follower's ack is shown to it only up to the leader's own
        durable index; the rest is shown again after the fsync.
        """
        return match if "ack_within_own_copy" in self.off else min(match, durable_index)

    @protection("D", "a rejection from before a re-send resets it again: repair livelocks")
    def reject_is_fresh(self, reject_sequence: int, reset_sequence: int) -> bool:
        """§3.5: a rejection speaks of the message it answers; older than the last repair it says nothing."""
        return "reject_is_fresh" in self.off or reject_sequence > reset_sequence

    # --- a follower takes entries ------------------------------------------------------------------

    @protection("2, E", "a re-sent batch truncates entries already acknowledged: acknowledged writes are lost")
    def entries_to_write(
        self, term_at: Callable[[int], int | None], entries: Sequence[Entry]
    ) -> tuple[Sequence[Entry], bool]:
        """§3.5: delete an entry only when a new one of its index conflicts with it.

        Returns (the suffix that is not in the log yet, whether anything is to be written at all).
        """
        if "entries_to_write" in self.off:
            return entries, True
        known = 0
        while known < len(entries) and term_at(entries[known].index) == entries[known].term:
            known += 1
        return entries[known:], known < len(entries)

    @protection("2", "an ack claims entries that were never compared with the leader's")
    def acknowledged(self, previous: int, entries: Sequence[Entry], last_index: int) -> int:
        """§3.5: acknowledge what was compared, not what the log happens to hold."""
        if "acknowledged" in self.off:
            return last_index
        return entries[-1].index if entries else previous

    @protection("2, A", "a follower commits its own unconfirmed tail")
    def commit_to_follow(self, leader_commit: int, match: int, last_index: int) -> int:
        """§3.5: commitIndex = min(leaderCommit, index of the last entry known to agree)."""
        return min(leader_commit, last_index if "commit_to_follow" in self.off else match)

    @protection("D", "the leader walks back one entry a round trip through a long conflict")
    def reject_hint(self, term_at: Callable[[int], int | None], previous: int, floor: int) -> int:
        """§3.5: answer a conflict with the first index of the conflicting term, never below what is committed."""
        term = term_at(previous)
        hint = previous
        if "reject_hint" in self.off:
            return hint
        while hint - 1 > floor and term_at(hint - 1) == term:
            hint -= 1
        return hint

    @protection("6, H, I", "an entry that the core would unpickle, or a gap, enters the log")
    def entries_well_formed(self, previous: int, previous_term: int, term: int, entries: Sequence[Entry]) -> bool:
        """§3.5 Log Matching needs gapless indexes and terms that do not fall; kinds are ours or the no-op."""
        if "entries_well_formed" in self.off:
            return True
        index, last_term = previous, previous_term
        for entry in entries:
            index += 1
            if entry.index != index or not last_term <= entry.term <= term:
                return False
            if not entry.payload or entry.payload[0] not in KINDS or len(entry.payload) > ENTRY_BYTES_MAX:
                return False
            last_term = entry.term
        return True

    # --- durability --------------------------------------------------------------------------------

    @protection("3", "a vote is forgotten by a power loss and given twice: two leaders in one term")
    def vote_may_leave(self, record: int, durable: int) -> bool:
        """§3.8: term and vote are on disk before a vote or a vote request leaves."""
        return "vote_may_leave" in self.off or durable >= record

    @protection("3", "an acknowledged entry is forgotten by a power loss: a committed write is lost")
    def ack_may_claim(self, match: int, durable_index: int) -> int:
        """§3.8: entries are on disk before they are acknowledged; until then the ack claims less."""
        return match if "ack_may_claim" in self.off else min(match, durable_index)

    @protection(
        "3", "with a quorum of one nothing else holds the leader back: clients see what a power loss takes away"
    )
    def applicable(self, commit_index: int, durable_index: int) -> int:
        """§10.2.1: nothing is applied, answered, read, announced or shown beyond min(commit, own durable index)."""
        return commit_index if "applicable" in self.off else min(commit_index, durable_index)

    @protection("L", "a start trusts a commit index beyond the journal's end")
    def commit_at_start(self, applied_index: int, base_index: int, last_index: int) -> int:
        """§3.8: commitIndex is volatile; at a start it is what was applied, never beyond the log."""
        commit = max(applied_index, base_index)
        return commit if "commit_at_start" in self.off else min(commit, last_index)

    # --- elections ---------------------------------------------------------------------------------

    @protection("4", "a leader deposed by a partition serves on until its 30 s fallback")
    def term_to_report(self, message_term: int, term: int) -> bool:
        """§3.3: a message of an older term is answered with the newer one."""
        return "term_to_report" not in self.off and message_term < term

    @protection("4", "a replica that comes back from a partition deposes a healthy leader")
    def prevote_granted(self, term: int, own_term: int, candidate: LogEnd, own: LogEnd, has_leader: bool) -> bool:
        """§9.6 PreVote: a campaign begins only when a majority says that it could win."""
        if "prevote_granted" in self.off:
            return True
        return term > own_term and candidate >= own and not has_leader

    @protection("4", "a removed or restarted replica's vote request deposes a healthy leader")
    def ignores_vote_request(self, has_leader: bool, transfer: bool) -> bool:
        """§4.2.3: while a leader is heard from, vote requests are ignored, but for an ordered transfer (§3.10)."""
        return "ignores_vote_request" not in self.off and has_leader and not transfer

    @protection("F", "one voter's reply, repeated, elects a leader without a majority")
    def vote_counts(self, voter: int, counted: frozenset[int] | set[int]) -> bool:
        """§3.4: each voter counts once in a term."""
        return "vote_counts" in self.off or voter not in counted

    @protection("G", "a lost vote reply costs the whole election: the voter is silent when asked again")
    def vote_given_again(self, request_term: int, term: int, voted_for: int, candidate: int) -> bool:
        """§3.4: granting is idempotent: the same candidate in the same term gets the same answer."""
        return "vote_given_again" not in self.off and request_term == term and voted_for == candidate

    @protection("4", "a cut-off leader keeps taking writes it can never commit")
    def quorum_timeout_s(self, election_timeout_s_min: float) -> float:
        """§6.2: a leader that hears from no majority for an election timeout steps down."""
        return 30.0 if "quorum_timeout_s" in self.off else election_timeout_s_min

    @protection("journal damage", "a replica that lost acknowledged entries elects a leader without them")
    def may_vote(self, damaged: bool) -> bool:
        """§3.8 assumes a disk that keeps what it synced: one that did not neither votes nor counts."""
        return "may_vote" in self.off or not damaged

    @protection("journal damage", "a damaged replica counts towards commits before it holds what it once acknowledged")
    def healed(self, match: int, leader_commit: int, commit_term: int | None, term: int) -> bool:
        """A damaged log is whole again once it agrees with a leader up to an entry committed in that leader's term."""
        return "healed" in self.off or (match >= leader_commit and commit_term == term)

    # --- reads -------------------------------------------------------------------------------------

    @protection("5", "a deposed leader answers reads from the past")
    def read_confirmed(self, confirmed: int, quorum: int) -> bool:
        """§6.4: a read index holds once a majority confirms, after it was taken, that this leader still leads."""
        return "read_confirmed" in self.off or confirmed >= quorum

    @protection("5", "a new leader's commit index is older than writes its predecessor acknowledged")
    def read_may_begin(self, commit_term: int | None, term: int) -> bool:
        """§6.4: a leader knows the commit index only once an entry of its own term is committed."""
        return "read_may_begin" in self.off or commit_term == term

    @protection("5", "a reader shares an index taken before a write that was acknowledged before it asked")
    def read_joins_flying_round(self) -> bool:
        """§6.4: a reader's index is taken after it asked: it joins the next round, never one already sent."""
        return "read_joins_flying_round" in self.off

    # --- membership --------------------------------------------------------------------------------

    @protection("J", "two overlapping changes make two disjoint majorities")
    def change_allowed(self, present_index: int, commit_index: int, commit_term: int | None, term: int) -> bool:
        """§4.1 and its erratum: one change at a time, and only after an entry of the leader's own term is committed."""
        return "change_allowed" in self.off or (present_index <= commit_index and commit_term == term)

    @protection("J", "a change of two voters at once makes two disjoint majorities")
    def one_voter_differs(self, old: Configuration, new: Configuration) -> bool:
        """§4.1: old and new voters differ by one at most, and somebody is left to vote."""
        if "one_voter_differs" in self.off:
            return True
        return len(old.voters ^ new.voters) <= 1 and bool(new.voters)

    @protection("K", "a restart forgets a change that is in the log but not committed yet")
    def configuration_in_force(
        self, latest: tuple[int, Configuration], committed: Configuration
    ) -> tuple[int, Configuration]:
        """§4.1: a replica uses the latest configuration in its log, committed or not."""
        return (0, committed) if "configuration_in_force" in self.off else latest

    # --- bounds ------------------------------------------------------------------------------------

    @protection("P", "the core would cut the entry up and pickle the pieces")
    def entry_fits(self, payload: bytes) -> bool:
        """No rule of Raft: an entry stays below what one message carries."""
        return "entry_fits" in self.off or len(payload) <= ENTRY_BYTES_MAX


STRUCTURAL: tuple[Protection, ...] = (
    Protection(
        "no_pickle",
        "6",
        "Nothing from a socket or a file is unpickled: own transport and codec, the core's pickle replaced.",
        "one unauthenticated packet runs code in the server",
        "pytest tests/unit/raft/test_structure.py -k pickle",
    ),
    Protection(
        "own_journal",
        "7, B, L, M",
        "§3.8: the log is a journal with a CRC per record; the core has no file and no dump of its own.",
        "a dump newer than the journal's start drops the journal's tail; a torn write is read as an entry",
        "pytest tests/unit/journal",
    ),
    Protection(
        "opaque_entries",
        "H, I, O",
        "§3.5 State Machine Safety: the core's log answers with no-ops, so its apply loop runs none of our code.",
        "an exception in a callback applies an entry twice; an unknown version shifts every later index",
        "pytest tests/unit/raft/test_structure.py -k opaque",
    ),
    Protection(
        "own_snapshots",
        "A, C, N",
        "Chapter 5: a snapshot is verified before it replaces anything, and acknowledged after.",
        "the first chunk commits a deposed leader's tail; a corrupt dump replaces the good one; the leader spins",
        "pytest tests/unit/raft/test_structure.py -k snapshot",
    ),
    Protection(
        "own_results",
        "O",
        "§6.3: results belong to (session, sequence) and are found at apply, not by callbacks of the core.",
        "callbacks that never fire; ids that restart at 0 answer the wrong request",
        "pytest tests/unit/replica -k session",
    ),
)


def render_table() -> str:
    """docs/guard.md: rule → what breaks without it → the command that shows it."""
    lines = [
        "# The guard: every protection around pysyncobj",
        "",
        "Generated by `python -m raftstore.raft.guard > docs/guard.md`; a test compares it. § numbers are of",
        "Ongaro's thesis, *Consensus: Bridging Theory and Practice*; defect ids: docs/decisions/001-pysyncobj.md.",
        "Every protection but the structural ones at the end has a switch: the directed test runs both ways, and",
        "where the simulator notices by itself, the command is beside it.",
        "",
        "| protection | defect | rule | without it | shown by |",
        "|---|---|---|---|---|",
    ]
    for row in (*PROTECTIONS.values(), *STRUCTURAL):
        shown = f"`{row.shown_by}`"
        if row.name in _SIMULATED:
            shown += f", `make sim SEEDS=0:200 ARGS='--off {row.name}'`"
        lines.append(f"| `{row.name}` | {row.defects} | {row.rule} | {row.without} | {shown} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    import sys

    sys.stdout.write(render_table())
