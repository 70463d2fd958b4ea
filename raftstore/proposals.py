"""Writes on their way into the log: named, joined into batches, proposed or forwarded, resolved when applied.

What must hold:
- A request is encoded once and keeps its name `(session, sequence)` through every re-send, so the state
  machine applies it at most once however many copies reach the log.
- Its caller is answered exactly once: with the result when *this* replica applies it, or with an error that
  says whether it may still take effect. Only a request that was never handed to the engine or sent to a
  leader, or whose name the replicated table refuses for ever, ends definitely.
- Group commit: requests of one loop turn form one batch, and while `entries_in_flight_max` entries of this
  leader are not applied, what arrives forms the next.

A leader that cannot commit keeps its entries in its log, so it never proposes twice within one term; a
follower's message may be lost at any time, so it sends again after a timeout and when the leader changes.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from typing import Any

from .batches import Batch, Proposal, take_batch
from .command import (
    COMMAND_TAGS_V1,
    KIND_BATCH,
    Command,
    encode_command,
    is_request,
    join_batch,
    name_request,
    tag_of,
)
from .deadlines import Deadlines
from .errors import (
    NotLeader,
    OutcomeUnknown,
    RequestTooLarge,
    SessionExpired,
    StoreError,
    Timeout,
    TooManyRequests,
    UnknownKind,
)
from .failpoint import failpoint
from .house import Done, House
from .limits import PROPOSAL_BYTES_MAX, PROPOSALS_MAX, REQUEST_BYTES_MAX
from .mvcc.outcome import Duplicate, Outcome, SessionRegistered
from .raft.engine import Entry, Message
from .runtime import Timer
from .session import Session

PROPOSE = "store.propose"
RESENDS_DOUBLED_MAX = 4  # the forward timeout grows up to 16-fold while nothing comes back

log = logging.getLogger(__name__)


class Proposals:
    def __init__(self, house: House) -> None:
        self._house = house
        self._session = Session(house.runtime)
        self._asked_s = 0.0  # when the session was last asked for
        self._queue: deque[Proposal] = deque()  # to be sent, in order; named ones are in _pending too
        self._pending: dict[int, Proposal] = {}  # named and not answered, by sequence
        self._forwarded: deque[bytes] = deque()  # other replicas' named requests, for the next batch here
        self._forwarded_bytes = 0
        self._count = 0
        self._bytes = 0
        self._entries_in_flight = 0
        self._resends = 0
        self._flush_due = False
        self._deadlines = Deadlines(house.runtime, self._sweep)
        self._resend_timer: Timer | None = None

    @property
    def waiting(self) -> int:
        """Writes of this replica that have no answer yet."""
        return self._count

    # --- in -------------------------------------------------------------------------------------------

    def submit(self, command: Command, done: Done, timeout_s: float, *, term: int = 0) -> None:
        """Propose a command; `done` gets its result or a StoreError.

        With `term` it is proposed only while this replica leads that very term.
        """
        house = self._house
        try:
            body = self._admit(command)
        except StoreError as error:
            house.answer_soon(done, error)
            return
        proposal = Proposal(body, done, house.runtime.now() + timeout_s, term)
        self._count += 1
        self._bytes += len(body)
        house.metrics.requests += 1
        self._queue.append(proposal)
        self._deadlines.note(proposal.deadline_s)
        self.flush_soon()

    def _admit(self, command: Command) -> bytes:
        house = self._house
        refusal = house.refusal or house.write_refusal
        if refusal is not None:
            raise refusal
        house.machine.check(command)
        tag = tag_of(command)
        if tag not in COMMAND_TAGS_V1 and tag not in house.engine.status().kinds:
            raise UnknownKind(f"not every member knows commands of kind {tag!r}: upgrade them first")
        body = encode_command(command)
        if len(body) > REQUEST_BYTES_MAX:
            raise RequestTooLarge(f"the request is {len(body)} bytes, at most {REQUEST_BYTES_MAX} are taken")
        if self._count >= PROPOSALS_MAX or self._bytes + len(body) > PROPOSAL_BYTES_MAX:
            house.metrics.requests_refused += 1
            raise TooManyRequests(f"{self._count} writes of {self._bytes} bytes wait already")
        return body

    def forwarded(self, requests: Sequence[bytes]) -> None:
        """A follower's batch. Refused when this is not the leader or too much waits; it will send again."""
        house = self._house
        size = sum(map(len, requests))
        if not house.leading or house.refusal or house.write_refusal:
            return
        if self._forwarded_bytes + size > PROPOSAL_BYTES_MAX:
            house.metrics.forwarded_refused += len(requests)
            return
        self._forwarded.extend(requests)
        self._forwarded_bytes += size
        house.metrics.forwarded_requests += len(requests)
        self.flush_soon()

    # --- out ------------------------------------------------------------------------------------------

    def flush_soon(self) -> None:
        """Send at the end of this loop turn what has come together by then."""
        if not self._flush_due:
            self._flush_due = True
            self._house.runtime.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        house = self._house
        if house.refusal is not None or not house.leader:
            return
        if self._queue and not self._session.id and not self._session.candidate:
            self._ask_session()
        while self._may_send():
            batch = take_batch(self._queue, self._ready, self._forwarded, requests_max=house.options.entry_requests_max)
            self._forwarded_bytes -= batch.forwarded_bytes
            if not batch.wires:
                return
            if not self._send(batch):
                return

    def _may_send(self) -> bool:
        if self._house.leading:
            return self._entries_in_flight < self._house.options.entries_in_flight_max
        return True

    def _ready(self) -> bool:
        """Whether the first proposal of the queue may be sent now; it has its name then."""
        queue, session = self._queue, self._session
        while queue and queue[0].done is None:
            queue.popleft()
        if not queue or not session.id:
            return False
        proposal = queue[0]
        if not proposal.sequence:
            if not session.has_room:
                return False
            proposal.sequence = session.draw()
            proposal.wire = name_request(session.id, proposal.sequence, session.lowest, proposal.body)
            self._pending[proposal.sequence] = proposal
        return True

    def _ask_session(self) -> None:
        self._asked_s = self._house.runtime.now()
        self._arm_resend()
        batch = Batch()
        batch.add(self._session.ask())
        if not self._send(batch):
            self._session.forget()

    def _send(self, batch: Batch) -> bool:
        """Hand a batch to the log here or to the leader. False: nothing was handed over."""
        house = self._house
        fresh = [proposal for proposal in batch.own if not proposal.sent]
        self._mark(batch)  # first: the engine may tell us of a lost leadership before it answers
        if house.leading:
            failpoint("before_propose")
            self._entries_in_flight += 1
            taken = house.engine.propose(join_batch(batch.wires))
            failpoint("after_propose")
        else:
            failpoint("before_forward")
            taken = house.engine.send(house.leader, {"type": PROPOSE, "requests": batch.wires})
            failpoint("after_forward")
        if not taken:
            self._put_back(batch, fresh)
            return False
        house.metrics.batches += 1
        house.metrics.batch_requests += len(batch.wires)
        if batch.own and not house.leading:
            self._arm_resend()
        return True

    def _mark(self, batch: Batch) -> None:
        now_s, installs = self._house.runtime.now(), self._house.installs
        for proposal in batch.own:
            if not proposal.sent:
                proposal.sent, proposal.installs = True, installs
            proposal.sent_s = now_s

    def _put_back(self, batch: Batch, fresh: list[Proposal]) -> None:
        """Leadership is gone or going, the disk is full, or a connection is: nothing was handed over.

        Own requests wait for whoever tells of a change, or a heartbeat; other replicas send theirs again.
        """
        house = self._house
        for proposal in fresh:
            proposal.sent = False
        self._queue.extendleft(reversed(batch.own))
        self._entries_in_flight = max(0, self._entries_in_flight - house.leading)
        self._drop_forwarded()
        house.runtime.call_at(house.runtime.now() + house.options.timing.heartbeat_s, self.flush_soon)

    def _drop_forwarded(self) -> None:
        self._forwarded.clear()
        self._forwarded_bytes = 0

    # --- again ----------------------------------------------------------------------------------------

    def _arm_resend(self) -> None:
        if self._resend_timer is None:
            house = self._house
            wait_s = house.options.forward_timeout_s * (1 << min(self._resends, RESENDS_DOUBLED_MAX))
            self._resend_timer = house.runtime.call_at(house.runtime.now() + wait_s, self._resend_overdue)

    def _resend_overdue(self) -> None:
        """A batch or its answer may be lost on the way: a follower sends it again, a leader knows better."""
        self._resend_timer = None
        if self._house.leading:
            self.flush_soon()
            return
        now_s = self._house.runtime.now()
        overdue_s = now_s - self._house.options.forward_timeout_s
        oldest = next((proposal for proposal in self._pending.values() if proposal.sent), None)
        asking = bool(self._session.candidate)
        if (oldest is not None and oldest.sent_s <= overdue_s) or (asking and self._asked_s <= overdue_s):
            self._resends += 1
            self.send_again()
        elif oldest is not None or asking:
            self._arm_resend()
        if self._queue:
            self.flush_soon()

    def send_again(self) -> None:
        """Everything without an answer goes out once more, in order, under the same names."""
        self._session.candidate = 0
        again = list(self._pending.values())
        self._house.metrics.requests_resent += sum(proposal.sent for proposal in again)
        unnamed = [proposal for proposal in self._queue if not proposal.sequence]
        self._queue = deque(again + unnamed)
        self.flush_soon()

    def role_changed(self) -> None:
        """Another leader or term: what the last one was given may be lost with it."""
        house = self._house
        self._entries_in_flight = 0
        self._resends = 0
        if not house.leading:
            self._drop_forwarded()
        for proposal in self._everyone():
            if proposal.term and proposal.term != (house.term if house.leading else 0):
                self._finish(proposal, self._lost(proposal))
        self.send_again()

    @staticmethod
    def _lost(proposal: Proposal) -> StoreError:
        if proposal.sent:
            return OutcomeUnknown("leadership ended before the command was applied")
        return NotLeader("leadership ended before the command was proposed")

    # --- answers --------------------------------------------------------------------------------------

    def applied(self, entries: Sequence[Entry], outcomes: Sequence[Outcome]) -> None:
        """Entries were applied here: answer the callers whose requests they held."""
        if self._entries_in_flight:
            term = self._house.term
            for entry in entries:
                if entry.term == term and entry.payload[0] == KIND_BATCH and self._entries_in_flight:
                    self._entries_in_flight -= 1
        for outcome in outcomes:
            if outcome.session == self._session.id:
                self._resolve(outcome.sequence, outcome.result)
            elif outcome.session == self._session.candidate:
                self._session_answered(outcome)
        if self._queue or self._forwarded:
            self.flush_soon()

    def _resolve(self, sequence: int, result: Any) -> None:
        proposal = self._pending.get(sequence)
        if proposal is None:
            return  # answered before: this was a second copy, or its deadline had passed
        self._resends = 0
        if isinstance(result, SessionExpired):
            self._session_forgotten()
            return
        if isinstance(result, Duplicate):
            result = OutcomeUnknown("the request took effect, its result was lost when a snapshot was installed")
        self._finish(proposal, result)

    def _session_answered(self, outcome: Outcome) -> None:
        if isinstance(outcome.result, SessionRegistered) and self._session.registered(outcome.session):
            self._house.metrics.sessions_registered += 1
        else:
            log.warning("session not registered", extra={"result": str(outcome.result)})

    def _session_forgotten(self) -> None:
        """The table refuses our session, for ever: what never took effect under it may have another name.

        This replica applied every entry since it sent them, so what has no answer yet was not applied,
        unless a snapshot was installed meanwhile: then nobody can tell.
        """
        log.info("session forgotten by the replicated table, registering another")
        self._session.forget()
        pending, self._pending = self._pending, {}
        unnamed = [proposal for proposal in self._queue if not proposal.sequence]
        for proposal in pending.values():
            if proposal.sent and proposal.installs != self._house.installs:
                self._finish(proposal, OutcomeUnknown("the session was forgotten while a snapshot was installed"))
            else:
                proposal.sequence, proposal.wire, proposal.sent = 0, b"", False
        self._queue = deque([proposal for proposal in pending.values() if proposal.done is not None] + unnamed)

    def _sweep(self, now_s: float) -> float | None:
        earliest_s: float | None = None
        for proposal in self._everyone():
            if proposal.deadline_s <= now_s:
                self._house.metrics.requests_timed_out += 1
                self._finish(proposal, self._timeout(proposal))
            elif earliest_s is None or proposal.deadline_s < earliest_s:
                earliest_s = proposal.deadline_s
        return earliest_s

    def _timeout(self, proposal: Proposal) -> Timeout:
        if proposal.sent:
            return Timeout("no result before the deadline; the write may still take effect", definite=False)
        reason = "no leader is known" if not self._house.leader else "the leader takes no more for now"
        return Timeout(f"the write was not sent before the deadline: {reason}")

    def fail_all(self, error: StoreError) -> None:
        """This replica serves no longer."""
        for proposal in self._everyone():
            unknown = OutcomeUnknown(f"sent, and then: {error.message}")
            self._finish(proposal, unknown if proposal.sent else error)
        self._queue.clear()
        self._drop_forwarded()

    def stop(self) -> None:
        self._deadlines.stop()
        if self._resend_timer is not None:
            self._resend_timer.cancel()
            self._resend_timer = None

    def _everyone(self) -> list[Proposal]:
        unnamed = [proposal for proposal in self._queue if not proposal.sequence and proposal.done is not None]
        return [*self._pending.values(), *unnamed]

    def _finish(self, proposal: Proposal, outcome: Any) -> None:
        done, proposal.done = proposal.done, None
        if done is None:
            return
        self._count -= 1
        self._bytes -= len(proposal.body)
        if proposal.sequence and self._pending.pop(proposal.sequence, None) is not None:
            self._session.release(proposal.sequence)
        done(outcome)


def requests_of(message: Message) -> list[bytes]:
    """The requests of a forwarded batch; none when one of them makes no sense.

    They are decoded here, before they can reach the log: there an unreadable one would stop every replica.
    """
    requests = message.get("requests")
    if not isinstance(requests, list) or not all(is_request(request) for request in requests):
        log.warning("forwarded batch is malformed, dropped")
        return []
    return requests
