"""The API away, the agent restarted, the runtime down, the power lost: pods run on, and nothing is done twice."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from agent_world import NODES, AgentWorld, run_story
from fake_api import Faults
from virtual_time import now_s, run

from apiserver.api.core.node import Node
from apiserver.api.core.pod import Pod, PodCondition
from apiserver.api.meta import ObjectMeta
from apiserver.client import Client
from nodeagent import checkpoint
from nodeagent.checkpoint import Checkpoint
from nodeagent.machine import simulated
from nodeagent.plain import plain_parts
from nodeagent.running import NodeAgent
from nodeagent.runtime.fake import Latency
from nodeagent.runtime.faults import Fault


def cut_off(world: AgentWorld) -> None:
    world.api.faults.of = (NODES,)
    world.api.faults.refused = world.api.faults.watch_break = 1.0
    world.api.break_watches()


def test_containers_outlive_the_agent() -> None:
    async def story(world: AgentWorld) -> None:
        await world.pod("a")
        await world.until(lambda: world.ready("a"))
        before = world.containers("a")
        await world.nodes.stop_node("node-1")
        assert world.containers("a") == before
        written = world.nodes.writer.written
        await world.nodes.start_node("node-1")
        await asyncio.sleep(30)
        assert world.containers("a") == before
        assert world.container("a").restart_count == 0
        assert world.nodes.writer.written == written, "nothing changed, so nothing is to be written"

    run_story(story)


def test_an_agent_that_ends_in_the_middle_of_a_start_does_not_start_twice() -> None:
    async def story(world: AgentWorld) -> None:
        for number in range(12):
            await world.pod(f"a{number}")
            await asyncio.sleep(0.3 * number)
            await world.nodes.stop_node("node-1")
            await world.nodes.start_node("node-1")
        for number in range(12):
            await world.running(f"a{number}")
            assert len(world.containers(f"a{number}")) == 1
        assert len(await world.runtime.list_sandboxes()) == 12

    run_story(story, latency=Latency(sandbox_s=1, pull_s=1, start_s=1))


def test_pods_run_and_restart_while_the_api_is_away() -> None:
    async def story(world: AgentWorld) -> None:
        await world.pod("a")
        await world.running("a")
        cut_off(world)
        world.runtime.kill_container(world.containers("a")[0].id)
        await world.until(lambda: world.containers("a"), within_s=5)
        await asyncio.sleep(600)
        assert world.container("a").restart_count == 0, "nobody could write it"
        world.api.heal()
        await world.until(lambda: world.container("a").restart_count == 1, within_s=60)
        assert world.ready("a")

    run_story(story)


def test_after_the_api_was_away_pods_are_told_apart_by_uid() -> None:
    async def story(world: AgentWorld) -> None:
        old = await world.pod("a")
        await world.pod("b")
        await world.running("a")
        await world.running("b")
        cut_off(world)
        await world.delete("a", grace_s=0)
        new = await world.pod("a")
        await world.delete("b", grace_s=0)
        await asyncio.sleep(300)
        assert {each.pod.uid for each in world.containers("a")} == {old.metadata.uid}
        world.api.heal()
        await world.running("a")
        await world.until(lambda: old.metadata.uid not in [each.pod.uid for each in world.runtime.running])
        assert [each.pod.uid for each in world.containers("a")] == [new.metadata.uid]
        assert not world.containers("b")

    run_story(story)


def test_an_agent_that_starts_without_the_api_leaves_pods_alone() -> None:
    """What is not shown may still be there: only an answer says that a pod is gone."""

    async def story(world: AgentWorld) -> None:
        await world.pod("a")
        await world.pod("gone")
        await world.running("a")
        await world.running("gone")
        before = world.containers("a")
        await world.nodes.stop_node("node-1")
        await world.delete("gone", grace_s=0)
        cut_off(world)
        machine = simulated("node-1", "192.0.2.1", capacity={"cpu": "4", "memory": "8Gi", "pods": "10"}, labels={})
        async with world.api.client(NODES) as client:
            fresh = NodeAgent(client, "node-1", machine, world.runtime, plain_parts(world.runtime), wall=now_s)
            running = asyncio.create_task(fresh.run())
            await asyncio.sleep(300)
            assert world.containers("a") == before
            assert len(world.containers("gone")) == 1
            world.api.heal()
            await world.until(lambda: not world.containers("gone"), within_s=90)
            await asyncio.sleep(60)
            assert world.containers("a") == before
            assert world.ready("a")
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    run_story(story)


def start_remembering(world: AgentWorld, client: Client, folder: Path) -> NodeAgent:
    """An agent in place of the world's own."""
    machine = simulated("node-1", "192.0.2.1", capacity={"cpu": "4", "memory": "8Gi", "pods": "10"}, labels={})
    parts = plain_parts(world.runtime)
    return NodeAgent(
        *(client, "node-1", machine, world.runtime, parts), checkpoint=Checkpoint(folder / "checkpoint"), wall=now_s
    )


@asynccontextmanager
async def running(agent: NodeAgent) -> AsyncIterator[None]:
    task = asyncio.create_task(agent.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_an_agent_that_starts_without_the_api_goes_on_with_the_pods_it_remembers(tmp_path: Path) -> None:
    """Crashed containers come back, also after the power was lost; what went meanwhile goes when the API says so."""

    async def story(world: AgentWorld) -> None:
        await world.nodes.stop_node("node-1")
        old = await world.pod("a")
        await world.pod("gone")
        async with world.api.client(NODES) as client, running(start_remembering(world, client, tmp_path)):
            await world.running("a")
            await world.running("gone")
        await world.delete("gone", grace_s=0)
        world.runtime.lose_power()
        cut_off(world)
        async with world.api.client(NODES) as client, running(start_remembering(world, client, tmp_path)):
            await world.until(lambda: world.containers("a"), within_s=15)
            world.runtime.kill_container(world.containers("a")[0].id)
            await world.until(lambda: world.containers("a"), within_s=30)
            assert world.containers("gone"), "only an answer says that a pod is gone"
            world.api.heal()
            await world.until(lambda: not world.containers("gone"), within_s=90)
            await world.until(lambda: world.ready("a"))
            assert {each.pod.uid for each in world.containers("a")} == {old.metadata.uid}
        assert [path.stem for path in (tmp_path / "checkpoint").iterdir()] == [old.metadata.uid]

    run_story(story)


def test_a_pod_that_went_while_no_agent_ran_is_not_remembered(tmp_path: Path) -> None:
    async def story(world: AgentWorld) -> None:
        await world.nodes.stop_node("node-1")
        await world.pod("a")
        async with world.api.client(NODES) as client, running(start_remembering(world, client, tmp_path)):
            await world.running("a")
        for sandbox in await world.runtime.list_sandboxes():
            await world.runtime.remove_sandbox(sandbox.id)
        await world.delete("a", grace_s=0)
        async with world.api.client(NODES) as client, running(start_remembering(world, client, tmp_path)):
            await asyncio.sleep(60)
        cut_off(world)
        async with world.api.client(NODES) as client, running(start_remembering(world, client, tmp_path)):
            await asyncio.sleep(60)
            assert not await world.runtime.list_sandboxes()

    run_story(story)


def test_a_pod_that_has_ended_is_remembered_as_such(tmp_path: Path) -> None:
    async def story(world: AgentWorld) -> None:
        await world.nodes.stop_node("node-1")
        await world.pod("a", restartPolicy="Never")
        async with world.api.client(NODES) as client, running(start_remembering(world, client, tmp_path)):
            await world.running("a")
            world.runtime.kill_container(world.containers("a")[0].id, code=0)
            await world.until(lambda: world.phase("a") == "Succeeded")
            await asyncio.sleep(5)
        for sandbox in await world.runtime.list_sandboxes():
            await world.runtime.remove_sandbox(sandbox.id)
        cut_off(world)
        async with world.api.client(NODES) as client, running(start_remembering(world, client, tmp_path)):
            await asyncio.sleep(120)
            assert not world.containers("a")

    run_story(story)


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b'{"format": 2, "pod": {}}',
        b'{"format": 1, "pod": {"metadata": {"uid": "another"}}}',
        b"[]" * 3_000_000,
    ],
)
def test_a_damaged_memory_is_as_none(tmp_path: Path, damage: bytes) -> None:
    good = Pod(metadata=ObjectMeta(name="a", namespace="default", uid="good"))

    async def write() -> None:
        checkpoint = Checkpoint(tmp_path)
        checkpoint.note(good)
        writing = asyncio.create_task(checkpoint.run())
        await asyncio.sleep(0)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)

    asyncio.run(write())
    (tmp_path / "bad.json").write_bytes(damage)
    assert [pod.metadata.uid for pod in Checkpoint(tmp_path).load()] == ["good"]
    assert [path.name for path in tmp_path.iterdir()] == ["good.json"]
    assert (tmp_path / "good.json").stat().st_mode & 0o777 == 0o600


def test_what_a_full_disk_does_not_take_is_noted_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a pod that is to go would be started again by an agent that comes without the API."""

    def full(path: Path, _: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    async def story() -> None:
        memory = Checkpoint(tmp_path)
        writing = asyncio.create_task(memory.run())
        with monkeypatch.context() as disk:
            disk.setattr(checkpoint, "_replace", full)
            for uid in ("a", "b", "c"):
                memory.note(Pod(metadata=ObjectMeta(name=uid, namespace="default", uid=uid)))
            await asyncio.sleep(5)
            memory.forget("b")
            memory.note(Pod(metadata=ObjectMeta(name="newer", namespace="default", uid="c")))
            await asyncio.sleep(5)
        await asyncio.sleep(2 * checkpoint.AGAIN_S)
        assert [each.metadata.name for each in Checkpoint(tmp_path).load()] == ["a", "newer"]
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)

    run(story())


def test_a_restarted_runtime_finds_its_containers() -> None:
    async def story(world: AgentWorld) -> None:
        await world.pod("a")
        await world.running("a")
        before = world.containers("a")
        world.runtime.go_down("connection refused")
        await world.pod("b")
        await asyncio.sleep(60)
        node = world.api.get(Node, "node-1")
        assert node is not None
        ready = next(each for each in node.status.conditions if each.type == "Ready")
        assert (ready.status, ready.reason) == ("False", "KubeletNotReady")
        words = "container runtime is down: the runtime does not answer: connection refused"
        assert ready.message == words
        assert world.phase("b") == "Pending"
        world.runtime.come_back()
        await world.until(lambda: world.phase("b") == "Running", within_s=20)
        assert world.containers("a") == before
        await asyncio.sleep(15)
        node = world.api.get(Node, "node-1")
        assert node is not None
        assert next(each for each in node.status.conditions if each.type == "Ready").status == "True"

    run_story(story)


def test_what_happens_while_the_runtime_cannot_be_heard_is_noticed_afterwards() -> None:
    async def story(world: AgentWorld) -> None:
        await world.pod("a")
        await world.running("a")
        world.runtime.go_down()
        await asyncio.sleep(5)
        world.runtime.kill_container(world.containers("a")[0].id)
        await asyncio.sleep(5)
        world.runtime.come_back()
        await world.until(lambda: world.container("a").restart_count == 1 and world.ready("a"), within_s=90)

    run_story(story)


def test_after_a_loss_of_power_everything_starts_again() -> None:
    async def story(world: AgentWorld) -> None:
        await world.pod("a")
        await world.pod("once", restartPolicy="Never")
        await world.running("a")
        await world.running("once")
        address = world.status("a").pod_ip
        await world.nodes.stop_node("node-1", lose_power=True)
        assert world.nodes.running_containers == 0
        await asyncio.sleep(60)
        await world.nodes.start_node("node-1")
        await world.until(lambda: world.container("a").restart_count == 1 and world.ready("a"))
        last = world.container("a").last_state.terminated
        assert last is not None
        assert (last.exit_code, last.reason) == (255, "Unknown")
        assert address
        await world.until(lambda: world.phase("once") == "Failed")
        assert not world.containers("once")

    run_story(story)


def test_how_a_pod_ended_is_not_forgotten_with_its_containers(caplog: pytest.LogCaptureFixture) -> None:
    """Not even asked for: the API server would refuse it, again and again."""

    async def story(world: AgentWorld) -> None:
        world.nodes.fail({"app": "a"}, Fault.exits(after_s=1, code=0))
        await world.pod("a", restartPolicy="Never")
        await world.until(lambda: world.phase("a") == "Succeeded")
        before = world.get("a")
        await world.nodes.stop_node("node-1")
        for sandbox in await world.runtime.list_sandboxes():
            await world.runtime.remove_sandbox(sandbox.id)
        await world.nodes.start_node("node-1")
        await asyncio.sleep(120)
        assert world.get("a") == before
        assert not await world.runtime.list_sandboxes()

    run_story(story)
    assert "refused" not in caplog.text


def test_conditions_of_others_are_kept() -> None:
    async def story(world: AgentWorld) -> None:
        world.api.faults.watch_lag_s = (1.0, 3.0)
        await world.pod("a")
        await world.running("a")

        def add(pod: Pod) -> None:
            pod.status.conditions.append(PodCondition(type="test.local/mine", status="True", message="mine"))

        for _ in range(5):
            world.runtime.kill_container(world.containers("a")[0].id)
            await world.client.change(Pod, "a", add, namespace="default", subresource="status")
            await world.until(lambda: world.containers("a"), within_s=400)
            await asyncio.sleep(30)
        await world.until(lambda: world.ready("a"), within_s=400)
        assert world.condition("a", "test.local/mine") == "True"

    run_story(story)


SHAPES: list[dict[str, Any]] = [
    {},
    {"initContainers": [{"name": "first", "image": "i"}, {"name": "side", "image": "i", "restartPolicy": "Always"}]},
    {"containers": [{"name": "main", "image": "i"}, {"name": "other", "image": "registry.test/other:2"}]},
]
WRONGS = [
    Fault.exits(after_s=1),
    Fault.runs_out_of_memory(after_s=3, container="main"),
    Fault.bad_image(),
    Fault.deaf(),
    Fault.never_ready(),
    *(Fault(what=what) for what in ("sandbox", "create", "start")),
]


@pytest.mark.parametrize("seed", range(40))
def test_whatever_happens_in_between_it_comes_to_rest_as_declared(seed: int) -> None:
    """Lost answers, lags, breaks, restarts, crashes and deletions in any order; then quiet, and everything is right."""

    async def story(world: AgentWorld) -> None:
        chance = world.api.random
        names = [f"p{number}" for number in range(6)]
        for _ in range(60):
            name, node = chance.choice(names), chance.choice(world.nodes.names)
            match chance.randrange(10):
                case 0 | 1 if not world.there(name):
                    spec = chance.choice(SHAPES) | {"terminationGracePeriodSeconds": chance.randrange(40)}
                    await world.pod(name, node=node, **spec)
                case 2 if world.there(name):
                    await world.delete(name, grace_s=chance.choice([None, 0, 5]))
                case 3:
                    await world.nodes.stop_node(node, lose_power=chance.random() < 0.3)
                case 4 | 5:
                    await world.nodes.start_node(node)
                case 6:
                    for container in world.nodes.runtime(node).running[:1]:
                        world.nodes.runtime(node).kill_container(container.id)
                case 7:
                    runtime = world.nodes.runtime(node)
                    runtime.go_down() if chance.random() < 0.5 else runtime.come_back()
                case 8:
                    world.nodes.fail(f"default/{name}", chance.choice(WRONGS))
                case 9:
                    world.nodes.faults.clear()
            world.check_running()
            await asyncio.sleep(chance.random() * 5)
        world.api.heal()
        world.nodes.faults.clear()
        for node in world.nodes.names:
            world.nodes.runtime(node).come_back()
            await world.nodes.start_node(node)
        wanted = {each.metadata.uid for each in world.api.objects(Pod) if not each.metadata.deletion_timestamp}
        await world.until(lambda: {pod.metadata.uid for pod in world.api.objects(Pod)} == wanted)
        await world.until(lambda: all(world.ready(pod.metadata.name) for pod in world.api.objects(Pod)), within_s=1000)
        await asyncio.sleep(60)
        left = {each.pod.uid for name in world.nodes.names for each in await world.nodes.runtime(name).list_sandboxes()}
        assert left == wanted
        declared = sum(
            len(pod.spec.containers) + sum(each.restart_policy == "Always" for each in pod.spec.init_containers)
            for pod in world.api.objects(Pod)
        )
        assert world.nodes.running_containers == declared

    faults = Faults(
        latency_s=(0.001, 0.2),
        lost_answers=0.05,
        lost_requests=0.05,
        refused=0.1,
        watch_lag_s=(0.0, 4.0),
        watch_break=0.05,
        watch_repeats=3,
        history_gone=0.2,
        of=(NODES,),
    )
    latency = Latency(sandbox_s=0.5, pull_s=1, start_s=0.3, stop_s=2, spread=0.5)
    run_story(story, seed=seed, count=3, latency=latency, faults=faults, shuffle=True)
