"""Which pods go first when there are too many: Kubernetes' order (ReplicaSet documentation, "Scaling a ReplicaSet").

1. without a node; 2. Pending, then Unknown; 3. not ready; 4. the lower pod-deletion-cost; 5. on a node with more pods
of the same owner; 6. ready for a shorter time; 7. more restarts; 8. younger; and last by uid.

Times are compared by their order of magnitude (log2), so that a hair's breadth of age does not decide.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from apiserver.api.core.pod import Pod
from controlplane.runtime.clock import Clock
from controlplane.runtime.pace import Pace

from .pod_state import is_active, ready_condition

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_COST_MAX = 2**31 - 1
_cost_re = re.compile("0|-?[1-9][0-9]{0,9}")
_PHASES = {"": 0, "Pending": 0, "Unknown": 1, "Running": 2}


async def pods_to_delete(
    pods: Sequence[Pod], related: Iterable[Pod], count: int, *, clock: Clock, pace: Pace
) -> list[Pod]:
    """`count` of `pods`. `related` are all pods of the ReplicaSets that have the same owner."""
    if count >= len(pods):
        return list(pods)
    on_node = Counter(pod.spec.node_name for pod in related if is_active(pod))
    ranked = []
    for pod in pods:
        await pace.breathe()
        ranked.append((rank(pod, on_node, clock), pod))
    ranked.sort(key=lambda each: each[0])
    return [pod for _, pod in ranked[:count]]


def rank(pod: Pod, on_node: Mapping[str, int], clock: Clock) -> tuple[Any, ...]:
    """The lowest goes first. `on_node`: pods of the same owner, by node."""
    ready = ready_condition(pod)
    return (
        bool(pod.spec.node_name),
        _PHASES.get(pod.status.phase, 2),
        ready is not None,
        deletion_cost(pod),
        -on_node.get(pod.spec.node_name, 0),
        _magnitude(ready.last_transition_time, clock) if ready else 0,
        -_restarts(pod),
        _magnitude(pod.metadata.creation_timestamp, clock),
        pod.metadata.uid,
    )


def deletion_cost(pod: Pod) -> int:
    """What the annotation says; 0 without it, or when it is no number of 32 bits."""
    text = pod.metadata.annotations.get(DELETION_COST, "0")
    cost = int(text) if _cost_re.fullmatch(text) else 0
    return cost if -_COST_MAX - 1 <= cost <= _COST_MAX else 0


def _magnitude(timestamp: str | None, clock: Clock) -> int:
    """Order of magnitude of the age; younger is less. What has no time goes first."""
    if not timestamp:
        return -2
    nanoseconds = clock.age_s(timestamp) * 1e9
    return int(math.log2(nanoseconds)) if nanoseconds >= 1 else -1


def _restarts(pod: Pod) -> int:
    """The most that any container had."""
    return max((each.restart_count for each in pod.status.container_statuses), default=0)
