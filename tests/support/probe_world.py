"""A prober without an agent: one container, whose probes answer as a test says, on virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, NamedTuple

import msgspec
from virtual_time import now_s

from apiserver.api.core.containers import Container as ContainerSpec
from apiserver.api.core.node import Node
from apiserver.api.core.pod import ContainerStatus, Pod
from nodeagent.health import Verdict
from nodeagent.observed import observed
from nodeagent.probes.prober import Prober
from nodeagent.runtime.interface import (
    Container,
    ContainerPhase,
    ExecResult,
    PodKey,
    RuntimeFailure,
    Sandbox,
    TookTooLong,
)

UID = "uid-of-a"


class Ask(NamedTuple):
    at_s: float
    kind: str  # startup, liveness, readiness
    container_id: str


class Answers:
    """An executor. A probe's command is its kind; `answer` says for each ask True, False, or None when nothing is to be
    found out. `takes_s` is what an answer takes."""

    def __init__(self, answer: Callable[[Ask], bool | None] = lambda ask: True, *, takes_s: float = 0.0) -> None:
        self.answer = answer
        self.takes_s = takes_s
        self.asked: list[Ask] = []
        self.at_once = 0
        self.most_at_once = 0

    async def exec_sync(
        self, container_id: str, command: Sequence[str], *, timeout_s: float, brief: bool = False
    ) -> ExecResult:
        assert brief, "many are asked at once"
        ask = Ask(asyncio.get_running_loop().time(), command[0], container_id)
        self.asked.append(ask)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.takes_s > timeout_s:
                await asyncio.sleep(timeout_s)
                raise TookTooLong("ExecSync took too long")
            await asyncio.sleep(self.takes_s)
        finally:
            self.at_once -= 1
        good = self.answer(ask)
        if good is None:
            raise RuntimeFailure("connection refused")
        return ExecResult(stdout=b"", stderr=b"" if good else b"not well", exit_code=0 if good else 1)

    def times(self, kind: str) -> list[float]:
        return [each.at_s for each in self.asked if each.kind == kind]


class Heard:
    """An EventSink."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, str]] = []

    def event(self, pod: Pod, type_: str, reason: str, message: str, *, container: str = "") -> None:
        self.events.append((reason, message, container))

    def node_event(self, node: Node, type_: str, reason: str, message: str) -> None:
        raise AssertionError("no node is meant")


def probe(kind: str, **settings: Any) -> dict[str, Any]:
    return {"exec": {"command": [kind]}, **settings}


class ProbeWorld:
    """Use within a running loop: `async with`."""

    def __init__(self, answers: Answers, *, seed: int = 0, at_once: int = 64, **probes: dict[str, Any]) -> None:
        self.answers = answers
        self.heard = Heard()
        self.changes: Counter[str] = Counter()
        self.prober = Prober(answers, self.heard, wall=now_s, random=Random(seed), at_once=at_once)
        self.prober.listen(self._changed)
        named = {"startup": "startupProbe", "liveness": "livenessProbe", "readiness": "readinessProbe"}
        body = {"name": "main", "image": "i"} | {named[kind]: probe(kind, **each) for kind, each in probes.items()}
        meta = {"name": "a", "namespace": "default", "uid": UID}
        self.pod = msgspec.convert({"metadata": meta, "spec": {"containers": [body]}}, Pod)
        self._task: asyncio.Task[None] | None = None

    def _changed(self, uid: str) -> None:
        self.changes[uid] += 1

    @property
    def spec(self) -> ContainerSpec:
        return self.pod.spec.containers[0]

    async def __aenter__(self) -> ProbeWorld:
        self.look()
        self._task = asyncio.create_task(self.prober.run(), name="prober")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end()

    async def end(self) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def runs(self, container_id: str = "one", *, since_s: float = 0.0) -> Container:
        """A container that has run for so long; the prober is shown it."""
        key = PodKey(namespace="default", name="a", uid=UID)
        started = now_s() - since_s
        container = Container(
            id=container_id,
            sandbox_id="sandbox",
            pod=key,
            name="main",
            attempt=0,
            image="i",
            image_id="i",
            phase=ContainerPhase.RUNNING,
            created_at=started,
            started_at=started,
        )
        self.look(container)
        return container

    def met_anew(self) -> None:
        """As by an agent that has just started."""
        self.prober.forget(UID)

    def look(self, *containers: Container) -> None:
        key = PodKey(namespace="default", name="a", uid=UID)
        sandbox = Sandbox(id="sandbox", pod=key, attempt=0, ready=True, created_at=0.0, ips=("10.0.0.9",))
        self.prober.look(self.pod, observed([sandbox], containers), "10.0.0.9")

    def verdict(self, container: Container) -> Verdict:
        return self.prober.verdict(self.spec, container)

    def shown(self, container_id: str, *, ready: bool, started: bool = True) -> None:
        """The API's status of the container."""
        status = ContainerStatus(name="main", ready=ready, started=started, container_id=f"containerd://{container_id}")
        self.pod.status.container_statuses = [status]
