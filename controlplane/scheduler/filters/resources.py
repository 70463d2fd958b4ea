"""What the pod asks for must be left on the node, resource by resource; this is what never over-commits a node."""

from __future__ import annotations

from functools import lru_cache

from apiserver.api.pod_requests import PODS
from controlplane.scheduler.node_info import NodeInfo
from controlplane.scheduler.pod_info import Template

from .reason import FITS, Reason, Remedy, Verdict

NAME = "NodeResourcesFit"
REMEDIES = frozenset((Remedy.NODE_ADD, Remedy.NODE_ALLOCATABLE, Remedy.POD_DELETE))
TOO_MANY_PODS = Reason(NAME, "Too many pods", REMEDIES)


def check(template: Template, node: NodeInfo) -> Verdict:
    """Tells every resource that is short. What is asked for as 0 need not be there."""
    allocatable, used = node.allocatable, node.used
    short: Verdict = FITS
    for name, asked in template.requests.items():
        if asked and asked > allocatable.get(name, 0) - used.get(name, 0):
            short += (TOO_MANY_PODS if name == PODS else insufficient(name),)
    return short


@lru_cache(256)
def insufficient(resource: str) -> Reason:
    return Reason(NAME, f"Insufficient {resource}", REMEDIES)
