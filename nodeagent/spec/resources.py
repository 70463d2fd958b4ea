"""Requests and limits as the kernel's numbers, as the kubelet makes them.

CPU requests are weights, so that who asked for more gets more when all want some; limits are hard.
"""

from __future__ import annotations

from apiserver.api.core.containers import Container, ResourceRequirements
from apiserver.api.core.pod import Pod
from apiserver.api.pod_requests import container_requests_of
from apiserver.api.quantity import milli_value, value
from nodeagent.decide import is_sidecar
from nodeagent.runtime.interface import Resources

GUARANTEED, BEST_EFFORT = "Guaranteed", "BestEffort"
CPU, MEMORY = "cpu", "memory"
PERIOD_US = 100_000
_QUOTA_US_MIN = 1_000
_SHARES_MIN, _SHARES_MAX, _SHARES_PER_CPU = 2, 262_144, 1_024
#: Pods that the node cannot do without have at least this priority (system-node-critical).
_CRITICAL_PRIORITY = 2_000_001_000
_PROTECTED, _FIRST = -997, 1000


def container_resources(pod: Pod, container: Container, *, memory_capacity: int) -> Resources:
    """`memory_capacity`: of the node, in bytes."""
    limits, requests = container.resources.limits, container.resources.requests
    asked = milli_value(requests.get(CPU, limits.get(CPU, "0")))
    return Resources(
        cpu_shares=shares_of(asked),
        cpu_period_us=PERIOD_US,
        cpu_quota_us=quota_of(milli_value(limits.get(CPU, "0"))),
        memory_limit=value(limits.get(MEMORY, "0")),
        oom_score_adj=oom_score_of(pod, container, memory_capacity=memory_capacity),
    )


def pod_resources(pod: Pod) -> Resources:
    """What all its containers together weigh against other pods, and may use if the pod as a whole has limits."""
    whole = pod.spec.resources or ResourceRequirements()
    asked = milli_value(whole.requests.get(CPU, whole.limits.get(CPU, "0")))
    return Resources(
        cpu_shares=shares_of(asked or container_requests_of(pod, least={}).get(CPU, 0)),
        cpu_period_us=PERIOD_US,
        cpu_quota_us=quota_of(milli_value(whole.limits.get(CPU, "0"))),
        memory_limit=value(whole.limits.get(MEMORY, "0")),
    )


def shares_of(milli_cpus: int) -> int:
    return max(_SHARES_MIN, min(_SHARES_MAX, milli_cpus * _SHARES_PER_CPU // 1000))


def quota_of(milli_cpus: int) -> int:
    """Microseconds in each period; 0: no limit."""
    return max(_QUOTA_US_MIN, milli_cpus * PERIOD_US // 1000) if milli_cpus else 0


def oom_score_of(pod: Pod, container: Container, *, memory_capacity: int) -> int:
    """Who dies first when memory runs out: those who asked for nothing; then those who asked for little of the node's.

    A sidecar does not die before the containers it serves.
    """
    quality = pod.status.qos_class
    if (pod.spec.priority or 0) >= _CRITICAL_PRIORITY or quality == GUARANTEED:
        return _PROTECTED
    if quality == BEST_EFFORT:
        return _FIRST
    asked = _memory_request(container)
    if is_sidecar(container):
        asked = max(asked, min((_memory_request(each) for each in pod.spec.containers), default=0))
    score = _FIRST - (_FIRST * asked) // max(1, memory_capacity)
    return max(_FIRST + _PROTECTED, min(_FIRST - 1, score))


def _memory_request(container: Container) -> int:
    return value(container.resources.requests.get(MEMORY, "0"))
