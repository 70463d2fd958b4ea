"""The status of a pod, from its spec and what the runtime says: what `kubectl get pods` shows of a node's work.

Pure. What was waited for when the last try failed (`Waiting`) comes from the worker, since no runtime remembers it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from apiserver.api.core.containers import Container as ContainerSpec
from apiserver.api.core.pod import (
    ContainerState,
    ContainerStateRunning,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
    HostIP,
    Pod,
    PodIP,
    PodStatus,
)

from .clock import timestamp
from .conditions import conditions_of
from .decide import Judge, has_begun, is_sidecar, will_run
from .health import Verdict
from .observed import Observed
from .phase import FAILED, FINISHED, phase_of
from .runtime.interface import Container

_NOT_RUNNING = Verdict(started=False, ready=False)
#: Of what its containers said last, all together: a status is read often.
LAST_WORDS_BYTES_MAX = 12 * 1024


class Waiting(msgspec.Struct, frozen=True):
    """Why a container does not run: CrashLoopBackOff, ErrImagePull, ..."""

    reason: str
    message: str = ""


class Ending(msgspec.Struct, frozen=True):
    """The node ended the pod: it is Failed, whatever its containers did. DeadlineExceeded, OutOfcpu, ..."""

    reason: str
    message: str


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the status is made from, beside the pod. `ended`: nothing of it runs or will run again."""

    seen: Observed
    judge: Judge
    waiting: Mapping[str, Waiting]
    host_ips: Sequence[str]
    start_time: str
    runtime: str  # its name, which stands before the ids of its containers
    ended: bool = False
    ending: Ending | None = None


def rejected_status(ending: Ending, start_time: str) -> PodStatus:
    """Of a pod that the node does not take."""
    return PodStatus(phase=FAILED, reason=ending.reason, message=ending.message, start_time=start_time)


def pod_status(pod: Pod, facts: Facts) -> PodStatus:
    """Conditions come without times (conditions.merged)."""
    seen = facts.seen
    inits = [_init_status(pod, spec, facts) for spec in pod.spec.init_containers]
    containers = [_container_status(pod, spec, facts) for spec in pod.spec.containers]
    phase, reason, message = _phase_and_why(pod, inits, containers, facts)
    sandbox = seen.sandbox
    host_ips = [HostIP(ip=each) for each in facts.host_ips]
    status = PodStatus(
        phase=phase,
        reason=reason,
        message=message,
        host_ip=host_ips[0].ip if host_ips else "",
        host_ips=host_ips,
        pod_ips=_pod_ips(pod, facts),
        start_time=facts.start_time,
        init_container_statuses=inits,
        container_statuses=containers,
        ephemeral_container_statuses=[_ephemeral_status(pod, each, facts) for each in pod.spec.ephemeral_containers],
        conditions=conditions_of(
            pod, phase, inits, containers, has_network=sandbox is not None, begun=has_begun(pod, seen)
        ),
    )
    status.pod_ip = status.pod_ips[0].ip if status.pod_ips else ""
    return status


def _phase_and_why(
    pod: Pod, inits: Sequence[ContainerStatus], containers: Sequence[ContainerStatus], facts: Facts
) -> tuple[str, str, str]:
    """An end that the API shows stays, whoever wrote it."""
    told = pod.status
    if told.phase in FINISHED:
        return told.phase, told.reason, told.message
    if facts.ended and facts.ending is not None:
        return FAILED, facts.ending.reason, facts.ending.message
    return phase_of(pod, inits, containers, ended=facts.ended), "", ""


def _pod_ips(pod: Pod, facts: Facts) -> list[PodIP]:
    """Of the sandbox that works, else of the last one: an address stays in the status as long as the pod, also when the
    runtime has forgotten it."""
    sandbox = facts.seen.sandbox or next(iter(facts.seen.sandboxes), None)
    if sandbox is None:
        return list(pod.status.pod_ips)
    found = facts.host_ips if pod.spec.host_network else sandbox.ips
    return [PodIP(ip=each) for each in found] or list(pod.status.pod_ips)


def _container_status(pod: Pod, spec: ContainerSpec, facts: Facts) -> ContainerStatus:
    again = not facts.ended and will_run(pod, facts.seen.newest(spec.name))
    return _status(pod, spec, facts, again=again)


def _ephemeral_status(pod: Pod, spec: ContainerSpec, facts: Facts) -> ContainerStatus:
    """Nobody waits for it, so it is never ready."""
    status = _status(pod, spec, facts, again=False)
    status.ready, status.started = False, None
    return status


def _init_status(pod: Pod, spec: ContainerSpec, facts: Facts) -> ContainerStatus:
    found = facts.seen.newest(spec.name)
    if is_sidecar(spec):
        return _status(pod, spec, facts, again=not facts.ended)
    ended_well = found is not None and found.exited and found.exit_code == 0
    status = _status(pod, spec, facts, again=not ended_well and not facts.ended)
    status.ready = ended_well
    return status


def _status(pod: Pod, spec: ContainerSpec, facts: Facts, *, again: bool) -> ContainerStatus:
    """`again`: it is to start once more when it has ended."""
    history = facts.seen.containers.get(spec.name, [])
    newest = history[0] if history else None
    verdict = facts.judge(spec, newest) if newest is not None and newest.running else _NOT_RUNNING
    of_pod = [*pod.spec.containers, *pod.spec.init_containers, *pod.spec.ephemeral_containers]
    length_max = LAST_WORDS_BYTES_MAX // len(of_pod)
    status = ContainerStatus(
        name=spec.name,
        stop_signal=spec.lifecycle.stop_signal if spec.lifecycle is not None else None,
        ready=verdict.ready and verdict.started,
        started=verdict.started,
        restart_count=newest.attempt if newest else 0,
        image=newest.image if newest else spec.image,
        image_id=newest.image_id if newest else "",
        container_id=f"{facts.runtime}://{newest.id}" if newest else "",
    )
    waiting = facts.waiting.get(spec.name)
    if newest is None or newest.phase.value == "created":
        status.state = _waiting(waiting or _not_yet(pod))
    elif newest.running:
        status.state = ContainerState(running=ContainerStateRunning(started_at=timestamp(newest.started_at)))
    elif again and waiting is not None:
        status.state = _waiting(waiting)
        status.last_state = ContainerState(terminated=terminated(newest, facts.runtime, length_max))
        return status
    else:
        status.state = ContainerState(terminated=terminated(newest, facts.runtime, length_max))
    before = next((each for each in history[1:] if each.exited), None)
    if before is not None:
        status.last_state = ContainerState(terminated=terminated(before, facts.runtime, length_max))
    return status


def _not_yet(pod: Pod) -> Waiting:
    return Waiting("PodInitializing" if pod.spec.init_containers else "ContainerCreating")


def _waiting(waiting: Waiting) -> ContainerState:
    return ContainerState(waiting=ContainerStateWaiting(reason=waiting.reason, message=waiting.message))


def terminated(container: Container, runtime: str, length_max: int) -> ContainerStateTerminated:
    """`length_max`: bytes of its message."""
    return ContainerStateTerminated(
        exit_code=container.exit_code,
        reason=container.reason or ("Error" if container.exit_code else "Completed"),
        message=container.message.encode()[:length_max].decode("utf-8", "ignore"),
        started_at=timestamp(container.started_at) if container.started_at else None,
        finished_at=timestamp(container.finished_at) if container.finished_at else None,
        container_id=f"{runtime}://{container.id}",
    )
