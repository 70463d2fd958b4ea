"""The pod's claims must be such that its volumes can be had on the node."""

from __future__ import annotations

from controlplane.scheduler.node_info import NodeInfo

from .filter import Check, Cycle, Refused
from .reason import FITS, Reason, Remedy, Verdict

NAME = "VolumeBinding"
CLAIMS = frozenset((Remedy.CLAIM, Remedy.VOLUME, Remedy.STORAGE_CLASS))
REMEDIES = CLAIMS | {Remedy.NODE_ADD, Remedy.NODE_LABEL}


def prepare(cycle: Cycle) -> Check | None:
    """Refused when a claim is missing, or bound at once by its class but not bound yet: no node helps then."""
    volumes = cycle.volumes
    if volumes is None:
        return None
    if volumes.refusal:
        raise Refused(Reason(NAME, volumes.refusal, CLAIMS))

    def check(node: NodeInfo) -> Verdict:
        why = volumes.why_not(node.node) if node.node is not None else ""
        return (Reason(NAME, why, REMEDIES),) if why else FITS

    return check
