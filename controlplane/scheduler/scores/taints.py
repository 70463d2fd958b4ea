"""Fewer PreferNoSchedule taints that the pod does not tolerate are better."""

from __future__ import annotations

from controlplane.scheduler.filters.filter import Cycle
from controlplane.scheduler.matching import PREFER_NO_SCHEDULE
from controlplane.scheduler.node_info import NodeInfo
from controlplane.scheduler.pod_info import Template

NAME = "TaintToleration"


def concerns(cycle: Cycle) -> bool:
    return cycle.snapshot.nodes_wishing_away > 0


def rate(template: Template, node: NodeInfo) -> int:
    """How many there are."""
    return sum(
        taint.effect == PREFER_NO_SCHEDULE and not any(each.covers(taint) for each in template.tolerations)
        for taint in node.taints
    )
