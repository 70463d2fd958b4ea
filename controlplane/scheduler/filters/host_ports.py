"""Two pods of a node cannot have the same host port."""

from __future__ import annotations

from controlplane.scheduler.node_info import NodeInfo
from controlplane.scheduler.pod_info import Template

from .reason import FITS, Reason, Remedy, Verdict

NAME = "NodePorts"
TAKEN = (
    Reason(
        NAME,
        "node(s) didn't have free ports for the requested pod ports",
        frozenset((Remedy.NODE_ADD, Remedy.POD_DELETE)),
    ),
)


def concerns(template: Template) -> bool:
    return bool(template.host_ports)


def check(template: Template, node: NodeInfo) -> Verdict:
    return TAKEN if node.conflicts(template.host_ports) else FITS
