"""Nodes the pod would rather be on: the weights of the preferences that the node meets."""

from __future__ import annotations

from controlplane.scheduler.filters.filter import Cycle
from controlplane.scheduler.node_info import NodeInfo
from controlplane.scheduler.pod_info import Template

NAME = "NodeAffinity"


def concerns(cycle: Cycle) -> bool:
    return bool(cycle.template.wanted_nodes)


def rate(template: Template, node: NodeInfo) -> int:
    return sum(weight for weight, term in template.wanted_nodes if term.matches(node.name, node.labels))
