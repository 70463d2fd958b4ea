"""A replica that members turn away finds out whether it was removed, and then says so and stops.

Being turned away proves nothing: the other side may not know us *yet*. Only a leader that has just confirmed
its leadership may say that we are no member (`join.check`, raft/admission.py).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from .errors import Removed, StoreError
from .identity import Identity
from .raft import joining
from .raft.engine import Member

if TYPE_CHECKING:
    from .raft.transport import PeerTransport
    from .replica import Replica

NOT_A_MEMBER = "not_a_member"
ASK_EVERY_S = 1.0

log = logging.getLogger(__name__)


class Expulsion:
    """Owns at most one task, which asks around; `close` ends it."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._replica: Replica | None = None
        self._transport: PeerTransport | None = None
        self._task: asyncio.Task[None] | None = None
        self._asked_s = 0.0

    def watch(self, replica: Replica, transport: PeerTransport) -> None:
        self._replica, self._transport = replica, transport

    def refused(self, member_id: int, reason: str) -> None:
        """A member of our cluster turned us away."""
        loop = asyncio.get_running_loop()
        idle = self._task is None or self._task.done()
        if reason == NOT_A_MEMBER and idle and loop.time() - self._asked_s >= ASK_EVERY_S:
            self._asked_s = loop.time()
            self._task = loop.create_task(self._ask_around(), name="am-i-removed")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _ask_around(self) -> None:
        assert self._replica is not None
        configuration = self._replica.house.engine.status().configuration
        own = configuration.member(self._identity.member_id)
        question = own or Member(self._identity.member_id, self._identity.name, "")
        for member in configuration.members:
            if member.id != self._identity.member_id and await self._is_unknown(member.address, question):
                self._replica.fail(
                    Removed(
                        f"member {self._identity.member_id:016x} ({self._identity.name}) was removed from the cluster; "
                        "delete its data directory to let it join anew"
                    )
                )
                return

    async def _is_unknown(self, address: str, own: Member) -> bool:
        """Whether the leader, reached through `address`, says that it does not know us."""
        assert self._transport is not None
        for _ in range(2):
            try:
                answer = (await self._transport.ask(address, joining.join_check(own))).message
            except StoreError as error:
                log.info("nobody to ask there", extra={"address": address, "reason": error.message})
                return False
            if answer["type"] != "join.redirect" or not isinstance(answer.get("address"), str):
                return answer["type"] == "join.standing" and answer.get("standing") == "unknown"
            address = answer["address"]
        return False
