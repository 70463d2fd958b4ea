"""Which container's log is meant, and when it has ended."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from apiserver.api.core.pod import Pod
from apiserver.api.errors import BadRequest
from nodeagent.runtime.interface import Container, ContainerPhase, PodKey
from nodeagent.server.finding import has_ended, logged

ENDED, RUNS, MADE = ContainerPhase.EXITED, ContainerPhase.RUNNING, ContainerPhase.CREATED


def pod(state: dict[str, Any] | None = None, *, restarts: int = 0, last: str = "", policy: str = "Always") -> Pod:
    status: dict[str, Any] = {"name": "main", "restartCount": restarts, "state": state or {}}
    if last:
        status["lastState"] = {"terminated": {"exitCode": 1, "containerID": f"containerd://{last}"}}
    body = {
        "metadata": {"name": "web", "namespace": "default", "uid": "u"},
        "spec": {"restartPolicy": policy, "containers": [{"name": "main", "image": "i"}]},
        "status": {"containerStatuses": [status]} if state is not None else {},
    }
    return msgspec.convert(body, Pod)


def container(attempt: int, phase: ContainerPhase, code: int = 1) -> Container:
    return Container(
        id=f"id{attempt}",
        sandbox_id="s",
        pod=PodKey(namespace="default", name="web", uid="u"),
        name="main",
        attempt=attempt,
        image="",
        image_id="",
        phase=phase,
        created_at=1.0,
        started_at=0.0 if phase is MADE else 2.0,
        exit_code=code,
    )


def attempt(found: Pod, *phases: ContainerPhase, previous: bool = False) -> int:
    """Whose log is shown, of containers that are given newest first."""
    history = [container(len(phases) - 1 - number, phase) for number, phase in enumerate(phases)]
    return logged(found, "main", history, previous=previous).attempt


def test_what_runs_or_ran_last() -> None:
    assert attempt(pod(), RUNS) == 0
    assert attempt(pod(), RUNS, ENDED) == 1
    assert attempt(pod(), ENDED, ENDED) == 1
    assert attempt(pod(), MADE, ENDED) == 0, "what was made has said nothing yet"


def test_what_was_before() -> None:
    assert attempt(pod(), RUNS, ENDED, ENDED, previous=True) == 1
    assert attempt(pod(), MADE, ENDED, previous=True) == 0
    waits = {"waiting": {"reason": "CrashLoopBackOff"}}
    assert attempt(pod(waits, restarts=1, last="id1"), ENDED, ENDED, previous=True) == 1, "it is what was before"
    assert attempt(pod({"terminated": {"exitCode": 1}}, restarts=1), ENDED, ENDED, previous=True) == 0
    assert attempt(pod(policy="Never"), ENDED, ENDED, previous=True) == 0, "the API does not say yet"
    assert attempt(pod(), ENDED, ENDED, previous=True) == 1, "it will run again"
    for found, phases in ((pod(), (RUNS,)), (pod(), ()), (pod(policy="Never"), (ENDED,)), (pod(), (MADE,))):
        with pytest.raises(BadRequest, match='previous terminated container "main" in pod "web" not found'):
            attempt(found, *phases, previous=True)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (None, "is waiting to start: ContainerCreating"),
        ({"waiting": {"reason": "PodInitializing"}}, "is waiting to start: PodInitializing"),
        ({"waiting": {"reason": "ErrImagePull"}}, "is waiting to start: image can't be pulled"),
        ({"waiting": {"reason": "ImagePullBackOff"}}, "is waiting to start: trying and failing to pull image"),
        ({"terminated": {"exitCode": 0}}, "is terminated: its log is gone"),
    ],
)
def test_what_has_no_log(state: dict[str, Any] | None, words: str) -> None:
    for phases in ((), (MADE,)):
        with pytest.raises(BadRequest, match=f'container "main" in pod "web" {words}'):
            attempt(pod(state), *phases)


def test_when_it_has_ended() -> None:
    second = container(1, RUNS)
    running: dict[str, Any] = {"running": {}}
    assert has_ended(None, second), "the pod is gone"
    assert not has_ended(pod(), second), "the API knows nothing yet"
    assert not has_ended(pod({"terminated": {"exitCode": 0}}, restarts=0), second), "that was the one before"
    assert not has_ended(pod(running, restarts=1), second)
    assert has_ended(pod({"terminated": {"exitCode": 0}}, restarts=1), second)
    assert has_ended(pod(running, restarts=2), second), "another one runs"
    waits = {"waiting": {"reason": "CrashLoopBackOff"}}
    assert has_ended(pod(waits, restarts=1, last="id1"), second)
    assert not has_ended(pod(waits, restarts=1, last="id0"), second)
