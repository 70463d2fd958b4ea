"""Leases of nodes that are gone and that belong to nobody.

The Lease of a node is owned by its Node and goes with it. One without an owner was made before its Node, or by an
agent that does not set it; it would stay for ever. It goes once it has not changed for IDLE_S and there is still no
such Node, asked for directly. Only Leases in kube-node-lease are looked at: those of elections lie elsewhere and are
never touched.
"""

from __future__ import annotations

from typing import NamedTuple

from apiserver.api.coordination import Lease
from apiserver.api.core.node import Node
from apiserver.api.errors import ApiError, Conflict, Fenced, NotFound
from controlplane.runtime import Context, Part

from .periodic import Periodic, Refusals
from .writes import this_version

NAME = "lease-cleanup"
PERIOD_S = 300.0
IDLE_S = 3600.0


def parts(context: Context) -> list[Part]:
    caches = context.caches
    return [Periodic(context, NAME, LeaseCleanup(context), [caches.node_leases, caches.nodes])]


class _Seen(NamedTuple):
    """A version of a Lease, and since when it is the last one. Monotonic seconds."""

    uid: str
    resource_version: str
    since: float


class LeaseCleanup:
    """A Sweep."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._leases = context.caches.node_leases.cache
        self._nodes = context.caches.nodes.cache
        self._seen: dict[str, _Seen] = {}

    async def sweep(self) -> float:
        now = self._clock.monotonic()
        alone = [lease for lease in self._leases if self._is_alone(lease)]
        self._seen = {lease.metadata.name: self._look(lease, now) for lease in alone}
        refusals = Refusals(NAME)
        for lease in alone:
            if now - self._seen[lease.metadata.name].since >= IDLE_S:
                await self._delete(lease, refusals)
        return PERIOD_S

    def _is_alone(self, lease: Lease) -> bool:
        return not lease.metadata.owner_references and self._nodes.get(lease.metadata.name) is None

    def _look(self, lease: Lease, now: float) -> _Seen:
        meta = lease.metadata
        known = self._seen.get(meta.name)
        if known is not None and (known.uid, known.resource_version) == (meta.uid, meta.resource_version):
            return known
        return _Seen(meta.uid, meta.resource_version, now)

    async def _delete(self, lease: Lease, refusals: Refusals) -> None:
        meta = lease.metadata
        try:
            await self._client.get(Node, meta.name)
        except NotFound:
            pass  # as we thought
        else:
            return
        try:
            await self._client.delete(Lease, meta.name, namespace=meta.namespace, options=this_version(lease))
        except Fenced:
            raise
        except (Conflict, NotFound):
            return  # it was renewed, or somebody else was faster
        except ApiError as error:
            refusals.bear(error, meta.name)
