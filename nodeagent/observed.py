"""What the runtime says of one pod, at one moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from apiserver.api.core.pod import ContainerStatus, Pod
from apiserver.api.times import parse_time

from .runtime.interface import Container, ContainerPhase, PodKey, Sandbox

LOST_CODE, LOST = 137, "ContainerStatusUnknown"
_LOST_WORDS = "The container could not be located when the pod was terminated"


class Observed(msgspec.Struct, frozen=True):
    """Both newest first; `containers` by name, of all sandboxes."""

    sandboxes: Sequence[Sandbox] = ()
    containers: dict[str, list[Container]] = {}

    @property
    def sandbox(self) -> Sandbox | None:
        """The one that works."""
        return next((each for each in self.sandboxes if each.ready), None)

    def newest(self, name: str) -> Container | None:
        found = self.containers.get(name)
        return found[0] if found else None

    def current(self, name: str) -> Container | None:
        """The newest of this name in the sandbox that works."""
        newest, sandbox = self.newest(name), self.sandbox
        return newest if newest is not None and sandbox is not None and newest.sandbox_id == sandbox.id else None

    @property
    def alive(self) -> list[Container]:
        """What has not ended, also in sandboxes that do not work."""
        return [each for found in self.containers.values() for each in found if not each.exited]


NOTHING = Observed()


def observed(sandboxes: Iterable[Sandbox], containers: Iterable[Container]) -> Observed:
    by_name: dict[str, list[Container]] = {}
    for container in containers:
        by_name.setdefault(container.name, []).append(container)
    for found in by_name.values():
        found.sort(key=lambda each: (each.attempt, each.created_at), reverse=True)
    return Observed(sorted(sandboxes, key=lambda each: each.attempt, reverse=True), by_name)


def recalled(pod: Pod, seen: Observed) -> Observed:
    """With the containers that the API shows and the runtime has lost, with its data or by somebody's hand: they have
    ended, and what is not known of their end is said so. So what is to run only once does not run again, restarts are
    counted on, and the last end stays in the status."""
    status, more = pod.status, {}
    for each in (*status.init_container_statuses, *status.container_statuses, *status.ephemeral_container_statuses):
        found = seen.containers.get(each.name, [])
        lost = [old for old in _shown(pod, each) if _is_lost(old, found)]
        if lost:
            more[each.name] = sorted((*found, *lost), key=lambda container: container.attempt, reverse=True)
    return Observed(seen.sandboxes, seen.containers | more) if more else seen


def _is_lost(shown: Container, found: Sequence[Container]) -> bool:
    """The status may be older than what runs, but nothing is newer than that."""
    return not found or (shown.attempt < found[0].attempt and all(each.id != shown.id for each in found))


def _shown(pod: Pod, status: ContainerStatus) -> Iterator[Container]:
    """The container that a status is of, and the one before, as far as they ran."""
    state, last = status.state, status.last_state.terminated
    if state.running is not None:
        yield _gone(
            pod, status, status.container_id, status.restart_count, started_at=_moment(state.running.started_at)
        )
    for ended in (state.terminated, last):
        if ended is not None:
            before = 0 if ended.container_id == status.container_id else 1
            yield _gone(
                pod,
                status,
                ended.container_id,
                status.restart_count - before,
                started_at=_moment(ended.started_at),
                finished_at=_moment(ended.finished_at),
                exit_code=ended.exit_code,
                reason=ended.reason,
                message=ended.message,
            )


def _gone(pod: Pod, status: ContainerStatus, container_id: str, attempt: int, **known: Any) -> Container:
    meta = pod.metadata
    gone = Container(
        id=container_id.partition("://")[2],
        sandbox_id="",
        pod=PodKey(namespace=meta.namespace, name=meta.name, uid=meta.uid),
        name=status.name,
        attempt=max(0, attempt),
        image=status.image,
        image_id=status.image_id,
        phase=ContainerPhase.EXITED,
        created_at=0.0,
        exit_code=LOST_CODE,
        reason=LOST,
        message=_LOST_WORDS,
    )
    return msgspec.structs.replace(gone, **known)


def _moment(text: str | None) -> float:
    try:
        return parse_time(text or "").timestamp()
    except ValueError:
        return 0.0
