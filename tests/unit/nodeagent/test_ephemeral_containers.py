"""Containers that are added to a pod that runs, to look into it (`kubectl debug`)."""

from __future__ import annotations

import asyncio
from typing import Any

from life_world import LifeWorld, run_life

from apiserver.api.core.pod import ContainerStatus, Pod
from nodeagent.runtime.fake import Latency
from nodeagent.runtime.faults import Fault


async def debug(world: LifeWorld, pod: str, name: str = "look", **more: Any) -> None:
    body = {"name": name, "image": f"registry.test/{name}:1"} | more
    patch = {"spec": {"ephemeralContainers": [body]}}
    await world.client.patch(Pod, pod, patch, namespace="default", subresource="ephemeralcontainers")


def shown(world: LifeWorld, pod: str) -> ContainerStatus:
    found = world.status(pod).ephemeral_container_statuses
    return found[0] if found else ContainerStatus(name="none")


def test_it_starts_in_a_pod_that_runs_and_changes_nothing_else() -> None:
    async def story(world: LifeWorld) -> None:
        await world.pod("a")
        await world.until(lambda: world.ready("a"))
        before = world.status("a").container_statuses
        await debug(world, "a")
        await world.until(lambda: shown(world, "a").state.running)
        assert [each.name for each in world.containers("a")] == ["main", "look"]
        assert world.ready("a")
        assert world.status("a").container_statuses == before
        assert not shown(world, "a").ready
        await world.until(lambda: len(world.events("a")) == 8)
        assert {each.involved_object.field_path for each in world.events("a")[4:]} == {"spec.ephemeralContainers{look}"}

    run_life(story, latency=Latency(start_s=1.0))


def test_it_never_starts_again() -> None:
    async def story(world: LifeWorld) -> None:
        world.runtime.faults.add(lambda pod, labels: True, Fault.exits(container="look", after_s=5, code=3))
        await world.pod("a")
        await world.running("a")
        await debug(world, "a")
        await world.until(lambda: shown(world, "a").state.terminated)
        await asyncio.sleep(300)
        ended = shown(world, "a").state.terminated
        assert ended is not None
        assert ended.exit_code == 3
        assert shown(world, "a").restart_count == 0
        assert world.ready("a")
        world.runtime.kill_sandbox(world.get("a").metadata.uid)
        await world.until(lambda: world.container("a").restart_count == 1 and world.ready("a"))
        await asyncio.sleep(60)
        assert [each.name for each in world.containers("a")] == ["main"]
        await world.node.stop()
        world.node.lose_data()
        await world.node.start()
        await world.until(lambda: world.container("a").restart_count == 2 and world.ready("a"))
        await asyncio.sleep(60)
        assert [each.name for each in world.containers("a")] == ["main"]
        assert shown(world, "a").state.terminated == ended

    run_life(story)


def test_it_keeps_no_pod_from_ending() -> None:
    async def story(world: LifeWorld) -> None:
        await world.pod("a", restartPolicy="Never")
        await world.running("a")
        await debug(world, "a")
        await world.until(lambda: shown(world, "a").state.running)
        (main, _) = world.containers("a")
        world.runtime.kill_container(main.id, code=0)
        await world.until(lambda: world.phase("a") == "Succeeded")
        await world.until(lambda: not world.containers("a"))

    run_life(story)


def test_an_image_that_is_not_there_is_tried_again_and_holds_nobody_up() -> None:
    async def story(world: LifeWorld) -> None:
        await world.pod("a")
        await world.running("a")
        rule = world.runtime.faults.add(lambda pod, labels: True, Fault.bad_image())
        await debug(world, "a")
        await world.until(lambda: world.status("a").ephemeral_container_statuses)
        await asyncio.sleep(5)
        waiting = shown(world, "a").state.waiting
        assert waiting is not None
        assert waiting.reason == "ImagePullBackOff"
        assert world.ready("a")
        world.runtime.faults.remove(rule)
        await world.until(lambda: shown(world, "a").state.running)

    run_life(story)


def test_the_processes_of_another_container() -> None:
    async def story(world: LifeWorld) -> None:
        made = []
        create = world.runtime.create_container

        async def noted(sandbox_id: str, config: Any) -> str:
            made.append(config)
            return await create(sandbox_id, config)

        world.runtime.create_container = noted  # type: ignore[method-assign]  # in place of its own
        await world.pod("a", containers=[{"name": "main", "image": "registry.test/main:1"}])
        await world.running("a")
        await debug(world, "a", targetContainerName="main")
        await world.until(lambda: shown(world, "a").state.running)
        assert made[-1].namespaces.target == world.containers("a")[0].id
        assert made[0].namespaces.target == ""

    run_life(story)


def test_a_target_that_does_not_run_is_waited_for() -> None:
    async def story(world: LifeWorld) -> None:
        rule = world.runtime.faults.add(lambda pod, labels: True, Fault.exits(container="main"))
        await world.pod("a")
        await world.until(lambda: world.waiting("a") == "CrashLoopBackOff")
        await debug(world, "a", targetContainerName="main")
        words = "unable to find target container main"
        await world.until(lambda: shown(world, "a").state.waiting)
        await asyncio.sleep(1)
        waiting = shown(world, "a").state.waiting
        assert waiting is not None
        assert (waiting.reason, waiting.message) == ("CreateContainerConfigError", words)
        world.runtime.faults.remove(rule)
        await world.until(lambda: shown(world, "a").state.running)

    run_life(story)
