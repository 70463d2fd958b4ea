"""The safety properties of the Raft paper (Figure 3), checked while the run goes.

Election safety: at most one leader in a term. Log matching: if two logs hold an entry of the same index
and term they are equal up to it. Leader completeness: a committed entry is in the log of every leader of
a later term. State-machine safety: no two replicas apply different entries at one index. Also: what a
process hands to its state machine has no gap and no repetition, and a disk never forgets a term or vote.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from ...raft.engine import Entry
from ..truth import Contradiction, Truth
from . import Violation


class LogView(Protocol):
    """The part of a journal that a checker looks at."""

    @property
    def base_index(self) -> int: ...
    @property
    def last_index(self) -> int: ...
    @property
    def durable_index(self) -> int: ...
    @property
    def term(self) -> int: ...
    def term_at(self, index: int) -> int | None: ...
    def entry(self, index: int) -> Entry: ...


class RaftChecker:
    """Observes all replicas of a run. `report` takes each violation as it is seen."""

    def __init__(self, truth: Truth, now_s: Callable[[], float], report: Callable[[Violation], None]) -> None:
        self._truth = truth
        self._now_s = now_s
        self._report = report
        self._leaders: dict[int, tuple[int, int]] = {}
        self._seen: dict[tuple[int, int], tuple[int, int | None]] = {}  # (index, term): checksum, previous term
        self._terms: dict[int, int] = {}
        self._votes: dict[tuple[int, int], int] = {}
        self.elections = 0

    def _violated(self, checker: str, message: str) -> None:
        self._report(Violation(checker, message, self._now_s()))

    # --- election safety and leader completeness

    def became_leader(self, member: int, incarnation: int, term: int, log: LogView) -> None:
        """A replica says that it leads `term`; its log must hold all that was committed in earlier terms.

        A leader of an older term than the commit's may lack the entry: it is only slow to learn of its end.
        """
        self.elections += 1
        known = self._leaders.setdefault(term, (member, incarnation))
        if known != (member, incarnation):
            self._violated(
                "election safety",
                f"term {term} has two leaders: {known[0]} (life {known[1]}) and {member} (life {incarnation})",
            )
        for index, applied in self._truth.entries.items():
            if applied.committed_term >= term or index <= log.base_index:
                continue
            if log.term_at(index) != applied.term:
                self._violated(
                    "leader completeness",
                    f"{member} leads term {term} without committed entry {index} of term {applied.term} "
                    f"(it has term {log.term_at(index)} there, its log ends at {log.last_index})",
                )
                return

    def died(self, member: int, life: int, durable_term: int) -> None:
        """A process ended. A sole voter may lead in memory before its term is on disk: nobody saw that."""
        for term in [t for t, leader in self._leaders.items() if leader == (member, life) and t > durable_term]:
            del self._leaders[term]

    # --- log matching

    def look_at_log(self, member: int, log: LogView, *, first: int | None = None) -> None:
        """Compare what is durable of a log, from `first` (or its base) on, with every other ever seen."""
        start = max(log.base_index + 1, first or 0)
        for index in range(start, log.durable_index + 1):
            payload, _, term = log.entry(index)
            checksum = zlib.crc32(payload)
            previous_term = log.term_at(index - 1)
            known = self._seen.setdefault((index, term), (checksum, previous_term))
            if known[0] != checksum or (None not in (known[1], previous_term) and known[1] != previous_term):
                self._violated(
                    "log matching",
                    f"{member} holds at index {index} term {term}: crc {checksum:08x} after term {previous_term}; "
                    f"another log crc {known[0]:08x} after term {known[1]}",
                )
                return

    # --- state-machine safety

    def applied(self, member: int, entries: Sequence[Entry], last_applied: int, term: int) -> Iterable[Entry]:
        """`entries` are handed to a state machine that had applied `last_applied`, by a replica in `term`.

        Yields those new to the run.
        """
        for entry in entries:
            if entry[1] != last_applied + 1:
                self._violated(
                    "apply order", f"{member} was handed index {entry[1]} after {last_applied}: a gap or a repetition"
                )
                return
            last_applied += 1
            try:
                if self._truth.entry_applied(member, entry[1], entry[2], entry[0], self._now_s(), replica_term=term):
                    yield entry
            except Contradiction as contradiction:
                self._violated("state-machine safety", str(contradiction))
                return

    # --- what a disk must not forget

    def restarted(self, member: int, term: int, voted_for: int) -> None:
        """A member opened its journal and found this term and vote."""
        if term < self._terms.get(member, 0):
            self._violated("term kept", f"{member} came back with term {term}, it had shown term {self._terms[member]}")
        voted = self._votes.get((member, term), 0)
        if voted and voted_for != voted:
            self._violated(
                "vote kept", f"{member} came back in term {term} with vote {voted_for}, it voted for {voted}"
            )

    def disk_changed(self, member: int) -> None:
        """Bits of its journal flipped: it may have forgotten what it promised, and no longer votes."""
        self._terms.pop(member, None)
        for key in [key for key in self._votes if key[0] == member]:
            del self._votes[key]

    def showed_term(self, member: int, term: int) -> None:
        """A message of this member carried `term`: it must be durable by then."""
        self._terms[member] = max(term, self._terms.get(member, 0))

    def showed_vote(self, member: int, term: int, candidate: int) -> None:
        """A vote left this member."""
        given = self._votes.setdefault((member, term), candidate)
        if given != candidate:
            self._violated("one vote", f"{member} voted in term {term} for {given} and for {candidate}")
