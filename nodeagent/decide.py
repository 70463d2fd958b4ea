"""What a pod needs next, from its spec and what the runtime says: a pure function, the same whatever happened before.

The order is Kubernetes': a sandbox; init containers one after another, of which sidecars (restartPolicy Always) stay;
then all containers. What ended is started again as restartPolicy says. A pod is finished once nothing of it will run
again. Ephemeral containers start whenever they come, once, and nothing waits for them.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from apiserver.api.core.containers import Container as ContainerSpec
from apiserver.api.core.pod import Pod

from .health import Verdict
from .observed import Observed
from .runtime.interface import Container

Judge = Callable[[ContainerSpec, Container], Verdict]

ALWAYS, ON_FAILURE, NEVER = "Always", "OnFailure", "Never"


class Kill(msgspec.Struct, frozen=True):
    """`grace_period_s`: when it is not the pod's."""

    container: Container
    message: str
    grace_period_s: float | None = None


class Decision(msgspec.Struct, kw_only=True):
    """finished: stop what is left. sandbox: make a new one first. start: containers to start, in this order, also again
    (then a wait may be due). kill: containers to stop, so that they start anew. look_again_s: when to decide again."""

    finished: bool = False
    sandbox: bool = False
    start: list[ContainerSpec] = []
    kill: list[Kill] = []
    look_again_s: float | None = None

    def note(self, verdict: Verdict) -> None:
        if verdict.look_again_s is not None:
            self.look_again_s = min(verdict.look_again_s, self.look_again_s or verdict.look_again_s)


def is_sidecar(spec: ContainerSpec) -> bool:
    """Of an init container."""
    return spec.restart_policy == ALWAYS


def lasting_containers(pod: Pod) -> list[ContainerSpec]:
    """Those that run as long as the pod."""
    return [*(each for each in pod.spec.init_containers if is_sidecar(each)), *pod.spec.containers]


def policy_of(pod: Pod) -> str:
    return pod.spec.restart_policy or ALWAYS


def will_run(pod: Pod, container: Container | None) -> bool:
    """Whether a container of the pod, here the last of its name, runs or is to run again. Not for init containers."""
    if container is None or not container.exited:
        return True
    policy = policy_of(pod)
    return policy == ALWAYS or (policy == ON_FAILURE and container.exit_code != 0)


def is_finished(pod: Pod, seen: Observed) -> bool:
    if policy_of(pod) == NEVER and _init_failed(pod, seen):
        return True
    return not any(will_run(pod, seen.newest(spec.name)) for spec in pod.spec.containers)


def _init_failed(pod: Pod, seen: Observed) -> bool:
    for spec in pod.spec.init_containers:
        found = seen.newest(spec.name)
        if not is_sidecar(spec) and found is not None and found.exited and found.exit_code != 0:
            return True
    return False


def decide(pod: Pod, seen: Observed, judge: Judge) -> Decision:
    made = Decision()
    if is_finished(pod, seen):
        made.finished = True
    elif seen.sandbox is None:
        made.sandbox = True
    else:
        if _initialized(pod, seen, judge, made):
            _containers(pod, seen, judge, made)
        made.start += [each for each in pod.spec.ephemeral_containers if _not_yet_run(each, seen)]
    return made


def _not_yet_run(spec: ContainerSpec, seen: Observed) -> bool:
    """Of an ephemeral container: it runs once, whatever becomes of it or of the sandbox."""
    newest = seen.newest(spec.name)
    return newest is None or (newest is seen.current(spec.name) and not newest.running and not newest.exited)


def has_begun(pod: Pod, seen: Observed) -> bool:
    """Its init containers have done their work in this sandbox: containers that follow them are there."""
    return any(seen.current(spec.name) is not None for spec in pod.spec.containers)


def _initialized(pod: Pod, seen: Observed, judge: Judge, made: Decision) -> bool:
    """Whether the containers may run. Adds the one init container that is next, and sidecars that ended."""
    begun = has_begun(pod, seen)
    for spec in pod.spec.init_containers:
        sidecar = is_sidecar(spec)
        if begun and not sidecar:
            continue
        done = _sidecar(pod, spec, seen, judge, made) if sidecar else _init(spec, seen, made)
        if not done and not begun:
            return False
    return True


def _init(spec: ContainerSpec, seen: Observed, made: Decision) -> bool:
    """Whether it has ended well."""
    found = seen.current(spec.name)
    if found is None or found.exited:
        if found is not None and found.exit_code == 0:
            return True
        made.start.append(spec)
    elif not found.running:
        made.start.append(spec)
    return False


def _sidecar(pod: Pod, spec: ContainerSpec, seen: Observed, judge: Judge, made: Decision) -> bool:
    """Whether it has started."""
    found = seen.current(spec.name)
    if found is None or not found.running:
        made.start.append(spec)
        return False
    return _judged(pod, spec, found, judge, made).started


def _containers(pod: Pod, seen: Observed, judge: Judge, made: Decision) -> None:
    for spec in pod.spec.containers:
        found = seen.current(spec.name)
        if found is None and not will_run(pod, seen.newest(spec.name)):
            continue  # it ended for good in a sandbox that is no more
        if found is not None and found.running:
            _judged(pod, spec, found, judge, made)
        elif found is None or not found.exited or will_run(pod, found):
            made.start.append(spec)


def _judged(pod: Pod, spec: ContainerSpec, found: Container, judge: Judge, made: Decision) -> Verdict:
    verdict = judge(spec, found)
    made.note(verdict)
    if found.image != spec.image:
        made.kill.append(Kill(found, f"Container {spec.name} definition changed, will be restarted"))
    elif not verdict.alive:
        words = verdict.message or f"Container {spec.name} failed liveness probe"
        if policy_of(pod) != NEVER or is_sidecar(spec):
            words += ", will be restarted"
        made.kill.append(Kill(found, words, verdict.grace_period_s))
    return verdict
