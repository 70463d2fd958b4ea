"""The phase of a pod, from the states of its containers, as the kubelet works it out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from apiserver.api.core.pod import ContainerStatus, Pod

from .decide import is_sidecar

PENDING, RUNNING, SUCCEEDED, FAILED = "Pending", "Running", "Succeeded", "Failed"
FINISHED = frozenset({SUCCEEDED, FAILED})


def phase_of(
    pod: Pod, init_statuses: Iterable[ContainerStatus], statuses: Iterable[ContainerStatus], *, ended: bool
) -> str:
    """`ended`: nothing of the pod runs or will run again. Before that no pod has Succeeded or Failed."""
    pending, failed = _initialization(pod, {each.name: each for each in init_statuses})
    running, waiting, exit_codes = _counted(statuses)
    if ended:
        ended_well = exit_codes and not waiting and not failed and not any(exit_codes)
        return SUCCEEDED if ended_well else FAILED
    if waiting or (pending and not running and not exit_codes):
        return PENDING
    return RUNNING


def _counted(statuses: Iterable[ContainerStatus]) -> tuple[int, int, list[int]]:
    """Running ones, those that never ran, exit codes of those that ended and may start again."""
    running, waiting, exit_codes = 0, 0, []
    for status in statuses:
        ended = status.state.terminated or status.last_state.terminated
        if status.state.running is not None:
            running += 1
        elif ended is not None:
            exit_codes.append(ended.exit_code)
        else:
            waiting += 1
    return running, waiting, exit_codes


def _initialization(pod: Pod, statuses: Mapping[str, ContainerStatus]) -> tuple[bool, bool]:
    """Whether it goes on, whether it failed."""
    pending = failed = False
    for spec in pod.spec.init_containers:
        status = statuses.get(spec.name)
        if status is None:
            pending = True
        elif is_sidecar(spec):
            pending = pending or not status.started
        else:
            ended = status.state.terminated or (status.last_state.terminated if status.state.waiting else None)
            failed = failed or (ended is not None and ended.exit_code != 0)
            pending = pending or status.state.terminated is None
    return pending, failed
