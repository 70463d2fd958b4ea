"""Nodes in places with fewer of the pods that should be spread: constraints that need not hold (ScheduleAnyway).

A pod that has no constraint at all is spread with the pods of its controller, over nodes and zones, as Kubernetes does
by itself. A node's number is, over the constraints, the pods in its place times the logarithm of how many places there
are (so that a few zones are not drowned by many nodes); the fewer the better. A node without the labels gets 0, but for
the constraints that nobody wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log

from controlplane.scheduler.filters.filter import Cycle
from controlplane.scheduler.filters.topology_spread import counted
from controlplane.scheduler.node_info import NodeInfo
from controlplane.scheduler.pod_info import HOSTNAME, Spread

from .score import SCORE_MAX

NAME = "PodTopologySpread"


def prepare(cycle: Cycle, nodes: Sequence[NodeInfo]) -> Sequence[int] | None:
    wishes = cycle.template.spread_wishes
    if not wishes:
        return None
    keys = () if cycle.template.spread_by_default else tuple(wish.topology_key for wish in wishes)
    left_out = {node.name for node in nodes if any(key not in node.labels for key in keys)} if keys else set()
    rated = [node for node in nodes if node.name not in left_out] if left_out else nodes
    sums = [0.0] * len(rated)
    for wish in wishes:
        _add(cycle, wish, keys, rated, sums)
    numbers = list(map(round, sums))
    most, least = max(numbers, default=0), min(numbers, default=0)
    if not left_out and most == least:
        return None
    scores = [SCORE_MAX * (most + least - number) // most if most else SCORE_MAX for number in numbers]
    if not left_out:
        return scores
    following = iter(scores)
    return [0 if node.name in left_out else next(following) for node in nodes]


def _add(cycle: Cycle, wish: Spread, keys: tuple[str, ...], nodes: Sequence[NodeInfo], sums: list[float]) -> None:
    """Adds one constraint's part to the number of each node."""
    tally = cycle.snapshot.tally(counted(cycle.template, wish, keys))
    key = wish.topology_key
    if key == HOSTNAME:
        weight = log(len(nodes) + 2)
        for index, node in enumerate(nodes):
            if key in node.labels:
                sums[index] += tally.on(node) * weight + wish.max_skew - 1
        return
    if not tally.places.domains:
        return
    counts, values = tally.counts, [node.labels.get(key) for node in nodes]
    weight = log(len(set(values)) + 2)
    for index, value in enumerate(values):
        if value is not None:
            sums[index] += counts.get(value, 0) * weight + wish.max_skew - 1
