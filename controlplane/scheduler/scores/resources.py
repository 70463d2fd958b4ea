"""How full the node would be with the pod: emptier is better, fuller is better (binpack), or evenly filled is better.

As Kubernetes' NodeResourcesFit (strategies LeastAllocated and MostAllocated) and NodeResourcesBalancedAllocation: of
cpu and memory, each counting the same. A container that asks for nothing counts for the first two as if it asked for a
little, so that such pods are spread too; for the balance just what is asked for counts.
"""

from __future__ import annotations

from apiserver.api.pod_requests import CPU, MEMORY
from controlplane.scheduler.filters.filter import Cycle
from controlplane.scheduler.node_info import NodeInfo
from controlplane.scheduler.pod_info import Template

from .score import SCORE_MAX

LEAST = "NodeResourcesLeastAllocated"
MOST = "NodeResourcesMostAllocated"
BALANCED = "NodeResourcesBalancedAllocation"


def least_allocated(template: Template, node: NodeInfo) -> int:
    total = kinds = 0
    for has, would_use in _cpu_and_memory(template, node):
        kinds += 1
        if would_use <= has:
            total += (has - would_use) * SCORE_MAX // has
    return total // kinds if kinds else 0


def most_allocated(template: Template, node: NodeInfo) -> int:
    total = kinds = 0
    for has, would_use in _cpu_and_memory(template, node):
        kinds += 1
        total += min(would_use, has) * SCORE_MAX // has
    return total // kinds if kinds else 0


def balanced_allocation(template: Template, node: NodeInfo) -> int:
    """100 less the standard deviation of the shares in use; of two that is half of their difference."""
    shares = []
    for name in (CPU, MEMORY):
        has = node.allocatable.get(name, 0)
        if has > 0:
            shares.append(min((node.used.get(name, 0) + template.requests.get(name, 0)) / has, 1.0))
    deviation = abs(shares[0] - shares[1]) / 2 if len(shares) == 2 else 0.0
    return int((1 - deviation) * SCORE_MAX)


def asks_for_something(cycle: Cycle) -> bool:
    return not cycle.template.best_effort


def _cpu_and_memory(template: Template, node: NodeInfo) -> list[tuple[int, int]]:
    """What there is and what would be in use; nothing for what the node has none of."""
    allocatable = node.allocatable
    cpu, memory = allocatable.get(CPU, 0), allocatable.get(MEMORY, 0)
    both = ((cpu, node.scored_cpu + template.scored_cpu), (memory, node.scored_memory + template.scored_memory))
    return [each for each in both if each[0] > 0]
