"""`kminictl run` with its container: what it says is heard however soon it ends, and its end is the command's."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from kminictl.failures import CommandError, told
from kminictl.verbs import exec as attaching
from kminictl.verbs import logs
from kminictl.verbs.run import _heard, failure_of


def pod(phase: str, **terminated: Any) -> dict[str, Any]:
    states = [{"name": "once", "state": {"terminated": terminated}}] if terminated else []
    return {
        "metadata": {"name": "once", "namespace": "ns"},
        "spec": {"containers": [{"name": "main"}]},
        "status": {"phase": phase, "containerStatuses": states},
    }


def test_how_a_pod_ended() -> None:
    assert failure_of(pod("Succeeded", exitCode=0)) is None
    failed = failure_of(pod("Failed", exitCode=7, reason="Error"))
    assert failed is not None
    assert (told(failed), failed.code) == ("pod ns/once terminated (Error)", 7)
    failed = failure_of(pod("Failed", exitCode=137, reason="OOMKilled", message="it was\ntoo much\n"))
    assert failed is not None
    assert (told(failed), failed.code) == ("pod ns/once terminated (OOMKilled)\nit was\ntoo much", 137)


@pytest.mark.parametrize("terminated", [{}, {"exitCode": 0, "reason": "Completed"}])
def test_a_pod_that_failed_without_its_container(terminated: dict[str, Any]) -> None:
    failed = failure_of(pod("Failed", **terminated))
    assert failed is not None
    assert (told(failed), failed.code) == ("error: pod ns/once failed with unknown exit code", 1)


class Said:
    """What is attached to and whose log is read, and what people are told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fails: Exception | None = None) -> None:
        self.done: list[str] = []
        self.fails = fails
        self.session: Any = SimpleNamespace(namespace="ns", tell=self.done.append)
        monkeypatch.setattr(attaching, "attach_to", self.attach)
        monkeypatch.setattr(logs, "whole_log", self.log)

    async def attach(self, _session: Any, pod: str, namespace: str, container: str, **_given: bool) -> None:
        self.done.append(f"attach {namespace}/{pod}/{container}")
        if self.fails is not None:
            raise self.fails

    async def log(self, _session: Any, pod: str, namespace: str, container: str) -> None:
        self.done.append(f"log {namespace}/{pod}/{container}")


GIVEN = {"quiet": False, "stdin": False, "tty": False}
ATTACH, LOG = "attach ns/once/main", "log ns/once/main"


def test_a_container_that_runs_is_attached_to(monkeypatch: pytest.MonkeyPatch) -> None:
    said = Said(monkeypatch)
    asyncio.run(_heard(said.session, pod("Running"), GIVEN))
    assert said.done == [ATTACH]


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_container_that_has_ended_has_a_log(monkeypatch: pytest.MonkeyPatch, phase: str) -> None:
    said = Said(monkeypatch)
    asyncio.run(_heard(said.session, pod(phase), GIVEN))
    assert said.done == [LOG]


def test_a_container_that_ends_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    said = Said(monkeypatch, CommandError("it does not run"))
    asyncio.run(_heard(said.session, pod("Running"), GIVEN))
    warning = "warning: couldn't attach to pod/once, falling back to streaming logs: it does not run"
    assert said.done == [ATTACH, warning, LOG]
