"""From the names in a path to a pod of this node and one of its containers, in the kubelet's words when there is none.

Pods come from the agent's own feed, not from the API; what runs of them is asked of the runtime.
"""

from __future__ import annotations

from collections.abc import Sequence

from apiserver.api.core.pod import ContainerStatus, Pod
from apiserver.api.errors import BadRequest, NotFound, ServiceUnavailable
from nodeagent.decide import will_run
from nodeagent.feeds import Feed
from nodeagent.runtime.interface import Container, Runtime, RuntimeFailure, Sandbox

_IMAGE_WORDS = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}


class Finder:
    """Raises ApiError."""

    def __init__(self, node: str, pods: Feed[Pod], runtime: Runtime) -> None:
        self._node = node
        self._pods = pods
        self._runtime = runtime

    def pods(self) -> list[Pod]:
        return self._pods.of(self._node)

    def pod(self, namespace: str, name: str) -> Pod:
        """Raises NotFound."""
        found = next((each for each in self.pods() if _is(each, namespace, name)), None)
        if found is None:
            raise NotFound(f'pod "{name}" does not exist')
        return found

    def by_uid(self, uid: str) -> Pod | None:
        return next((each for each in self.pods() if each.metadata.uid == uid), None)

    async def history(self, pod: Pod, container: str) -> list[Container]:
        """What the runtime has of a container, newest first. Raises NotFound, ServiceUnavailable."""
        if container not in container_names(pod):
            raise NotFound(f'container "{container[:253]}" not found in pod "{pod.metadata.name}"')
        try:
            found = await self._runtime.list_containers(pod_uid=pod.metadata.uid)
        except RuntimeFailure as error:
            raise ServiceUnavailable(f"the container runtime does not say what runs: {error.message}") from error
        named = [each for each in found if each.name == container]
        return sorted(named, key=lambda each: (each.attempt, each.created_at), reverse=True)

    async def running(self, pod: Pod, container: str) -> Container:
        """For commands and connections. Raises BadRequest when it does not run."""
        history = await self.history(pod, container)
        if not history or not history[0].running:
            raise BadRequest(f'container not found ("{container}"): it does not run in pod "{pod.metadata.name}"')
        return history[0]

    async def sandbox(self, pod: Pod) -> Sandbox:
        """The one that works. Raises BadRequest, ServiceUnavailable."""
        try:
            found = await self._runtime.list_sandboxes(pod_uid=pod.metadata.uid)
        except RuntimeFailure as error:
            raise ServiceUnavailable(f"the container runtime does not say what runs: {error.message}") from error
        ready = [each for each in found if each.ready]
        if not ready:
            raise BadRequest(f'pod "{pod.metadata.name}" does not run')
        return max(ready, key=lambda each: each.attempt)


def _is(pod: Pod, namespace: str, name: str) -> bool:
    return pod.metadata.name == name and pod.metadata.namespace == namespace


def container_names(pod: Pod) -> set[str]:
    spec = pod.spec
    return {each.name for each in (*spec.init_containers, *spec.containers, *spec.ephemeral_containers)}


def status_of(pod: Pod, container: str) -> ContainerStatus | None:
    """As the API shows it."""
    status = pod.status
    known = (*status.container_statuses, *status.init_container_statuses, *status.ephemeral_container_statuses)
    return next((each for each in known if each.name == container), None)


def logged(pod: Pod, container: str, history: Sequence[Container], *, previous: bool) -> Container:
    """Whose log is meant: of the container that runs or ran last, or of the one before. Raises BadRequest."""
    name = pod.metadata.name
    begun = [each for each in history if each.started_at]
    if previous:
        before = [each for each in begun if each.exited]
        if begun and begun[0].exited and not _waits_to_run_again(pod, container, begun[0]):
            before = before[1:]
        if not before:
            raise BadRequest(f'previous terminated container "{container}" in pod "{name}" not found')
        return before[0]
    if begun:
        return begun[0]
    status = status_of(pod, container)
    if status is not None and status.state.terminated is not None:
        raise BadRequest(f'container "{container}" in pod "{name}" is terminated: its log is gone')
    waiting = status.state.waiting if status is not None else None
    reason = waiting.reason if waiting is not None else ""
    reason = _IMAGE_WORDS.get(reason, reason) or "ContainerCreating"
    raise BadRequest(f'container "{container}" in pod "{name}" is waiting to start: {reason}')


def _waits_to_run_again(pod: Pod, container: str, ended: Container) -> bool:
    """Then what ended last is what was there before: the next one does not run yet."""
    status = status_of(pod, container)
    if status is not None and status.restart_count == ended.attempt:
        return status.state.waiting is not None
    return container in {each.name for each in pod.spec.containers} and will_run(pod, ended)


def has_ended(pod: Pod | None, container: Container) -> bool:
    """Whether the API says so; what it does not know yet has not."""
    if pod is None:
        return True
    status = status_of(pod, container.name)
    if status is None or status.restart_count < container.attempt:
        return False
    if status.restart_count > container.attempt or status.state.terminated is not None:
        return True
    last = status.last_state.terminated
    return status.state.waiting is not None and last is not None and last.container_id.endswith(container.id)
