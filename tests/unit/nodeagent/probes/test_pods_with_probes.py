"""What becomes of a pod whose probes fail or succeed: its status, its containers, what people are told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from life_world import LifeWorld, run_life
from probe_world import Answers, probe
from virtual_time import now_s

from apiserver.api.core.pod import Pod
from nodeagent.house import Parts
from nodeagent.observed import Observed
from nodeagent.probes.prober import Prober
from nodeagent.runtime.fake import FakeRuntime, Latency
from nodeagent.runtime.faults import Fault


def with_probes(story: Callable[[LifeWorld, Answers], Awaitable[None]], *, latency: Latency | None = None) -> None:
    answers = Answers()

    def change(parts: Parts, runtime: FakeRuntime) -> Parts:
        prober = Prober(answers, parts.events, wall=now_s)
        return msgspec.structs.replace(parts, health=prober, works=(*parts.works, prober.run))

    run_life(lambda world: story(world, answers), change=change, latency=latency)


def container(name: str = "main", **more: Any) -> dict[str, Any]:
    return {"name": name, "image": f"registry.test/{name}:1", **more}


def test_a_pod_is_ready_when_its_containers_say_so() -> None:
    async def story(world: LifeWorld, answers: Answers) -> None:
        answers.answer = lambda ask: False
        await world.pod("a", containers=[container(readinessProbe=probe("readiness", periodSeconds=1))])
        await world.running("a")
        await asyncio.sleep(30)
        assert not world.ready("a")
        assert world.container("a").started
        assert world.container("a").restart_count == 0
        answers.answer = lambda ask: True
        await world.until(lambda: world.ready("a"), within_s=2)

    with_probes(story)


def test_a_container_that_is_not_alive_starts_anew() -> None:
    async def story(world: LifeWorld, answers: Answers) -> None:
        liveness = probe("liveness", periodSeconds=1, failureThreshold=2)
        await world.pod("a", containers=[container(livenessProbe=liveness)])
        await world.running("a")
        (before,) = world.containers("a")
        answers.answer = lambda ask: ask.container_id != before.id
        await world.until(lambda: world.container("a").restart_count == 1 and world.ready("a"))
        words = "Container main failed liveness probe, will be restarted"
        await world.until(lambda: ("Normal", "Killing", words) in world.told("a"))
        assert ("Warning", "Unhealthy", "Liveness probe failed: not well") in world.told("a")
        await asyncio.sleep(60)
        assert world.container("a").restart_count == 1

    with_probes(story)


def test_one_that_is_never_to_start_again_is_killed_and_the_pod_has_failed() -> None:
    async def story(world: LifeWorld, answers: Answers) -> None:
        answers.answer = lambda ask: False
        world.runtime.faults.add(lambda pod, labels: True, Fault.deaf())
        liveness = probe("liveness", periodSeconds=1, failureThreshold=1, terminationGracePeriodSeconds=5)
        await world.pod("a", restartPolicy="Never", containers=[container(livenessProbe=liveness)])
        await world.running("a")
        took = await world.until(lambda: world.phase("a") == "Failed")
        assert took < 8, "the probe's own grace period, not the pod's"
        assert ("Normal", "Killing", "Container main failed liveness probe") in world.told("a")

    with_probes(story)


def test_a_startup_probe_holds_back_whoever_comes_after_a_sidecar() -> None:
    async def story(world: LifeWorld, answers: Answers) -> None:
        answers.answer = lambda ask: False
        startup = probe("startup", periodSeconds=1, failureThreshold=100)
        await world.pod("a", initContainers=[container("beside", restartPolicy="Always", startupProbe=startup)])
        await world.until(lambda: world.container("a", "beside").state.running)
        await asyncio.sleep(20)
        assert world.waiting("a") == "PodInitializing"
        answers.answer = lambda ask: True
        await world.until(lambda: world.phase("a") == "Running")

    with_probes(story)


def test_a_new_agent_takes_nobody_out_of_service() -> None:
    async def story(world: LifeWorld, answers: Answers) -> None:
        readiness = probe("readiness", periodSeconds=30)
        await world.pod("a", containers=[container(readinessProbe=readiness, startupProbe=probe("startup"))])
        await world.until(lambda: world.ready("a"))
        await asyncio.sleep(60)
        await world.node.stop()
        await asyncio.sleep(5)
        answers.asked.clear()
        seen: list[bool] = []
        world.api.on_write.append(lambda verb, old, new: seen.append(world.ready("a")))
        await world.node.start()
        await asyncio.sleep(100)
        assert answers.times("readiness")
        assert seen
        assert all(seen)
        assert not answers.times("startup")

    with_probes(story)


def test_readiness_is_asked_and_shown_while_the_pod_ends() -> None:
    async def story(world: LifeWorld, answers: Answers) -> None:
        world.runtime.faults.add(lambda pod, labels: True, Fault.deaf())
        readiness, liveness = probe("readiness", periodSeconds=1), probe("liveness")
        asked_both = container(readinessProbe=readiness, livenessProbe=liveness)
        await world.pod("a", containers=[asked_both], terminationGracePeriodSeconds=60)
        await world.until(lambda: world.ready("a"))
        await world.delete("a")
        answers.answer = lambda ask: False
        await asyncio.sleep(1)
        assert world.ready("a")
        asked = len(answers.times("liveness"))
        await world.until(lambda: not world.ready("a"), within_s=10)
        await asyncio.sleep(30)
        assert len(answers.times("liveness")) == asked
        assert world.container("a").state.running
        await world.until(lambda: not world.there("a"))

    with_probes(story)


def test_who_is_ready_is_shown_while_another_image_is_on_its_way() -> None:
    async def story(world: LifeWorld, answers: Answers) -> None:
        readiness = probe("readiness", initialDelaySeconds=5, periodSeconds=1)
        await world.pod("a", containers=[container(readinessProbe=readiness), container("late")])
        await world.until(lambda: world.container("a").state.running)
        assert not world.container("a").ready
        await world.until(lambda: world.container("a").ready, within_s=8)
        assert world.waiting("a", "late") == "ContainerCreating"
        answers.answer = lambda ask: False
        await world.until(lambda: not world.container("a").ready, within_s=5)
        assert world.waiting("a", "late") == "ContainerCreating"
        await world.running("a")

    with_probes(story, latency=Latency(pull_s=100))


def test_a_pod_is_asked_at_its_own_address_or_at_the_nodes() -> None:
    addresses: dict[str, str] = {}

    class Noted(FakeRuntime):
        def look(self, pod: Pod, seen: Observed, address: str) -> None:
            if seen.alive:
                addresses[pod.metadata.name] = address

    def change(parts: Parts, runtime: FakeRuntime) -> Parts:
        return msgspec.structs.replace(parts, health=Noted())

    async def story(world: LifeWorld) -> None:
        await world.pod("own")
        await world.pod("hosts", hostNetwork=True)
        await world.running("own")
        await world.running("hosts")
        assert addresses == {"own": world.status("own").pod_ip, "hosts": world.status("hosts").host_ip}
        assert addresses["own"] != addresses["hosts"]

    run_life(story, change=change)
