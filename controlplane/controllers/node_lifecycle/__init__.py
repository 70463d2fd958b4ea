"""Nodes that are not heard of any more, and what becomes of their pods (Kubernetes' node lifecycle and taint eviction).

    Leases, Nodes -> monitor (rounds) -> health (who is silent; how many in each zone) -> nodes (conditions, taints,
    readiness of pods) -> eviction (pods that do not tolerate a NoExecute taint)

What must hold: nobody is given up by our own silence, by a clock that jumps or by a watch that is behind; when all
nodes seem lost the fault is on our side and nothing is driven away; a zone is given up no faster than its rate.
"""

from __future__ import annotations

from controlplane.runtime import Context, Part, Source, controller, own_key

from .eviction import Evictions
from .health import Health
from .monitor import Monitor
from .nodes import NodeKeeper

NODE_WORKERS = 4
POD_WORKERS = 8


def parts(context: Context) -> list[Part]:
    health = Health(context)
    keeper = NodeKeeper(context, health)
    nodes = controller(context, "node-lifecycle", keeper, [Source(context.caches.nodes, own_key)], workers=NODE_WORKERS)
    evictions = Evictions(context, health)
    sources = [Source(context.caches.nodes, evictions.of_node), Source(context.caches.pods, evictions.of_pod)]
    pods = controller(context, "taint-eviction-controller", evictions, sources, workers=POD_WORKERS)
    return [Monitor(context, health, keeper, nodes.queue), nodes, pods]
