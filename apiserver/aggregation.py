"""Aggregated ClusterRoles: their stored rules show what their selectors collect.

Authorization works the rules out in memory (auth/rbac.py) and needs none of this; it is for people who read the role.
Whoever leads compares now and then, and writes only what differs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from apiserver.api.errors import ApiError
from apiserver.auth.rbac import CLUSTER_ROLES, Rbac
from apiserver.live import SYSTEM
from apiserver.registry.table import Table
from apiserver.storage import Storage, Stored, decode
from apiserver.verbs.call import Call
from apiserver.verbs.writing import Change, Writer

LOOK_S = 2.0

log = logging.getLogger(__name__)


class AggregatedRoles:
    """`run` keeps them as long as it runs."""

    def __init__(self, storage: Storage, table: Table, writer: Writer, rbac: Rbac, leads: Callable[[], bool]) -> None:
        self._storage = storage
        self._roles = table.of_key(CLUSTER_ROLES)
        self._writer = writer
        self._rbac = rbac
        self._leads = leads
        self._seen = -1

    async def run(self) -> None:
        """Look every LOOK_S, when any role changed since."""
        while True:
            if self._leads() and self._rbac.generation != self._seen:
                generation = self._rbac.generation
                try:
                    for name in self._rbac.aggregating_roles():
                        await self._write(name)
                    self._seen = generation
                except ApiError as error:
                    log.info("aggregated roles are not up to date yet", extra={"reason": error.message})
            await asyncio.sleep(LOOK_S)

    async def _write(self, name: str) -> None:
        stored = self._storage.peek(self._roles, "", name)
        if stored is None:
            return
        role = decode(self._roles, stored)
        if role.aggregation_rule is None or role.rules == self._rbac.aggregated_rules(role):
            return

        def build(old: Any, _stored: Stored) -> Change:
            old.rules = self._rbac.aggregated_rules(old)
            return Change(old, False)

        call = Call(user=SYSTEM, resource=self._roles, stored=self._roles, verb="update", name=name, own=True)
        await self._writer.change(call, build)
