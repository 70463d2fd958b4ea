"""How a member answers replicas that are none: `found.*` and `join.*` questions (see joining.py).

Stateless: a join is a row of single steps, each a configuration change of its own, and the joining replica
asks until the last one is committed. So nothing waits here, nothing is lost when the leader changes, and a
question asked twice does no harm.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..errors import InvalidRequest, MemberExists, MembershipError, NotLeader
from ..identity import PeerIdentity
from . import joining
from .engine import Engine, Member, Message, Role, Status
from .joining import MalformedMessage
from .membership import next_join_step


class Admission:
    """An `Answerer` for a member. `confirm` awaits a shared leadership round (ReadIndex): True when it held."""

    def __init__(self, engine: Engine, confirm: Callable[[], Awaitable[bool]]) -> None:
        self._engine = engine
        self._confirm = confirm

    async def __call__(self, asker: PeerIdentity, question: Message) -> Message:
        """Raises MalformedMessage."""
        sender = joining.sender_of(question, asker)
        status = self._engine.status()
        kind = question["type"]
        if kind.startswith("found."):
            return joining.exists(status.configuration)
        if kind not in ("join.request", "join.check"):
            raise MalformedMessage(f"no question of joining: {kind!r:.40}")
        if status.role is not Role.LEADER:
            return _to_leader(status)
        if kind == "join.check":
            return await self._standing(sender)
        return self._join(sender, status)

    async def _standing(self, sender: Member) -> Message:
        """Only a confirmed leader may say that somebody is no member: a deposed one would expel newcomers."""
        if not await self._confirm():
            return joining.wait("leadership could not be confirmed")
        status = self._engine.status()
        if status.role is not Role.LEADER or not status.configuration_committed:
            return joining.wait("a membership change is under way")
        return joining.standing(status.configuration, sender.id)

    def _join(self, joiner: Member, status: Status) -> Message:
        if not status.configuration_committed:
            return joining.wait("a membership change is under way")
        alive = self._engine.connected_peers() | {status.member_id}
        try:
            step = next_join_step(status.configuration, joiner, alive)
            if step is None:
                return joining.accepted(status.configuration)
            self._engine.change_configuration(step)
        except InvalidRequest as error:
            return joining.refused(error.message)
        except MemberExists as error:
            return joining.wait(error.message, conflict=True)
        except (MembershipError, NotLeader) as error:
            return joining.wait(error.message)
        return joining.wait("joining")


def _to_leader(status: Status) -> Message:
    leader = status.configuration.member(status.leader)
    return joining.wait("no leader is known") if leader is None else joining.redirect(leader.address)
