"""Whatever is done to a journal and wherever it is stopped, it comes back as it was at some point of its past.

That point is never before what was handed out as durable, and torn writes are never taken for damage.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from journal_tools import CLUSTER, FOUNDERS, State, fake_disk, founded, reopened, segment_files, state_of

from raftstore.raft.configuration import encode_configuration
from raftstore.raft.engine import Configuration, Member
from raftstore.sim.disk import PowerCut

BODIES = st.one_of(
    st.binary(min_size=1, max_size=40),
    st.integers(1, 3000).map(lambda size: b"\x10\x01" + b"v" * size),
    st.integers(200, 3000).map(lambda size: b"\x10\x01" + bytes(size)),  # a body of zeros must not look torn
    st.integers(9000, 12000).map(lambda size: b"\x10\x01" + b"big" * (size // 3)),  # longer than a segment
).filter(lambda body: body[0] != 0x11)


class JournalMachine(RuleBasedStateMachine):
    """`past` holds the state after each change that may still be lost; its first one is durable."""

    @initialize(seed=st.integers(0, 1 << 32))
    def found(self, seed: int) -> None:
        self.disk = fake_disk(seed)
        self.journal = founded(self.disk)
        self.past: dict[int, State] = {self.journal.written: state_of(self.journal)}
        self.ran = 0

    def note(self) -> None:
        self.past[self.journal.written] = state_of(self.journal)

    # --- changes ---

    @rule(body=BODIES)
    def append(self, body: bytes) -> None:
        self.journal.append(body, self.journal.last_index + 1, self.journal.term)
        self.note()

    @rule(number=st.integers(1, 99))
    def append_configuration(self, number: int) -> None:
        members = (*FOUNDERS.members, Member(number, f"m{number}", "127.0.0.1:2"))
        self.append(encode_configuration(Configuration(CLUSTER, members)))

    @rule(share=st.floats(0, 1))
    def truncate(self, share: float) -> None:
        first = self.journal.base_index + 1
        self.journal.truncate_from(first + int(max(0, self.journal.last_index - first) * share))
        self.note()

    @rule(term=st.integers(1, 3), voted_for=st.integers(0, 3))
    def vote(self, term: int, voted_for: int) -> None:
        self.journal.set_vote(self.journal.term + term, voted_for)
        self.note()

    @rule(share=st.floats(0, 1))
    def trim(self, share: float) -> None:
        base, end = self.journal.base_index, self.journal.durable_index
        self.journal.trim(base + int((end - base) * share))
        self.note()

    @rule(ahead=st.integers(0, 50))
    def reset(self, ahead: int) -> None:
        journal = self.journal
        journal.reset(journal.base_index + ahead, journal.term, journal.configuration()[1])
        self.note()

    # --- the disk ---

    @rule()
    def sync(self) -> None:
        work = self.journal.take()
        if work is not None:
            work.run()
            self.journal.finish(work, None)
            self.forget_past(self.journal.durable)

    @rule(body=BODIES)
    def write_while_syncing(self, body: bytes) -> None:
        work = self.journal.take()
        self.append(body)
        if work is not None:
            work.run()
            self.journal.finish(work, None)
            self.forget_past(self.journal.durable)

    @rule()
    def find_the_disk_full(self) -> None:
        self.disk.full = True
        work = self.journal.take()
        if work is not None:
            try:
                work.run()
            except OSError as error:
                self.journal.finish(work, error)
            else:
                self.journal.finish(work, None)
                self.forget_past(self.journal.durable)
        self.disk.full = False

    @rule(steps=st.integers(0, 12), power=st.booleans())
    def stop_while_syncing(self, steps: int, power: bool) -> None:
        work = self.journal.take()
        if work is None:
            return
        self.disk.cut_after(steps)
        try:
            work.run()
        except PowerCut:
            self.come_back(power)
        else:
            self.disk.cut_after(None)
            self.journal.finish(work, None)
            self.forget_past(self.journal.durable)

    @rule(power=st.booleans())
    def stop(self, power: bool) -> None:
        self.come_back(power)

    @rule(steps=st.integers(0, 12), power=st.booleans())
    def stop_while_opening(self, steps: int, power: bool) -> None:
        self.disk.crash(power=power)
        self.disk.cut_after(steps)
        try:
            reopened(self.disk)
        except PowerCut:
            pass  # that is the point
        finally:
            self.disk.cut_after(None)
        self.come_back(power)

    def come_back(self, power: bool) -> None:
        self.disk.crash(power=power)
        self.journal = reopened(self.disk)
        assert self.journal.damage is None, self.journal.damage
        assert self.journal.harmless == []
        found = state_of(self.journal)
        assert found in self.past.values()
        self.past = {self.journal.written: found}

    def forget_past(self, durable: int) -> None:
        self.past = {number: state for number, state in self.past.items() if number >= durable}
        assert durable in self.past

    # --- what always holds ---

    @invariant()
    def marks_are_true(self) -> None:
        journal = self.journal
        durable = self.past[min(self.past)]
        kept = {index: (body, term) for body, index, term in durable.entries}
        now = {index: (body, term) for body, index, term in state_of(journal).entries}
        for index in range(journal.base_index + 1, journal.durable_index + 1):
            assert kept[index] == now[index]
        assert journal.durable_term <= durable.vote[0]
        if journal.durable_term == journal.term:
            assert durable.vote == (journal.term, journal.voted_for)

    @invariant()
    def folders_stay_small(self) -> None:
        needed = sum(len(body) for body, _, _ in state_of(self.journal).entries)
        assert len(segment_files(self.disk)) < 40 + needed // 1000


JournalMachine.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
test_a_journal_comes_back_as_it_once_was = JournalMachine.TestCase
