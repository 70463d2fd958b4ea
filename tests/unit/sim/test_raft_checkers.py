"""The raft judges see each broken property of the paper's Figure 3 the moment it is broken."""

from __future__ import annotations

from raftstore.raft.engine import Entry
from raftstore.sim.checkers import Violation
from raftstore.sim.checkers.raft import RaftChecker
from raftstore.sim.truth import Truth


class Log:
    """Terms of entries 2, 3, ...; payloads are made of index and term, or given."""

    base_index = 1

    def __init__(self, *terms: int, payloads: dict[int, bytes] | None = None) -> None:
        self.terms = [0, *terms]
        self.term = max(self.terms)
        self.payloads = payloads or {}

    @property
    def last_index(self) -> int:
        return len(self.terms)

    @property
    def durable_index(self) -> int:
        return self.last_index

    def term_at(self, index: int) -> int | None:
        return self.terms[index - 1] if 1 <= index <= len(self.terms) else None

    def entry(self, index: int) -> Entry:
        term = self.terms[index - 1]
        return Entry(self.payloads.get(index, b"%d.%d" % (index, term)), index, term)

    def entries(self) -> list[Entry]:
        return [self.entry(index) for index in range(2, self.last_index + 1)]


class Case:
    def __init__(self) -> None:
        self.found: list[Violation] = []
        self.checker = RaftChecker(Truth(), lambda: 1.0, self.found.append)

    def apply(self, member: int, log: Log, last_applied: int = 1) -> int:
        return len(list(self.checker.applied(member, log.entries()[last_applied - 1 :], last_applied, log.term)))

    def broken(self) -> list[str]:
        return [violation.checker for violation in self.found]


def test_a_right_run_passes() -> None:
    case = Case()
    case.checker.became_leader(1, 1, 1, Log())
    assert case.apply(1, Log(1, 1)) == 2
    assert case.apply(2, Log(1, 1)) == 0
    case.checker.look_at_log(1, Log(1, 1, 1))
    case.checker.look_at_log(2, Log(1, 1, 2))
    case.checker.became_leader(2, 1, 2, Log(1, 1))
    case.checker.showed_term(2, 2)
    case.checker.restarted(2, 2, 2)
    assert case.broken() == []


def test_two_leaders_in_one_term() -> None:
    case = Case()
    case.checker.became_leader(1, 1, 3, Log())
    case.checker.became_leader(1, 1, 3, Log())
    assert case.broken() == []
    case.checker.became_leader(2, 1, 3, Log())
    assert case.broken() == ["election safety"]


def test_the_same_member_in_another_life_is_another_leader() -> None:
    case = Case()
    case.checker.became_leader(1, 1, 3, Log())
    case.checker.became_leader(1, 2, 3, Log())
    assert case.broken() == ["election safety"]


def test_a_leadership_that_never_reached_the_disk_is_none() -> None:
    case = Case()
    case.checker.became_leader(1, 1, 3, Log())
    case.checker.died(1, 1, durable_term=2)
    case.checker.became_leader(1, 2, 3, Log())
    assert case.broken() == []
    case.checker.died(1, 2, durable_term=3)
    case.checker.became_leader(1, 3, 3, Log())
    assert case.broken() == ["election safety"]


def test_a_leader_without_a_committed_entry() -> None:
    case = Case()
    case.apply(1, Log(1, 1))
    case.checker.became_leader(2, 1, 2, Log(1))
    assert case.broken() == ["leader completeness"]


def test_a_leader_of_a_term_that_is_over_may_lack_what_was_committed_since() -> None:
    case = Case()
    later = Log(1, 1)
    later.term = 4
    case.apply(1, later)
    case.checker.became_leader(2, 1, 3, Log(1))
    assert case.broken() == []
    case.checker.became_leader(2, 1, 5, Log(1))
    assert case.broken() == ["leader completeness"]


def test_a_leader_with_another_entry_where_one_was_committed() -> None:
    case = Case()
    case.apply(1, Log(1, 2))
    case.checker.became_leader(2, 1, 3, Log(1, 1))
    assert case.broken() == ["leader completeness"]


def test_equal_index_and_term_with_another_payload() -> None:
    case = Case()
    case.checker.look_at_log(1, Log(1, 1))
    case.checker.look_at_log(2, Log(1, 1, payloads={3: b"other"}))
    assert case.broken() == ["log matching"]


def test_equal_index_and_term_after_another_prefix() -> None:
    case = Case()
    case.checker.look_at_log(1, Log(1, 3))
    case.checker.look_at_log(2, Log(2, 3))
    assert case.broken() == ["log matching"]


def test_two_entries_applied_at_one_index() -> None:
    case = Case()
    case.apply(1, Log(1))
    case.apply(2, Log(2))
    assert case.broken() == ["state-machine safety"]


def test_a_gap_and_a_repetition_in_what_is_applied() -> None:
    case = Case()
    case.apply(1, Log(1, 1, 1))
    list(case.checker.applied(2, Log(1, 1, 1).entries()[1:], 1, 1))
    list(case.checker.applied(3, Log(1, 1).entries(), 2, 1))
    assert case.broken() == ["apply order", "apply order"]


def test_a_disk_that_forgets_a_term_or_a_vote() -> None:
    case = Case()
    case.checker.showed_term(1, 5)
    case.checker.showed_vote(1, 5, 2)
    case.checker.restarted(1, 5, 2)
    assert case.broken() == []
    case.checker.restarted(1, 4, 0)
    case.checker.restarted(1, 5, 0)
    case.checker.showed_vote(1, 5, 3)
    assert case.broken() == ["term kept", "vote kept", "one vote"]
    case.checker.disk_changed(1)
    case.checker.restarted(1, 1, 0)
    assert len(case.broken()) == 3
