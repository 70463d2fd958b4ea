"""Membership from any replica: asked of the leader, one step at a time, answered when it is committed.

What a step may be is raft/membership.py's; when it may be is the engine's. A question may reach the leader
twice (its answer was lost), so a step that is already true is a success the second time. A leader that is to
be removed hands leadership over first and lets its successor do it. Learners that have caught up are
promoted by the leader by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from .calls import Body, Calls, Reply, error_body
from .errors import ChangeInProgress, NotLeader, StoreError, Timeout, TooFewConnected
from .house import Done, House
from .raft import membership
from .raft.engine import Configuration, Member

ADD = "member_add"
REMOVE = "member_remove"
PROMOTE = "member_promote"
UPDATE = "member_update"
TRANSFER = "transfer_leadership"

Step = Callable[[Configuration, Body], Configuration | None]

log = logging.getLogger(__name__)


class Members:
    def __init__(self, house: House, calls: Calls) -> None:
        self._house = house
        self._calls = calls
        self._waiting: list[tuple[Configuration, Callable[[StoreError | None], None]]] = []
        self._leaving: list[Reply] = []  # asked for a transfer, answered when leadership moved
        self._catch_up = membership.CatchUp()
        steps = {ADD: self._add, REMOVE: self._remove, PROMOTE: self._promote, UPDATE: self._update}
        for kind, step in steps.items():
            calls.answer_with(kind, self._stepping(step))
        calls.answer_with(TRANSFER, self._answer_transfer)

    # --- from callers, on any replica -----------------------------------------------------------------

    def ask(self, kind: str, body: Body, done: Done, timeout_s: float) -> None:
        """`done` gets the Configuration in which the step is true, or a StoreError."""

        def answered(answer: Any) -> None:
            if isinstance(answer, StoreError):
                done(answer)
            else:
                done(msgspec.convert(answer["configuration"], Configuration))

        self._calls.ask_leader(kind, body, answered, timeout_s)

    def add(self, member: Member, done: Done, timeout_s: float) -> None:
        """A new member, as a learner; it is promoted when it has caught up."""
        self.ask(ADD, {"member": msgspec.to_builtins(member)}, done, timeout_s)

    def remove(self, member_id: int, done: Done, timeout_s: float) -> None:
        self.ask(REMOVE, {"id": member_id}, done, timeout_s)

    def promote(self, member_id: int, done: Done, timeout_s: float) -> None:
        self.ask(PROMOTE, {"id": member_id}, done, timeout_s)

    def update(self, member_id: int, fields: dict[str, str], done: Done, timeout_s: float) -> None:
        """`fields`: name, address, client_address; those given change."""
        self.ask(UPDATE, {"id": member_id, "fields": fields}, done, timeout_s)

    def transfer(self, target: int, done: Done, timeout_s: float) -> None:
        """`target` 0: the most advanced voter. `done` gets None once leadership moved, or a StoreError."""

        def answered(answer: Any) -> None:
            done(answer if isinstance(answer, StoreError) else None)

        self._calls.ask_leader(TRANSFER, {"target": target}, answered, timeout_s)

    # --- at the leader --------------------------------------------------------------------------------

    def _add(self, now: Configuration, body: Body) -> Configuration | None:
        member = msgspec.convert(body["member"], Member)
        present = now.member(member.id)
        if body.get("repeated") and present is not None and present.address == member.address:
            return None
        return membership.add_learner(now, member)

    def _remove(self, now: Configuration, body: Body) -> Configuration | None:
        member_id = int(body["id"])
        if body.get("repeated") and now.member(member_id) is None:
            return None
        after = membership.remove(now, member_id)
        self._check_majority_left(now, after)
        if member_id == self._house.member_id:
            self._house.engine.transfer(0)
            raise NotLeader("this leader hands over before it is removed")
        return after

    def _check_majority_left(self, now: Configuration, after: Configuration) -> None:
        """A live voter may go only if those left and connected can still decide (etcd's strict-reconfig-check)."""
        connected = self._house.engine.connected_peers() | {self._house.member_id}
        left = after.voters & connected
        if now.voters != after.voters and len(left) <= len(after.voters) // 2:
            raise TooFewConnected(
                f"{len(left)} of the {len(after.voters)} voters left would be connected, which is no majority: "
                "mend or remove those that are down first"
            )

    def _promote(self, now: Configuration, body: Body) -> Configuration | None:
        member_id = int(body["id"])
        if body.get("repeated") and member_id in now.voters:
            return None
        after = membership.promote(now, member_id)
        self._catch_up.require(member_id)
        return after

    def _update(self, now: Configuration, body: Body) -> Configuration | None:
        after = membership.update(
            now, int(body["id"]), **{str(key): str(value) for key, value in body["fields"].items()}
        )
        return None if after == now else after

    def _stepping(self, step: Step) -> Callable[[int, Body, Reply], None]:
        """Take a step and answer when it is committed, or at once when it is true already."""

        def handle(peer: int, body: Body, reply: Reply) -> None:
            def taken(error: StoreError | None) -> None:
                reply(error_body(error) if error is not None else {"configuration": msgspec.to_builtins(after or now)})

            try:
                now = self._present()
                after = step(now, body)
                if after is None:
                    taken(None)
                else:
                    self._change(after, taken)
            except StoreError as refused:
                reply(error_body(refused))

        return handle

    def _present(self) -> Configuration:
        """The committed configuration. Raises NotLeader, ChangeInProgress."""
        if not self._house.leading:
            raise NotLeader("only the leader changes the configuration")
        status = self._house.engine.status()
        if not status.configuration_committed:
            raise ChangeInProgress("another membership change is not committed yet")
        return status.configuration

    def _change(self, after: Configuration, done: Callable[[StoreError | None], None]) -> None:
        membership.check_step(self._house.engine.status().configuration, after)
        self._waiting.append((after, done))
        try:
            self._house.engine.change_configuration(after)
        except StoreError:
            self._waiting.remove((after, done))
            raise

    def _answer_transfer(self, peer: int, body: Body, reply: Reply) -> None:
        house, target = self._house, int(body["target"])
        if target and target == house.leader:
            reply({})  # it leads already
            return
        try:
            house.engine.transfer(target)
        except StoreError as error:
            reply(error_body(error))
            return
        self._leaving.append(reply)
        patience_s = 2 * house.options.timing.election_timeout_s_max
        house.runtime.call_at(house.runtime.now() + patience_s, lambda: self._not_left(reply))

    def _not_left(self, reply: Reply) -> None:
        if reply in self._leaving:
            self._leaving.remove(reply)
            reply(error_body(Timeout("leadership did not move in time", definite=False)))

    # --- what happens meanwhile -----------------------------------------------------------------------

    def configuration_changed(self, configuration: Configuration, committed: bool) -> None:
        if not committed:
            return
        done_now = [done for wanted, done in self._waiting if wanted == configuration]
        self._waiting = [(wanted, done) for wanted, done in self._waiting if wanted != configuration]
        for done in done_now:
            self._house.runtime.call_soon(partial(done, None))

    def role_changed(self) -> None:
        if self._house.leading:
            return
        self._catch_up = membership.CatchUp()
        waiting, self._waiting = self._waiting, []
        for _, done in waiting:
            done(NotLeader("leadership ended before the change was committed"))
        if self._house.leader:  # somebody else: until then the vote is still going on
            leaving, self._leaving = self._leaving, []
            for reply in leaving:
                reply({})

    def pulse(self) -> None:
        """Promote one learner that has caught up."""
        house = self._house
        if not house.leading or house.refusal is not None:
            return
        status = house.engine.status()
        self._catch_up.forget_all_but(status.configuration.learners)
        connected = house.engine.connected_peers()
        ready = [
            learner
            for learner in sorted(status.configuration.learners & connected)
            if self._catch_up.check(learner, status.match.get(learner, 0), status.last_index)
        ]
        if ready and status.configuration_committed:
            self._promote_now(status.configuration, ready[0])

    def _promote_now(self, configuration: Configuration, learner: int) -> None:
        try:
            self._change(membership.promote(configuration, learner), lambda error: None)
        except (ChangeInProgress, NotLeader) as error:
            log.info("learner is promoted later", extra={"member": learner, "reason": error.message})
        else:
            log.info("learner has caught up and is promoted", extra={"member": learner})
