"""The conditions of nodes and pods, as they are and as they become when a node is not heard of. No I/O, no clock.

Types, reasons and messages are Kubernetes' (node lifecycle controller, 1.33).
"""

from __future__ import annotations

import msgspec

from apiserver.api.core.node import Node, NodeCondition
from apiserver.api.core.pod import Pod, PodCondition
from controlplane.controllers.status_writes import with_condition

READY = "Ready"
TRUE, FALSE, UNKNOWN = "True", "False", "Unknown"
#: What a node's agent says of it; nobody knows any more once it is silent. NetworkUnavailable is not the agent's.
OF_THE_AGENT = (READY, "MemoryPressure", "DiskPressure", "PIDPressure")
STOPPED = ("NodeStatusUnknown", "Kubelet stopped posting node status.")
NEVER = ("NodeStatusNeverUpdated", "Kubelet never posted node status.")


def ready_condition(node: Node) -> NodeCondition | None:
    return next((each for each in node.status.conditions if each.type == READY), None)


def readiness(node: Node) -> str:
    """True, False or Unknown; "" for a node that never said."""
    condition = ready_condition(node)
    return "" if condition is None else condition.status


def is_ready(node: Node) -> bool:
    return readiness(node) == TRUE


def when_silent(node: Node, now: str) -> list[NodeCondition] | None:
    """All conditions of a node that is not heard of any more; None when they say so already."""
    known = {each.type: each for each in node.status.conditions}
    changed = {kind: _unknown(node, kind, known.get(kind), now) for kind in OF_THE_AGENT}
    if all(known.get(kind) is condition for kind, condition in changed.items()):
        return None
    return list((known | changed).values())


def _unknown(node: Node, kind: str, known: NodeCondition | None, now: str) -> NodeCondition:
    if known is None:
        reason, message = NEVER
        created = node.metadata.creation_timestamp
        return NodeCondition(
            type=kind,
            status=UNKNOWN,
            last_heartbeat_time=created,
            last_transition_time=now,
            reason=reason,
            message=message,
        )
    if known.status == UNKNOWN:
        return known
    reason, message = STOPPED
    return msgspec.structs.replace(known, status=UNKNOWN, reason=reason, message=message, last_transition_time=now)


def _ready_of_pod(pod: Pod) -> PodCondition | None:
    return next((each for each in pod.status.conditions if each.type == READY), None)


def is_said_ready(pod: Pod) -> bool:
    condition = _ready_of_pod(pod)
    return condition is not None and condition.status == TRUE


def when_node_not_ready(pod: Pod, now: str) -> list[PodCondition] | None:
    """All conditions of a pod whose node is not ready; None when it is not ready already."""
    found = _ready_of_pod(pod)
    if found is None or found.status != TRUE:
        return None
    return with_condition(pod.status.conditions, msgspec.structs.replace(found, status=FALSE), now)
