"""What people are told of a node and its pods."""

from __future__ import annotations

import asyncio
from unittest.mock import patch

from agent_world import NODES
from life_world import NODE, LifeWorld, run_life

from nodeagent.runtime.fake import Latency
from nodeagent.runtime.faults import Fault
from nodeagent.runtime.interface import RuntimeFailure

SIDECAR = {"name": "beside", "image": "registry.test/beside:1", "restartPolicy": "Always"}


def test_a_pod_tells_its_life_like_a_kubelets() -> None:
    async def story(world: LifeWorld) -> None:
        await world.pod("a", initContainers=[SIDECAR])
        await world.running("a")
        await world.until(lambda: len(world.events("a")) == 8)
        assert [(each.reason, each.involved_object.field_path) for each in world.events("a")] == [
            ("Pulling", "spec.initContainers{beside}"),
            ("Pulled", "spec.initContainers{beside}"),
            ("Created", "spec.initContainers{beside}"),
            ("Started", "spec.initContainers{beside}"),
            ("Pulling", "spec.containers{main}"),
            ("Pulled", "spec.containers{main}"),
            ("Created", "spec.containers{main}"),
            ("Started", "spec.containers{main}"),
        ]
        event = world.events("a")[0]
        assert (event.source.component, event.source.host, event.reporting_instance) == ("kubelet", NODE, NODE)
        assert event.involved_object.uid == world.get("a").metadata.uid
        await world.delete("a")
        await world.until(lambda: not world.there("a"))
        await world.until(lambda: len(world.events("a")) == 10)
        assert [each[2] for each in world.told("a")[8:]] == ["Stopping container beside", "Stopping container main"]

    run_life(story, latency=Latency(start_s=1.0))


def test_a_container_that_ends_again_and_again_is_told_of_in_one_event() -> None:
    async def story(world: LifeWorld) -> None:
        world.runtime.faults.add(lambda pod, labels: pod.name == "a", Fault.exits())
        await world.pod("a")
        await world.until(lambda: world.waiting("a") == "CrashLoopBackOff")
        await asyncio.sleep(90)
        found = [each for each in world.events("a") if each.reason == "BackOff"]
        words = f"Back-off restarting failed container main in pod a_default({world.get('a').metadata.uid})"
        assert [each.message for each in found] == [words]
        assert found[0].count > 1

    run_life(story)


def test_nobody_waits_for_events() -> None:
    async def story(world: LifeWorld) -> None:
        world.api.faults.of = (NODES,)
        world.api.faults.latency_s = (100.0, 100.0)
        await world.pod("a")
        await world.until(lambda: world.containers("a"), within_s=5)
        assert not world.events("a")

    run_life(story)


def test_the_node_tells_when_it_starts_is_ready_and_was_rebooted() -> None:
    async def story(world: LifeWorld) -> None:
        await world.until(lambda: len(world.events(NODE)) == 2)
        assert world.told(NODE) == [
            ("Normal", "Starting", "Starting kubelet."),
            ("Normal", "NodeReady", f"Node {NODE} status is now: NodeReady"),
        ]
        world.runtime.go_down()
        await world.until(lambda: "NodeNotReady" in world.reasons(NODE))
        world.runtime.come_back()
        await world.node.stop()
        await asyncio.sleep(5)
        await world.node.start(boot_id="another")
        await world.until(lambda: "Rebooted" in world.reasons(NODE))
        rebooted = next(each for each in world.told(NODE) if each[1] == "Rebooted")
        assert rebooted == ("Warning", "Rebooted", f"Node {NODE} has been rebooted, boot id: another")
        await world.node.stop()
        await world.node.start(boot_id="another")
        await asyncio.sleep(5)
        assert world.reasons(NODE).count("Rebooted") == 1
        assert next(each for each in world.events(NODE) if each.reason == "Rebooted").count == 1

    run_life(story)


def test_what_else_becomes_of_pods_is_told() -> None:
    async def story(world: LifeWorld) -> None:
        await world.pod("late", activeDeadlineSeconds=20)
        await world.running("late")
        world.runtime.kill_sandbox(world.get("late").metadata.uid)
        await world.until(lambda: "SandboxChanged" in world.reasons("late"))
        await world.until(lambda: "DeadlineExceeded" in world.reasons("late"))
        await world.pod("stuck")
        await world.running("stuck")

        async def refuses(container_id: str, *, grace_period_s: float, signal: str) -> None:
            raise RuntimeFailure("the shim does not answer")

        with patch.object(world.runtime, "stop_container", refuses):
            await world.delete("stuck")
            words = "error killing pod: the shim does not answer"
            await world.until(lambda: ("Warning", "FailedKillPod", words) in world.told("stuck"))
        await world.until(lambda: not world.there("stuck"))

    run_life(story)


def test_a_pod_that_is_refused_is_told_why() -> None:
    async def story(world: LifeWorld) -> None:
        container = {"name": "main", "image": "i", "resources": {"requests": {"cpu": "100"}}}
        await world.pod("large", containers=[container])
        await world.until(lambda: world.reasons("large") == ["OutOfcpu"])
        assert world.told("large")[0][2] == world.status("large").message

    run_life(story)
