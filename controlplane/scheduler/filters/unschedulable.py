"""A cordoned node takes no new pods, but those that tolerate just that."""

from __future__ import annotations

from controlplane.scheduler.matching import NO_SCHEDULE, TaintMark, untolerated
from controlplane.scheduler.node_info import NodeInfo
from controlplane.scheduler.pod_info import Template

from .reason import FITS, Reason, Remedy, Verdict

NAME = "NodeUnschedulable"
#: What a cordoned node would be tainted with: who tolerates this may come.
CORDONED = (TaintMark("node.kubernetes.io/unschedulable", "", NO_SCHEDULE),)
UNSCHEDULABLE = (Reason(NAME, "node(s) were unschedulable", frozenset((Remedy.NODE_ADD, Remedy.NODE_TAINT))),)


def check(template: Template, node: NodeInfo) -> Verdict:
    if not node.unschedulable or untolerated(CORDONED, template.tolerations) is None:
        return FITS
    return UNSCHEDULABLE
