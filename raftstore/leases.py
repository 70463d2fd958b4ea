"""Lease clocks: which leases are over, decided by the leader alone and carried out through the log.

The replicated state knows leases and their time to live, never a time. The leader keeps the clocks:
monotonic, in memory, not replicated. What must hold:
- A new leader gives every lease a full time to live: it cannot know what the last one answered.
- So does a leader that notices it was paused (its tick came later than an election timeout): keep-alives
  may sit unread in its sockets, and another leader may have been and gone.
- A keep-alive is answered only after a leadership round begun after it arrived, and never while a revoke
  of that lease is on its way. It is not logged.
- A revoke decided here is proposed in this term only: it is neither forwarded to the next leader nor sent
  again, for there the clocks begin anew.
"""

from __future__ import annotations

import heapq
import logging
from typing import Any

from .calls import Body, Calls, Reply, error_body
from .command import RevokeLease
from .errors import LeaseNotFound, NotLeader, StoreError
from .failpoint import failpoint
from .house import Done, House
from .model import LeaseResult, LeaseStatus
from .mvcc.outcome import Outcome
from .proposals import Proposals
from .reading import Reading
from .runtime import Timer

KEEP_ALIVE = "lease_keep_alive"
TIME_TO_LIVE = "lease_time_to_live"

CLOCKS_LOOKED_AT_MAX = 1_000  # in one tick
STALE_MARKS_MAX = 1_000  # due marks of leases that are gone, before the heap is made anew
REVOKE_RETRY_S = 1.0

log = logging.getLogger(__name__)


class _Clock:
    __slots__ = ("renewed_s", "ttl_s")

    def __init__(self, ttl_s: int, renewed_s: float) -> None:
        self.ttl_s = ttl_s
        self.renewed_s = renewed_s


class Leases:
    def __init__(self, house: House, reading: Reading, proposals: Proposals, calls: Calls) -> None:
        self._house = house
        self._reading = reading
        self._proposals = proposals
        self._calls = calls
        self._term = 0  # the term in which the clocks run, 0: they do not
        self._clocks: dict[int, _Clock] = {}
        self._due: list[tuple[float, int]] = []  # heap; a mark may be early, never late
        self._epoch_s = 0.0  # every lease counts as renewed at this time at least
        self._ticked_s = 0.0
        self._timer: Timer | None = None
        self._expiring: dict[int, list[Reply]] = {}  # revokes on their way, and keep-alives that wait for them
        calls.answer_with(KEEP_ALIVE, self._answer_keep_alive)
        calls.answer_with(TIME_TO_LIVE, self._answer_time_to_live)

    # --- from callers, on any replica -----------------------------------------------------------------

    def keep_alive(self, lease: int, done: Done, timeout_s: float) -> None:
        """`done` gets a LeaseResult with the full time to live, 0 when there is no such lease."""

        def answered(answer: Any) -> None:
            if isinstance(answer, StoreError):
                done(answer)
            else:
                done(LeaseResult(answer["revision"], lease, answer["ttl"]))

        self._calls.ask_leader(KEEP_ALIVE, {"lease": lease}, answered, timeout_s)

    def time_to_live(self, lease: int, keys: bool, done: Done, timeout_s: float) -> None:
        """`done` gets a LeaseStatus by the leader's clock; its keys are read here, no older than that."""

        def answered(answer: Any) -> None:
            if isinstance(answer, StoreError):
                done(answer)
            elif keys and answer["granted"]:
                self._reading.join(lambda error: done(error or status(answer, True)), timeout_s)
            else:
                done(status(answer, False))

        def status(answer: Body, with_keys: bool) -> LeaseStatus:
            found = self._house.machine.lease_keys(lease) if with_keys else []
            return LeaseStatus(lease, answer["granted"], answer["remaining"], found)

        self._calls.ask_leader(TIME_TO_LIVE, {"lease": lease}, answered, timeout_s)

    # --- at the leader --------------------------------------------------------------------------------

    def _answer_keep_alive(self, peer: int, body: Body, reply: Reply) -> None:
        self._when_confirmed(reply, int(body["lease"]), self._renew)

    def _answer_time_to_live(self, peer: int, body: Body, reply: Reply) -> None:
        self._when_confirmed(reply, int(body["lease"]), self._tell)

    def _when_confirmed(self, reply: Reply, lease: int, answer: Any) -> None:
        """After a round of this term, and with all of it applied here."""
        term = self._term
        if not term:
            reply(error_body(NotLeader("the lease clocks run at the leader")))
            return

        def released(error: StoreError | None) -> None:
            if error is not None:
                reply(error_body(error))
            elif term != self._term:
                reply(error_body(NotLeader("leadership ended meanwhile")))
            else:
                answer(lease, reply)

        self._reading.join(released, self._house.options.forward_timeout_s)

    def _renew(self, lease: int, reply: Reply) -> None:
        if lease in self._expiring:
            self._expiring[lease].append(reply)
            return
        clock = self._clocks.get(lease)
        if clock is not None:
            clock.renewed_s = self._house.runtime.now()
        reply({"ttl": 0 if clock is None else clock.ttl_s, "revision": self._house.machine.revision})

    def _tell(self, lease: int, reply: Reply) -> None:
        clock = self._clocks.get(lease)
        if clock is None:
            reply({"granted": 0, "remaining": -1})
        else:
            left_s = self._over_at_s(clock) - self._house.runtime.now()
            reply({"granted": clock.ttl_s, "remaining": max(0, int(left_s))})

    # --- the clocks -----------------------------------------------------------------------------------

    def role_changed(self) -> None:
        house = self._house
        term = house.term if house.leading and house.refusal is None else 0  # no clocks without a state
        if term == self._term:
            return
        self._stop_clocks()
        self._term = term
        if term:
            for lease in self._house.machine.leases():
                self._start_clock(lease.id, lease.granted_ttl_s)
            self._restart_clocks("leadership")
            self._tick_later()

    def applied(self, outcomes: list[Outcome]) -> None:
        """Leases granted or revoked by what was applied; only the leader's clocks care."""
        if not self._term:
            return
        for outcome in outcomes:
            result = outcome.result
            if type(result) is LeaseResult:
                if result.ttl > 0:
                    self._start_clock(result.id, result.ttl)
                else:
                    self._clocks.pop(result.id, None)

    def installed(self) -> None:
        """A snapshot replaced the state; only followers are sent one."""
        self._stop_clocks()

    def _start_clock(self, lease: int, ttl_s: int) -> None:
        now_s = self._house.runtime.now()
        self._clocks[lease] = _Clock(ttl_s, now_s)
        heapq.heappush(self._due, (now_s + ttl_s, lease))

    def _over_at_s(self, clock: _Clock) -> float:
        return max(clock.renewed_s, self._epoch_s) + clock.ttl_s

    def _restart_clocks(self, why: str) -> None:
        self._epoch_s = self._ticked_s = self._house.runtime.now()
        self._house.metrics.lease_clocks_restarted += 1
        if self._clocks:
            log.info("all leases have a full time to live again", extra={"why": why, "leases": len(self._clocks)})

    def _tick_later(self) -> None:
        runtime = self._house.runtime
        self._timer = runtime.call_at(runtime.now() + self._house.options.timing.heartbeat_s, self._tick)

    def _tick(self) -> None:
        timing, now_s = self._house.options.timing, self._house.runtime.now()
        if now_s - self._ticked_s > timing.heartbeat_s + timing.election_timeout_s_min:
            self._restart_clocks("pause")
        self._ticked_s = now_s
        self._expire(now_s)
        self._tick_later()

    def _expire(self, now_s: float) -> None:
        revokes_left = self._house.options.lease_revokes_per_tick
        for _ in range(CLOCKS_LOOKED_AT_MAX):
            if not revokes_left or not self._due or self._due[0][0] > now_s:
                break
            _, lease = heapq.heappop(self._due)
            clock = self._clocks.get(lease)
            if clock is None or lease in self._expiring:
                continue
            over_at_s = self._over_at_s(clock)
            if over_at_s > now_s:
                heapq.heappush(self._due, (over_at_s, lease))
            else:
                revokes_left -= 1
                self._revoke(lease)
        if len(self._due) > 2 * len(self._clocks) + STALE_MARKS_MAX:
            self._due = [(self._over_at_s(clock), lease) for lease, clock in self._clocks.items()]
            heapq.heapify(self._due)

    def _revoke(self, lease: int) -> None:
        failpoint("before_lease_expiry")
        term = self._term
        self._expiring[lease] = []
        self._house.metrics.leases_expired += 1
        timeout_s = self._house.options.request_timeout_s

        def done(outcome: Any) -> None:
            if term == self._term:
                self._revoked(lease, outcome)

        self._proposals.submit(RevokeLease(lease, expired=True), done, timeout_s, term=term)

    def _revoked(self, lease: int, outcome: Any) -> None:
        """Only what the log said counts; a revoke that got lost is decided once more."""
        waiting = self._expiring.pop(lease)
        if isinstance(outcome, StoreError) and not isinstance(outcome, LeaseNotFound):
            log.warning("expired lease not revoked yet", extra={"lease": lease, "reason": outcome.message})
            heapq.heappush(self._due, (self._house.runtime.now() + REVOKE_RETRY_S, lease))
            for reply in waiting:
                reply(error_body(outcome))
        else:
            for reply in waiting:
                self._renew(lease, reply)

    def _stop_clocks(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._term = 0
        self._clocks.clear()
        self._due.clear()
        expiring, self._expiring = self._expiring, {}
        for waiting in expiring.values():
            for reply in waiting:
                reply(error_body(NotLeader("leadership ended meanwhile")))

    def stop(self) -> None:
        self._stop_clocks()
