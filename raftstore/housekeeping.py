"""Space: compaction by age, its physical steps, and the NOSPACE alarm. All of it idle work in slices.

The leader samples (time, revision) and proposes to compact what was the newest revision one age ago, so a
client that pages or watches has that long. What compaction hides is removed by each replica for itself, in
steps short enough for the event loop, with rests between them.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from .command import Compact, SetAlarm
from .errors import NoSpace, StoreError
from .failpoint import failpoint
from .house import House
from .model import Alarm, AlarmType, CompactResult
from .mvcc import quota
from .mvcc.outcome import Outcome
from .proposals import Proposals

EARLY_SHARE = 4  # above the soft quota a history of a quarter of the age has to do
NO_SPACE_REST_S = 1.0

log = logging.getLogger(__name__)


class Compaction:
    def __init__(self, house: House, proposals: Proposals, failed: Callable[[StoreError], None]) -> None:
        self._house = house
        self._proposals = proposals
        self._failed = failed
        self._samples: deque[tuple[float, int]] = deque()
        self._proposing = False
        self._stepping = False
        self._finished: list[Callable[[], None]] = []

    def start(self) -> None:
        """What an earlier incarnation did not get to."""
        self._step_after(self._house.options.compaction_rest_s)

    def pulse(self, *, early: bool) -> None:
        """Look whether a revision is old enough; `early`: the state is above the soft quota."""
        house, age_s = self._house, self._house.options.compaction_age_s
        if not house.leading or age_s <= 0:
            return
        now_s = house.runtime.now()
        if not self._samples or now_s - self._samples[-1][0] >= age_s / house.options.compaction_samples:
            self._samples.append((now_s, house.machine.revision))
        revision = self._revision_before(now_s - (age_s / EARLY_SHARE if early else age_s))
        if revision > house.machine.compact_revision and not self._proposing:
            self._proposing = True
            house.metrics.compactions += 1
            self._proposals.submit(Compact(revision), self._proposed, house.options.request_timeout_s, term=house.term)
        while len(self._samples) > 1 and self._samples[1][0] <= now_s - age_s:
            self._samples.popleft()

    def _revision_before(self, when_s: float) -> int:
        revision = 0
        for sampled_s, sampled in self._samples:
            if sampled_s > when_s:
                break
            revision = sampled
        return revision

    def _proposed(self, outcome: Any) -> None:
        self._proposing = False
        if isinstance(outcome, StoreError):
            log.info("compaction by age is tried again", extra={"reason": outcome.message})

    def applied(self, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            if type(outcome.result) is CompactResult:
                self._step_after(self._house.options.compaction_rest_s)

    def when_finished(self, done: Callable[[], None]) -> None:
        """Call `done` once nothing that is compacted now is left on this replica's pages."""
        self._finished.append(done)
        self._step_after(self._house.options.compaction_rest_s)

    def _step_after(self, rest_s: float) -> None:
        if not self._stepping:
            self._stepping = True
            self._house.runtime.call_at(self._house.runtime.now() + rest_s, self._step)

    def _step(self) -> None:
        self._stepping = False
        house = self._house
        if house.refusal is not None:
            return
        rest_s = house.options.compaction_rest_s
        try:
            failpoint("before_compact_step")
            house.metrics.compaction_steps += 1
            more = house.machine.compact_step()
        except NoSpace:
            more, rest_s = True, NO_SPACE_REST_S
        except StoreError as error:
            self._failed(error)
            return
        if more:
            self._step_after(rest_s)
            return
        finished, self._finished = self._finished, []
        for done in finished:
            done()


class Space:
    """Each replica raises the NOSPACE alarm for itself when its state passes the hard quota, and clears it.

    The alarm is replicated, so all replicas refuse the same writes. The leader clears alarms of replicas
    that are members no more: nobody else would.
    """

    def __init__(self, house: House, proposals: Proposals) -> None:
        self._house = house
        self._proposals = proposals
        self._proposing = False
        self._level = quota.Level.FINE

    @property
    def above_soft(self) -> bool:
        return self._level is not quota.Level.FINE

    def pulse(self) -> None:
        house = self._house
        used_bytes, limit_bytes = house.machine.used_bytes, house.options.quota_bytes
        self._note(quota.level(used_bytes, limit_bytes), used_bytes)
        own = Alarm(house.member_id, AlarmType.NOSPACE)
        raised = own in house.machine.alarms
        if not raised and quota.should_raise(used_bytes, limit_bytes):
            self._propose(own, raised=True)
        elif raised and quota.should_clear(used_bytes, limit_bytes):
            self._propose(own, raised=False)
        elif house.leading:
            self._clear_strangers()

    def _clear_strangers(self) -> None:
        alarms = self._house.machine.alarms
        if not alarms:
            return
        members = self._house.engine.status().configuration
        for alarm in sorted(alarms, key=lambda alarm: alarm.member):
            if alarm.type is AlarmType.NOSPACE and members.member(alarm.member) is None:
                self._propose(alarm, raised=False)

    def _note(self, level: quota.Level, used_bytes: int) -> None:
        if level is not self._level:
            extra = {"level": level.name, "used_bytes": used_bytes, "quota_bytes": self._house.options.quota_bytes}
            log.log(logging.INFO if level < self._level else logging.WARNING, "state quota", extra=extra)
        self._level = level
        self._house.metrics.quota_soft = int(self.above_soft)

    def _propose(self, alarm: Alarm, *, raised: bool) -> None:
        if self._proposing:
            return
        self._proposing = True

        def done(outcome: Any) -> None:
            self._proposing = False
            if isinstance(outcome, StoreError):
                log.info("alarm change is tried again", extra={"reason": outcome.message})

        self._proposals.submit(SetAlarm(alarm, raised), done, self._house.options.request_timeout_s)
