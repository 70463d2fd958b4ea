"""Node selector and required node affinity: all of the selector, and one term of the affinity."""

from __future__ import annotations

from controlplane.scheduler.node_info import NodeInfo
from controlplane.scheduler.pod_info import Template

from .reason import FITS, Reason, Remedy, Verdict

NAME = "NodeAffinity"
NO_MATCH = (
    Reason(
        NAME,
        "node(s) didn't match Pod's node affinity/selector",
        frozenset((Remedy.NODE_ADD, Remedy.NODE_LABEL)),
    ),
)


def concerns(template: Template) -> bool:
    return not template.needs.anything


def check(template: Template, node: NodeInfo) -> Verdict:
    return FITS if template.needs.matches(node.name, node.labels) else NO_MATCH
