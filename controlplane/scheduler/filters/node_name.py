"""A pod that names its node goes there or nowhere."""

from __future__ import annotations

from controlplane.scheduler.node_info import NodeInfo

from .filter import Check, Cycle
from .reason import FITS, Reason, Remedy, Verdict

NAME = "NodeName"
OTHER_NODE = (Reason(NAME, "node(s) didn't match the requested node name", frozenset((Remedy.NODE_ADD,))),)


def prepare(cycle: Cycle) -> Check | None:
    wanted = cycle.pod.node_name
    if not wanted:
        return None

    def check(node: NodeInfo) -> Verdict:
        return FITS if node.name == wanted else OTHER_NODE

    return check
