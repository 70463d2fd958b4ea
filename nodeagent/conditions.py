"""The conditions of a pod that its node writes, in Kubernetes' words. Others' conditions are left as they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from apiserver.api.core.pod import ContainerStatus, Pod, PodCondition

from .decide import is_sidecar
from .phase import FAILED, FINISHED, SUCCEEDED

NETWORK_UP, INITIALIZED, READY, CONTAINERS_READY, SCHEDULED = (
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
)
OWN = (NETWORK_UP, INITIALIZED, READY, CONTAINERS_READY, SCHEDULED)
_PODS_END = {SUCCEEDED: "PodCompleted", FAILED: "PodFailed"}


def conditions_of(
    pod: Pod,
    phase: str,
    init_statuses: Sequence[ContainerStatus],
    statuses: Sequence[ContainerStatus],
    *,
    has_network: bool,
    begun: bool,
) -> list[PodCondition]:
    """Without times. `begun`: its containers were started, so that its initialization is behind it."""
    containers_ready = _containers_ready(phase, init_statuses, statuses, pod)
    return [
        PodCondition(type=NETWORK_UP, status=str(has_network)),
        _initialized(pod, phase, init_statuses, begun=begun),
        _ready(pod, phase, containers_ready),
        containers_ready,
        PodCondition(type=SCHEDULED, status="True"),
    ]


def _initialized(pod: Pod, phase: str, statuses: Sequence[ContainerStatus], *, begun: bool) -> PodCondition:
    if phase == SUCCEEDED:
        return PodCondition(type=INITIALIZED, status="True", reason="PodCompleted")
    by_name = {each.name: each for each in statuses}
    unknown, incomplete = [], []
    for spec in pod.spec.init_containers:
        status = by_name.get(spec.name)
        if status is None:
            unknown.append(spec.name)
        elif not (status.started if is_sidecar(spec) else status.ready) and not begun:
            incomplete.append(spec.name)
    if not unknown and not incomplete:
        return PodCondition(type=INITIALIZED, status="True")
    words = _named("unknown", unknown) + _named("incomplete", incomplete)
    return PodCondition(
        type=INITIALIZED, status="False", reason="ContainersNotInitialized", message=f"containers with {words}"
    )


def _named(what: str, names: Sequence[str]) -> str:
    return f"{what} status: [{' '.join(names)}]" if names else ""


def _containers_ready(
    phase: str, init_statuses: Iterable[ContainerStatus], statuses: Sequence[ContainerStatus], pod: Pod
) -> PodCondition:
    if phase in FINISHED:
        return PodCondition(type=CONTAINERS_READY, status="False", reason=_PODS_END[phase])
    sidecars = {each.name for each in pod.spec.init_containers if is_sidecar(each)}
    counted = [*(each for each in init_statuses if each.name in sidecars), *statuses]
    unready = [each.name for each in counted if not each.ready]
    if not unready:
        return PodCondition(type=CONTAINERS_READY, status="True")
    return PodCondition(
        type=CONTAINERS_READY,
        status="False",
        reason="ContainersNotReady",
        message=f"containers with unready status: [{' '.join(unready)}]",
    )


def _ready(pod: Pod, phase: str, containers: PodCondition) -> PodCondition:
    """As its containers are; then the readiness gates, which others open."""
    if containers.status != "True":
        return msgspec.structs.replace(containers, type=READY)
    known = {each.type: each.status for each in pod.status.conditions}
    closed = []
    for gate in pod.spec.readiness_gates:
        status = known.get(gate.condition_type)
        if status is None:
            closed.append(f'corresponding condition of pod readiness gate "{gate.condition_type}" does not exist.')
        elif status != "True":
            closed.append(
                f'the status of pod readiness gate "{gate.condition_type}" is not "True", but {status}',
            )
    if closed:
        return PodCondition(type=READY, status="False", reason="ReadinessGatesNotReady", message=", ".join(closed))
    return PodCondition(type=READY, status="True")


def merged(own: Iterable[PodCondition], known: Sequence[PodCondition], now: str) -> list[PodCondition]:
    """Our conditions with the time of their last change, and everybody else's."""
    before = {each.type: each for each in known}
    found = []
    for condition in own:
        last = before.get(condition.type)
        same = last is not None and last.status == condition.status
        at = last.last_transition_time if last is not None and same else now
        found.append(msgspec.structs.replace(condition, last_transition_time=at))
    mine = {each.type for each in found}
    return [*found, *(each for each in known if each.type not in mine)]
