"""What a ReplicaSet asks of a pod: does it count, is it ready, since when."""

from __future__ import annotations

from apiserver.api.core.pod import Pod, PodCondition
from controlplane.runtime.clock import Clock


def is_active(pod: Pod) -> bool:
    """Neither at its end nor about to go: it counts as one of the replicas."""
    return pod.metadata.deletion_timestamp is None and pod.status.phase not in ("Succeeded", "Failed")


def ready_condition(pod: Pod) -> PodCondition | None:
    """The condition that says the pod is ready; None when it is not."""
    for condition in pod.status.conditions:
        if condition.type == "Ready":
            return condition if condition.status == "True" else None
    return None


def available_in_s(pod: Pod, min_ready_s: int, clock: Clock) -> float | None:
    """Seconds until the pod has been ready for `min_ready_s`, 0 when it has been; None when it is not ready."""
    ready = ready_condition(pod)
    if ready is None:
        return None
    if min_ready_s <= 0:
        return 0.0
    if not ready.last_transition_time:
        return float(min_ready_s)
    return max(0.0, min_ready_s - clock.age_s(ready.last_transition_time))
