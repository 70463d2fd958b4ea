"""When containers are asked how they are, and what their pod's worker is told.

The rules are the kubelet's. Until its startup probe has succeeded a container is asked nothing else; one whose startup
or liveness probe failed is asked nothing more until another one is in its place; while a pod ends only readiness goes
on. What must hold:
- Results belong to a container id: a container that starts anew is not ready until it was asked.
- A new agent finds containers that were ready, as the API shows, and believes it until the first outcome says otherwise
  often enough: its own restart takes no pod out of its Services.
- Nobody waits for an answer: a probe that hangs delays neither other probes nor its pod. AT_ONCE are asked at a time;
  between two questions a probe is a timer.
- What could not be asked changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from random import Random

from apiserver.api.core.containers import Container as ContainerSpec
from apiserver.api.core.pod import ContainerStatus, Pod
from apiserver.api.core.probes import Probe
from nodeagent.clock import Wall
from nodeagent.health import WELL, Verdict
from nodeagent.house import WARNING, EventSink
from nodeagent.observed import Observed
from nodeagent.runtime.interface import Container

from .checks import Asked, Executor, Outcome, Result, Unasked, check
from .tally import PERIOD_S, TIMEOUT_S, Tally

log = logging.getLogger(__name__)

AT_ONCE = 64
STARTUP, LIVENESS, READINESS = "Startup", "Liveness", "Readiness"
_INITIAL = {STARTUP: None, LIVENESS: True, READINESS: False}


class _Probing:
    """One probe of one container."""

    __slots__ = ("kind", "of", "over", "probe", "tally", "task", "timer")

    def __init__(self, of: _Watched, kind: str, probe: Probe, verdict: bool | None) -> None:
        self.of = of
        self.kind = kind
        self.probe = probe
        self.tally = Tally(probe, verdict)
        self.over = False  # nothing is asked any more
        self.timer: asyncio.TimerHandle | None = None
        self.task: asyncio.Task[None] | None = None

    def end(self) -> None:
        self.over = True
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.task is not None:
            self.task.cancel()


class _Watched:
    """One container that runs and has probes. `since` is when its time began, by the loop's clock."""

    __slots__ = ("asked", "liveness", "pod", "readiness", "since", "startup")

    def __init__(self, pod: Pod, asked: Asked, since: float) -> None:
        self.pod = pod
        self.asked = asked
        self.since = since
        self.startup: _Probing | None = None
        self.liveness: _Probing | None = None
        self.readiness: _Probing | None = None

    @property
    def probings(self) -> Iterator[_Probing]:
        return (each for each in (self.startup, self.liveness, self.readiness) if each is not None)

    @property
    def started(self) -> bool:
        return self.startup is None or self.startup.tally.verdict is True

    def verdict(self) -> Verdict:
        failed = next((each for each in (self.startup, self.liveness) if each and each.tally.verdict is False), None)
        ready = self.readiness is None or self.readiness.tally.verdict is True
        if failed is None:
            return Verdict(started=self.started, ready=ready)
        seconds = failed.probe.termination_grace_period_seconds
        return Verdict(
            started=self.started,
            ready=ready,
            alive=False,
            message=f"Container {self.asked.spec.name} failed {failed.kind.lower()} probe",
            grace_period_s=None if seconds is None else float(seconds),
        )


class Prober:
    """A HealthSource. `run` asks until it is cancelled."""

    def __init__(
        self, executor: Executor, events: EventSink, *, wall: Wall, random: Random | None = None, at_once: int = AT_ONCE
    ) -> None:
        self._executor = executor
        self._events = events
        self._wall = wall
        self._random = random or Random()
        self._met: set[str] = set()  # uids of pods that were looked at
        self._room = asyncio.Semaphore(at_once)
        self._due: asyncio.Queue[_Probing] = asyncio.Queue()  # each at most once
        self._pods: dict[str, dict[str, _Watched]] = {}  # by uid and container id
        self._changed: list[Callable[[str], None]] = []

    # --- HealthSource -------------------------------------------------------------------------------------

    def verdict(self, spec: ContainerSpec, container: Container) -> Verdict:
        watched = self._pods.get(container.pod.uid, {}).get(container.id)
        if watched is not None:
            return watched.verdict()
        if spec.startup_probe is None and spec.readiness_probe is None:
            return WELL
        return Verdict(started=spec.startup_probe is None, ready=False)  # nobody has looked yet

    def listen(self, changed: Callable[[str], None]) -> None:
        self._changed.append(changed)

    def look(self, pod: Pod, seen: Observed, address: str) -> None:
        uid = pod.metadata.uid
        known, found, taken_over = self._pods.get(uid, {}), {}, uid not in self._met
        self._met.add(uid)
        for spec in (*pod.spec.init_containers, *pod.spec.containers):
            container = seen.newest(spec.name)
            if container is None or not container.running or not _has_probes(spec):
                continue
            asked = Asked(spec, container.id, address)
            watched = known.get(container.id)
            if watched is None:
                watched = self._watch(pod, asked, container, taken_over=taken_over)
            watched.pod, watched.asked = pod, asked
            found[container.id] = watched
        for container_id, watched in known.items():
            if container_id not in found:
                _end(watched.probings)
        if found:
            self._pods[uid] = found
        else:
            self._pods.pop(uid, None)

    def ending(self, pod_uid: str) -> None:
        for watched in self._pods.get(pod_uid, {}).values():
            _end(each for each in (watched.startup, watched.liveness) if each is not None)

    def forget(self, pod_uid: str) -> None:
        self._met.discard(pod_uid)
        for watched in self._pods.pop(pod_uid, {}).values():
            _end(watched.probings)

    # --- containers that are new --------------------------------------------------------------------------

    def _watch(self, pod: Pod, asked: Asked, container: Container, *, taken_over: bool) -> _Watched:
        """It starts to be asked. One that was here before this agent (it ran when the pod was met) keeps what the API
        says of it, and its first question comes somewhere within a period: not all at once."""
        loop, spec = asyncio.get_running_loop(), asked.spec
        age_s = max(0.0, self._wall() - container.started_at) if taken_over else 0.0
        watched = _Watched(pod, asked, loop.time() - age_s)
        shown = _status_of(pod, container)
        known = {
            STARTUP: True if shown is not None and shown.started else None,
            READINESS: shown is not None and shown.ready,
        }
        probes = ((STARTUP, spec.startup_probe), (LIVENESS, spec.liveness_probe), (READINESS, spec.readiness_probe))
        for kind, probe in probes:
            if probe is not None:
                setattr(watched, kind.lower(), _Probing(watched, kind, probe, known.get(kind) or _INITIAL[kind]))
        if watched.startup is not None and not watched.started:
            self._begin(watched.startup, spread=taken_over)
        else:
            self._begin_others(watched, spread=taken_over)
        return watched

    def _begin_others(self, watched: _Watched, *, spread: bool = False) -> None:
        for probing in (watched.liveness, watched.readiness):
            if probing is not None:
                self._begin(probing, spread=spread)

    def _begin(self, probing: _Probing, *, spread: bool) -> None:
        first = probing.of.since + probing.probe.initial_delay_seconds
        delay_s = max(0.0, first - asyncio.get_running_loop().time())
        self._arm(probing, delay_s + (self._random.random() * _period_s(probing.probe) if spread else 0.0))

    # --- asking -------------------------------------------------------------------------------------------

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    probing = await self._due.get()
                    await self._room.acquire()
                    if probing.over:  # meanwhile
                        self._room.release()
                        continue
                    probing.task = group.create_task(self._ask(probing), name=f"{probing.kind} probe")
                    probing.task.add_done_callback(lambda _: self._room.release())
        finally:
            for uid in list(self._pods):
                self.forget(uid)

    def _arm(self, probing: _Probing, delay_s: float) -> None:
        if not probing.over:
            probing.timer = asyncio.get_running_loop().call_later(delay_s, self._is_due, probing)

    def _is_due(self, probing: _Probing) -> None:
        probing.timer = None
        self._due.put_nowait(probing)

    async def _ask(self, probing: _Probing) -> None:
        loop, probe = asyncio.get_running_loop(), probing.probe
        began = loop.time()
        try:
            timeout_s = float(probe.timeout_seconds or TIMEOUT_S)
            outcome = await check(probe, probing.of.asked, self._executor, within_s=timeout_s)
            self._count(probing, outcome)
        except Unasked as error:
            self._tell(probing, "Unhealthy", f"errored and resulted in unknown state: {error}")
        except Exception:
            log.exception("a probe cannot be made", extra={"container": probing.of.asked.spec.name})
        probing.task = None
        self._arm(probing, max(0.0, _period_s(probe) - (loop.time() - began)))

    def _count(self, probing: _Probing, outcome: Outcome) -> None:
        if outcome.result is Result.FAILURE:
            self._tell(probing, "Unhealthy", f"failed: {outcome.output}")
        elif outcome.result is Result.WARNING:
            self._tell(probing, "ProbeWarning", f"warning: {outcome.output}")
        if not probing.tally.count(outcome.result is not Result.FAILURE):
            return
        watched = probing.of
        if probing.kind == STARTUP or probing.tally.verdict is False:
            probing.over = probing.kind != READINESS  # it has started, or is to be replaced
        if probing.kind == STARTUP and watched.started:
            self._begin_others(watched)
        for each in self._changed:
            each(watched.pod.metadata.uid)

    def _tell(self, probing: _Probing, reason: str, words: str) -> None:
        watched = probing.of
        name = watched.asked.spec.name
        self._events.event(watched.pod, WARNING, reason, f"{probing.kind} probe {words}", container=name)


def _end(probings: Iterator[_Probing]) -> None:
    for each in probings:
        each.end()


def _has_probes(spec: ContainerSpec) -> bool:
    return bool(spec.startup_probe or spec.liveness_probe or spec.readiness_probe)


def _period_s(probe: Probe) -> float:
    return float(probe.period_seconds or PERIOD_S)


def _status_of(pod: Pod, container: Container) -> ContainerStatus | None:
    """What the API says of this very container."""
    for status in (*pod.status.init_container_statuses, *pod.status.container_statuses):
        if status.container_id.partition("://")[2] == container.id:
            return status
    return None
