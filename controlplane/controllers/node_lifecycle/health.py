"""What we think of every node: who is silent, and who may be given up. Shared by the parts of this package.

A node is lost once it was silent for the grace period. That is judged by what we saw and then checked by reading its
Lease directly: a watch that is behind must not make a node look dead.
"""

from __future__ import annotations

from contextlib import suppress

from apiserver.api.coordination import Lease
from apiserver.api.core.node import Node
from apiserver.api.errors import NotFound
from controlplane.runtime import Context
from controlplane.runtime.caches import NODE_LEASES

from .conditions import FALSE, is_ready, readiness, ready_condition
from .heartbeats import Heartbeats
from .zones import Rates, Zones

#: A node that was silent for this share of the grace period counts as lost when we ask how many are: nodes that are cut
#: off in one moment are not found silent in one moment. Agents renew four times in a grace period.
SUSPECT_SHARE = 0.5
ROUNDS_IN_GRACE = 4
ROUNDS_MISSED = 3  # and we were paused


class Health:
    """`observe` first, and then again every `period_s`."""

    def __init__(self, context: Context) -> None:
        options = context.options
        self.grace_s = options.node_grace_s
        self.startup_grace_s = max(options.node_startup_grace_s, options.node_grace_s)
        self.period_s = min(options.node_monitor_period_s, options.node_grace_s / ROUNDS_IN_GRACE)
        self.heartbeats = Heartbeats(context.clock.monotonic, gap_s=self.period_s * ROUNDS_MISSED)
        self.zones = Zones(
            context.clock.monotonic,
            Rates(
                normal=options.node_eviction_rate,
                secondary=options.secondary_node_eviction_rate,
                unhealthy_share=options.unhealthy_zone_threshold,
                large_nodes=options.large_zone_nodes,
            ),
        )
        self._client = context.client
        self._nodes = context.caches.nodes
        self._leases = context.caches.node_leases
        self._pace = context.pace

    async def observe(self) -> None:
        """Look at every node and its Lease once."""
        self.heartbeats.begin_round()
        nodes = list(self._nodes.cache)
        for node in nodes:
            self.heartbeats.saw(node, self._leases.cache.get(node.metadata.name, namespace=NODE_LEASES))
            await self._pace.breathe()
        self.heartbeats.keep({node.metadata.name for node in nodes})
        if self.zones.update(nodes, self._is_suspect):
            self.heartbeats.restart()  # nobody could be heard of: each gets its whole time again

    def _is_suspect(self, node: Node) -> bool:
        return self.heartbeats.silent_s(node.metadata.name) >= self.grace_s * SUSPECT_SHARE

    def seems_lost(self, node: Node) -> bool:
        """By what we saw: silent for the grace period; for longer when it never said anything."""
        grace_s = self.grace_s if ready_condition(node) is not None else self.startup_grace_s
        return self.heartbeats.silent_s(node.metadata.name) >= grace_s

    async def is_lost(self, node: Node) -> bool:
        """The same once its Lease was read directly. Raises ApiError: then nobody knows."""
        if not self.seems_lost(node):
            return False
        name = node.metadata.name
        with suppress(NotFound):  # it never had one, or has none any more: its heartbeat is that of its status
            self.heartbeats.saw_lease(name, await self._client.get(Lease, name, namespace=NODE_LEASES))
        return self.seems_lost(node)

    def settled(self) -> bool:
        """We have been watching for a whole grace period."""
        return self.heartbeats.watching_s() >= self.grace_s

    async def may_drive_away(self, node: Node) -> bool:
        """Whether the state of this node is a reason to have its pods go elsewhere. Raises ApiError: nobody knows."""
        if self.zones.holding or self.zones.disrupted or not self.settled() or is_ready(node):
            return False
        return readiness(node) == FALSE or await self.is_lost(node)
