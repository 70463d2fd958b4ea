"""Looks at all nodes and Leases in rounds, and has those looked at closely that may need something.

It writes nothing itself, so that a round is short: a long time between two rounds means that we were paused.
"""

from __future__ import annotations

import asyncio

from apiserver.api.core.node import Node
from apiserver.client import Change
from controlplane.runtime import Context, Request
from controlplane.runtime.controller import synced
from controlplane.runtime.queue import WorkQueue

from .conditions import is_ready
from .health import Health
from .nodes import COMPONENT, NodeKeeper


class Monitor:
    """A Part."""

    name = "node-monitor"

    def __init__(self, context: Context, health: Health, keeper: NodeKeeper, queue: WorkQueue) -> None:
        self._context = context
        self._health = health
        self._keeper = keeper
        self._queue = queue
        self._metrics = _Gauges(context)
        caches = context.caches
        self._informers = (caches.nodes, caches.node_leases, caches.pods)
        caches.nodes.add_handler(self._tell)

    async def run(self) -> None:
        await synced(self._informers, self.name)
        while True:
            await self._round()
            await asyncio.sleep(self._health.period_s)

    async def _round(self) -> None:
        await self._health.observe()
        self._metrics.show(self._health)
        for node in self._context.caches.nodes.cache:
            if self._keeper.has_work(node):
                self._queue.add(Request.of(node))
            await self._context.pace.breathe()

    def _tell(self, change: Change[Node]) -> None:
        """What people must know of a node, in Kubernetes' words."""
        node, name = change.object, change.object.metadata.name
        if change.type == "deleted":
            self._event(node, "RemovingNode", f"Node {name} event: Removing Node {name} from Controller")
        elif change.old is None:
            if self._context.caches.nodes.synced.is_set():  # the others are no news
                self._event(node, "RegisteredNode", f"Node {name} event: Registered Node {name} in Controller")
        elif is_ready(change.old) != is_ready(node):
            reason = "NodeReady" if is_ready(node) else "NodeNotReady"
            self._event(node, reason, f"Node {name} status is now: {reason}")

    def _event(self, node: Node, reason: str, message: str) -> None:
        self._context.recorder.event(node, "Normal", reason, message, component=COMPONENT)


class _Gauges:
    """Names as in kube-controller-manager."""

    def __init__(self, context: Context) -> None:
        metrics = context.metrics
        self._size = metrics.gauge("node_collector_zone_size", "Nodes of a zone", ("zone",))
        self._health = metrics.gauge("node_collector_zone_health", "Percentage of alive nodes of a zone", ("zone",))
        self._lost = metrics.gauge("node_collector_unhealthy_nodes_in_zone", "Nodes of a zone that are lost", ("zone",))
        self._zones: set[str] = set()

    def show(self, health: Health) -> None:
        counts = health.zones.counts
        for zone in self._zones - counts.keys():
            for gauge in (self._size, self._health, self._lost):
                gauge.remove(zone)
        self._zones = set(counts)
        for zone, count in counts.items():
            size = count.alive + count.lost
            self._size.labels(zone).set(size)
            self._health.labels(zone).set(100.0 * count.alive / size)
            self._lost.labels(zone).set(count.lost)
