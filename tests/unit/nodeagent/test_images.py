"""Images that cannot be had, containers that cannot be made: Kubernetes' reasons, and patience."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from agent_world import AgentWorld, run_story

from apiserver.api.core.pod import Pod
from apiserver.client import Patch
from nodeagent.runtime.faults import Fault
from nodeagent.runtime.interface import RuntimeFailure


def test_a_bad_image_is_named_and_tried_again_with_patience() -> None:
    tries: list[float] = []

    async def story(world: AgentWorld) -> None:
        pull = world.runtime.pull_image

        async def counted(name: str, **more: object) -> str:
            tries.append(round(asyncio.get_running_loop().time()))
            return await pull(name, **more)  # type: ignore[arg-type]

        world.runtime.pull_image = counted  # type: ignore[method-assign]
        rule = world.nodes.fail({"app": "a"}, Fault.bad_image("no such host"))
        await world.pod("a")
        await world.until(lambda: world.waiting("a") == "ErrImagePull")
        await world.until(lambda: world.waiting("a") == "ImagePullBackOff")
        state = world.container("a").state.waiting
        assert state is not None
        assert state.message.startswith('Back-off pulling image "registry.test/main:1": ErrImagePull: failed to pull')
        assert state.message.endswith("no such host")
        assert world.phase("a") == "Pending"
        await asyncio.sleep(1000)
        world.nodes.faults.remove(rule)
        await world.running("a")

    run_story(story)
    waits = [later - earlier for earlier, later in pairwise(tries)]
    assert waits[:6] == [10, 20, 40, 80, 160, 300]


def test_an_image_that_may_not_be_pulled_must_be_there() -> None:
    async def story(world: AgentWorld) -> None:
        never = [{"name": "main", "image": "registry.test/other:1", "imagePullPolicy": "Never"}]
        await world.pod("a", containers=never)
        await world.until(lambda: world.waiting("a") == "ErrImageNeverPull")
        state = world.container("a").state.waiting
        assert state is not None
        words = 'Container image "registry.test/other:1" is not present with pull policy of Never'
        assert state.message == words
        await world.pod("b", containers=[{"name": "main", "image": "registry.test/other:1"}])
        await world.running("b")
        await world.running("a")

    run_story(story)


def test_what_fails_with_other_words_each_time_is_still_left_alone() -> None:
    """Its status changes with the words, and a change of the pod wakes the worker."""
    tries: list[float] = []

    async def story(world: AgentWorld) -> None:
        async def refused(*_: object) -> str:
            tries.append(asyncio.get_running_loop().time())
            raise RuntimeFailure(f"cannot make container number {len(tries)}")

        world.runtime.create_container = refused  # type: ignore[method-assign,assignment]
        await world.pod("a")
        await world.until(lambda: world.waiting("a") == "CreateContainerError")
        for number in range(20):
            label = {"metadata": {"labels": {"news": str(number)}}}
            await world.client.patch(Pod, "a", label, namespace="default")
            await asyncio.sleep(1)

    run_story(story)
    assert [round(later - earlier) for earlier, later in pairwise(tries)] == [10, 10]


def test_another_image_is_tried_at_once() -> None:
    async def story(world: AgentWorld) -> None:
        await world.pod("a", containers=[{"name": "main", "image": "Bad"}])
        await world.until(lambda: world.waiting("a") == "InvalidImageName")
        state = world.container("a").state.waiting
        assert state is not None
        assert state.message.endswith("invalid reference format: repository name (library/Bad) must be lowercase")
        spec = {"containers": [{"name": "main", "image": "good"}]}
        await world.client.patch(Pod, "a", {"spec": spec}, Patch.STRATEGIC, namespace="default")
        assert await world.until(lambda: world.phase("a") == "Running") < 2

    run_story(story)


def test_built_in_images_are_never_pulled() -> None:
    async def story(world: AgentWorld) -> None:
        await world.pod("a", containers=[{"name": "main", "image": "kmini.local/other:1", "imagePullPolicy": "Always"}])
        await world.until(lambda: world.waiting("a") == "ErrImageNeverPull")
        await world.pod("b", containers=[{"name": "main", "image": "kmini.local/sample:latest"}])
        await world.running("b")

    run_story(story)


def test_a_container_that_cannot_be_made() -> None:
    async def story(world: AgentWorld) -> None:
        rule = world.nodes.fail({"app": "a"}, Fault(what="create", message="no space left on device"))
        await world.pod("a")
        await world.until(lambda: world.waiting("a") == "CreateContainerError")
        state = world.container("a").state.waiting
        assert state is not None
        assert state.message == "no space left on device"
        world.nodes.faults.remove(rule)
        assert await world.until(lambda: world.phase("a") == "Running") < 20

    run_story(story)


def test_a_container_that_cannot_be_started_crash_loops() -> None:
    async def story(world: AgentWorld) -> None:
        rule = world.nodes.fail({"app": "a"}, Fault(what="start", message='exec: "nope": not found'))
        await world.pod("a")
        await world.until(lambda: world.waiting("a") == "RunContainerError")
        await world.until(lambda: world.waiting("a") == "CrashLoopBackOff")
        ended = world.container("a").last_state.terminated
        assert ended is not None
        assert (ended.reason, ended.exit_code, ended.message) == ("StartError", 128, 'exec: "nope": not found')
        world.nodes.faults.remove(rule)
        await world.running("a")

    run_story(story)


def test_a_sandbox_that_cannot_be_made() -> None:
    async def story(world: AgentWorld) -> None:
        rule = world.nodes.fail({"app": "a"}, Fault(what="sandbox", message="no network"))
        await world.pod("a")
        await asyncio.sleep(60)
        assert (world.phase("a"), world.waiting("a")) == ("Pending", "ContainerCreating")
        world.nodes.faults.remove(rule)
        assert await world.until(lambda: world.phase("a") == "Running") < 20

    run_story(story)
