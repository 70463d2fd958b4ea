"""Linearizable reads: shared ReadIndex rounds, then waiting until this replica has applied that far.

What must hold: a reader is released only when this replica has applied an index that was confirmed by a
round *begun after the reader arrived*. An index taken earlier may miss a write that was finished before the
read began; so readers that come while a round is in flight share the next one.

On the leader a round is the engine's; elsewhere it is one question to the leader, who answers it with its
own next round. One round at a time, so that readers gather while it runs.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import NamedTuple

from .calls import Body, Calls, Reply, error_body
from .deadlines import Deadlines
from .errors import NotLeader, StoreError, Timeout, TooManyRequests
from .failpoint import failpoint
from .house import House
from .limits import READERS_MAX

READ_INDEX = "read_index"

#: Called with None when the read may begin, else with the reason why it may not.
Released = Callable[[StoreError | None], None]
#: Called with a confirmed index, or None when leadership was not confirmed.
Confirmed = Callable[[int | None], None]


class _Waiting(NamedTuple):
    """Those of one round that wait for this replica to apply `applied_from`."""

    applied_from: int
    order: int
    readers: list[tuple[float, Released]]


class Reading:
    def __init__(self, house: House, calls: Calls) -> None:
        self._house = house
        self._calls = calls
        self._readers: list[tuple[float, Released]] = []  # for the next round: (deadline, released)
        self._askers: list[Confirmed] = []  # other replicas', for the next round here
        self._round_readers: list[tuple[float, Released]] = []
        self._round_askers: list[Confirmed] = []
        self._round = 0  # number of the round in flight, 0: none
        self._rounds = 0
        self._applying: list[_Waiting] = []  # heap by index
        self._count = 0
        self._start_due = False
        self._deadlines = Deadlines(house.runtime, self._sweep)
        calls.answer_with(READ_INDEX, self._answer)

    def join(self, released: Released, timeout_s: float) -> None:
        """Call `released` once a read of the state here is linearizable. Never from within this call."""
        house = self._house
        if house.refusal is not None:
            house.answer_soon(released, house.refusal)
        elif self._count >= READERS_MAX:
            house.answer_soon(released, TooManyRequests(f"{self._count} readers wait already"))
        else:
            deadline_s = house.runtime.now() + timeout_s
            self._count += 1
            flying = self._round and "read_joins_flying_round" in house.options.protections_off
            (self._round_readers if flying else self._readers).append((deadline_s, released))
            self._deadlines.note(deadline_s)
            self._start_soon()

    def confirm(self, confirmed: Confirmed) -> None:
        """The index of the next round here, for another replica; None when this one does not lead."""
        if len(self._askers) >= READERS_MAX:
            confirmed(None)
            return
        self._askers.append(confirmed)
        self._start_soon()

    def _answer(self, peer: int, body: Body, reply: Reply) -> None:
        def confirmed(index: int | None) -> None:
            reply(error_body(NotLeader("leadership was not confirmed")) if index is None else {"index": index})

        self.confirm(confirmed)

    # --- rounds ---------------------------------------------------------------------------------------

    def _start_soon(self) -> None:
        """At the end of this loop turn, so that all who arrive in it share the round."""
        if not self._start_due and not self._round:
            self._start_due = True
            self._house.runtime.call_soon(self._start)

    def _start(self) -> None:
        self._start_due = False
        house = self._house
        if not house.leading:
            askers, self._askers = self._askers, []
            for confirmed in askers:
                confirmed(None)
        if self._round or not house.leader or not (self._readers or self._askers) or house.refusal is not None:
            return
        failpoint("before_read_index")
        self._rounds += 1
        number = self._round = self._rounds
        self._round_readers, self._readers = self._readers, []
        self._round_askers, self._askers = self._askers, []
        house.metrics.read_rounds += 1
        if house.leading:
            house.engine.read_index(lambda index: self._confirmed(number, index))
        else:
            timeout_s = house.options.forward_timeout_s
            self._calls.ask(house.leader, READ_INDEX, {}, lambda answer: self._told(number, answer), timeout_s)

    def _told(self, number: int, answer: Body | None) -> None:
        index = None if answer is None else answer.get("index")
        self._confirmed(number, index if isinstance(index, int) else None)

    def _confirmed(self, number: int, index: int | None) -> None:
        if number != self._round:
            return  # a round given up when the leader changed
        self._round = 0
        readers, self._round_readers = self._round_readers, []
        askers, self._round_askers = self._round_askers, []
        for confirmed in askers:
            confirmed(index)
        if index is None:
            self._house.metrics.read_rounds_lost += 1
            self._readers = readers + self._readers
            runtime = self._house.runtime
            runtime.call_at(runtime.now() + self._house.options.timing.heartbeat_s, self._start_soon)
            return
        if index <= self._house.machine.applied_index:
            self._release(readers)
        elif readers:
            heapq.heappush(self._applying, _Waiting(index, number, readers))
        if self._readers or self._askers:
            self._start_soon()

    def role_changed(self) -> None:
        """A round of the last leader or term may never end: its readers join a new one."""
        if self._round:
            self._confirmed(self._round, None)
        self._start_soon()

    # --- releasing ------------------------------------------------------------------------------------

    def applied(self, index: int) -> None:
        """This replica's state now holds everything up to `index`."""
        while self._applying and self._applying[0].applied_from <= index:
            self._release(heapq.heappop(self._applying).readers)

    def _release(self, readers: list[tuple[float, Released]]) -> None:
        self._count -= len(readers)
        self._house.metrics.readers += len(readers)
        for _, released in readers:
            released(None)

    def _sweep(self, now_s: float) -> float | None:
        earliest_s = float("inf")
        overdue: list[Released] = []
        for readers in (self._readers, self._round_readers, *(waiting.readers for waiting in self._applying)):
            kept = [reader for reader in readers if reader[0] > now_s]
            overdue += [released for deadline_s, released in readers if deadline_s <= now_s]
            readers[:] = kept
            earliest_s = min(earliest_s, min((deadline_s for deadline_s, _ in kept), default=earliest_s))
        self._house.metrics.readers_timed_out += len(overdue)
        reason = "no leader is known" if not self._house.leader else "the leader did not confirm itself in time"
        self._fail(overdue, Timeout(f"not readable before the deadline: {reason}"))
        return None if earliest_s == float("inf") else earliest_s

    def fail_all(self, error: StoreError) -> None:
        """This replica serves no longer."""
        for readers in (self._readers, self._round_readers, *(waiting.readers for waiting in self._applying)):
            self._fail([released for _, released in readers], error)
            readers.clear()
        self._applying.clear()
        askers, self._askers, self._round_askers = self._askers + self._round_askers, [], []
        for confirmed in askers:
            confirmed(None)

    def _fail(self, overdue: list[Released], error: StoreError) -> None:
        self._count -= len(overdue)
        for released in overdue:
            released(error)

    def stop(self) -> None:
        self._deadlines.stop()
