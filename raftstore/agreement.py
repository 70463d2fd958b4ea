"""Replicas compare their digests; whoever differs from the majority stops serving.

Once a pulse the leader names an index it has applied and asks every member for its digest there. A digest
that a majority of the voters shares is the truth: members that differ are told to quarantine themselves, the
leader too. Without such a majority nobody knows who is right, and the CORRUPT alarm stops all writes.

One index for all: comparing at different indexes would compare different states.
"""

from __future__ import annotations

import heapq
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

from .calls import Body, Calls, Reply
from .command import SetAlarm
from .errors import StoreError
from .house import House
from .limits import CALLS_MAX
from .model import Alarm, AlarmType
from .proposals import Proposals

DIGEST = "digest"
QUARANTINE = "quarantine"
UNDECIDED_ROUNDS_MAX = 5  # differing without a majority, some voters silent: then the alarm anyway

log = logging.getLogger(__name__)


class Agreement:
    def __init__(self, house: House, proposals: Proposals, calls: Calls, quarantine: Callable[[str], None]) -> None:
        self._house = house
        self._proposals = proposals
        self._calls = calls
        self._quarantine = quarantine
        self._round: dict[int, bytes | None] = {}
        self._index = 0
        self._open = 0  # answers still to come
        self._number = 0
        self._undecided = 0
        self._alarming = False
        self._later: list[tuple[int, int, Reply]] = []  # questions about an index not applied here yet
        self._asked = 0
        calls.answer_with(DIGEST, self._answer)
        calls.answer_with(QUARANTINE, self._told)

    # --- the leader asks ------------------------------------------------------------------------------

    def pulse(self) -> None:
        house = self._house
        if not house.leading or house.refusal is not None or self._open:
            return
        members = [member.id for member in house.engine.status().configuration.members]
        others = [member_id for member_id in members if member_id != house.member_id]
        if not others:
            return
        self._number += 1
        self._index = house.machine.applied_index
        self._round = {house.member_id: house.machine.digest}
        self._open = len(others)
        house.metrics.digest_rounds += 1
        for member_id in others:
            self._ask(member_id, self._number)

    def _ask(self, member_id: int, number: int) -> None:
        def answered(answer: Body | None) -> None:
            if number == self._number:
                digest = None if answer is None else answer.get("digest")
                self._heard(member_id, digest if isinstance(digest, bytes) else None)

        self._calls.ask(member_id, DIGEST, {"index": self._index}, answered, self._house.options.digest_answer_s)

    def role_changed(self) -> None:
        self._number += 1
        self._open = self._undecided = 0

    def _heard(self, member_id: int, digest: bytes | None) -> None:
        self._round[member_id] = digest
        self._open -= 1
        if self._open == 0 and self._house.leading:
            self._judge()

    def _judge(self) -> None:
        voters = self._house.engine.status().configuration.voters
        said = {member_id: digest for member_id, digest in self._round.items() if digest is not None}
        counts = Counter(digest for member_id, digest in said.items() if member_id in voters)
        truth, votes = counts.most_common(1)[0] if counts else (b"", 0)
        if votes > len(voters) // 2:
            self._undecided = 0
            for member_id, digest in said.items():
                if digest != truth:
                    self._expose(member_id, truth)
        elif len(counts) > 1:
            self._undecided += 1
            if sum(counts.values()) == len(voters) or self._undecided >= UNDECIDED_ROUNDS_MAX:
                self._raise_alarm(counts)

    def _expose(self, member_id: int, truth: bytes) -> None:
        house = self._house
        house.metrics.digest_mismatches += 1
        log.error("replica differs from the majority", extra={"member": member_id, "index": self._index})
        if member_id == house.member_id:
            self._quarantine(f"digest at index {self._index} differs from the majority's")
        else:
            body = {"index": self._index, "digest": truth}
            self._calls.ask(member_id, QUARANTINE, body, lambda _: None, house.options.digest_answer_s)

    def _raise_alarm(self, counts: Counter[bytes]) -> None:
        alarm = Alarm(self._house.member_id, AlarmType.CORRUPT)
        if self._alarming or any(known.type is AlarmType.CORRUPT for known in self._house.machine.alarms):
            return
        log.critical(
            "replicas differ and no majority agrees: writes stop; restore a snapshot, then disarm the alarm",
            extra={"index": self._index, "digests": len(counts)},
        )
        self._alarming = True

        def done(outcome: Any) -> None:
            self._alarming = False
            if isinstance(outcome, StoreError):
                log.error("CORRUPT alarm not raised yet", extra={"reason": outcome.message})

        self._proposals.submit(SetAlarm(alarm, raised=True), done, self._house.options.request_timeout_s)

    # --- everyone answers -----------------------------------------------------------------------------

    def _answer(self, peer: int, body: Body, reply: Reply) -> None:
        index = int(body["index"])
        if index <= self._house.machine.applied_index:
            reply({"digest": self._house.machine.digests.at(index)})
        elif len(self._later) < CALLS_MAX:
            self._asked += 1
            heapq.heappush(self._later, (index, self._asked, reply))

    def applied(self, index: int) -> None:
        """The state holds everything up to `index` now."""
        while self._later and self._later[0][0] <= index:
            asked, _, reply = heapq.heappop(self._later)
            reply({"digest": self._house.machine.digests.at(asked)})

    def _told(self, peer: int, body: Body, reply: Reply) -> None:
        """The leader says we differ. Believed only of the leader we know, and only if it is true."""
        index = int(body["index"])
        own = self._house.machine.digests.at(index)
        if peer == self._house.leader and own is not None and own != body["digest"]:
            self._quarantine(f"digest at index {index} differs from the majority's")
        reply({})
