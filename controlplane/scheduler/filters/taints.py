"""Taints that must be tolerated: NoSchedule and NoExecute. PreferNoSchedule is a matter of scores."""

from __future__ import annotations

from controlplane.scheduler.matching import untolerated
from controlplane.scheduler.node_info import NodeInfo
from controlplane.scheduler.pod_info import Template

from .reason import FITS, Reason, Remedy, Verdict

NAME = "TaintToleration"
REMEDIES = frozenset((Remedy.NODE_ADD, Remedy.NODE_TAINT))


def check(template: Template, node: NodeInfo) -> Verdict:
    """Names the first taint in the way, as Kubernetes does."""
    taint = untolerated(node.taints, template.tolerations) if node.taints else None
    if taint is None:
        return FITS
    return (Reason(NAME, f"node(s) had untolerated taint {{{taint.key}: {taint.value}}}", REMEDIES),)
