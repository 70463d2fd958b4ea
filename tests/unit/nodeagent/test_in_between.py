"""What comes in between: news while a step is under way, and what was begun before the agent looked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from agent_world import NODES, AgentWorld, run_story

from apiserver.api.core.containers import Container
from apiserver.api.core.node import Node
from apiserver.api.core.pod import Pod, PodStatus
from nodeagent.house import NotYet
from nodeagent.plain import PlainSpecs, plain_sandbox
from nodeagent.runtime.fake import Latency
from nodeagent.runtime.interface import ContainerConfig, PodKey, Sandbox, SandboxConfig, Unavailable
from nodeagent.status_writer import completed, status_patch


def test_a_pod_that_came_while_the_agent_was_away_finds_the_labels_that_people_gave_the_node() -> None:
    """They are the Node's alone: before it was read, the pod was Failed for good."""

    def label(node: Node) -> None:
        node.metadata.labels["disk"] = "ssd"

    async def story(world: AgentWorld) -> None:
        await world.client.change(Node, "node-1", label)
        await world.nodes.stop_node("node-1")
        await world.pod("a", nodeSelector={"disk": "ssd"})
        await world.pod("b", nodeSelector={"disk": "hdd"})
        await asyncio.sleep(1)
        await world.nodes.start_node("node-1")
        await world.running("a")
        await world.until(lambda: world.phase("b") == "Failed")

    run_story(story)


def test_a_pod_that_overtakes_the_news_of_a_label_is_not_refused_for_the_want_of_it() -> None:
    """Pods and Nodes are told apart from each other, and a refusal is for good: so the Node itself is looked at."""

    def label(node: Node) -> None:
        node.metadata.labels["disk"] = "ssd"

    async def story(world: AgentWorld) -> None:
        await the_news_of_a_change_takes_a_minute(world, label)
        await world.pod("a", nodeSelector={"disk": "ssd"})
        await world.pod("b", nodeSelector={"disk": "hdd"})
        await world.until(lambda: world.phase("b") == "Failed", within_s=30)
        await world.until(lambda: world.phase("a") == "Running", within_s=30)

    run_story(story)


def test_who_asks_for_a_label_that_nobody_can_be_asked_for_waits() -> None:
    def label(node: Node) -> None:
        node.metadata.labels["disk"] = "ssd"

    async def story(world: AgentWorld) -> None:
        await the_news_of_a_change_takes_a_minute(world, label)
        world.api.faults.refused, world.api.faults.of = 1.0, (NODES,)
        await world.pod("a", nodeSelector={"disk": "ssd"})
        await world.pod("deleted", nodeSelector={"disk": "hdd"})
        await asyncio.sleep(5)
        await world.delete("deleted", grace_s=0)
        await asyncio.sleep(20)
        assert world.phase("a") == "Pending"
        world.api.faults.refused = 0.0
        await world.running("a")
        agent = world.nodes._places["node-1"].agent
        assert agent is not None
        assert agent.pod_count == 1, "nobody looks after the one that is gone"

    run_story(story)


async def the_news_of_a_change_takes_a_minute(world: AgentWorld, change: Callable[[Node], None]) -> None:
    """Of the first Node; what is told after this is told at once."""
    faults = world.api.faults
    faults.watch_lag_s = (60.0, 60.0)
    await world.client.change(Node, "node-1", change)
    await asyncio.sleep(1)
    faults.watch_lag_s = (0.0, 0.0)


def test_what_is_made_for_a_pod_after_it_went_is_removed() -> None:
    """A call to the runtime that was given up may go through all the same, when nobody remembers the pod."""

    async def story(world: AgentWorld) -> None:
        pod = await world.pod("a")
        await world.running("a")
        await world.delete("a", grace_s=0)
        await world.until(lambda: not world.runtime.running)
        await asyncio.sleep(5)
        await world.runtime.run_sandbox(plain_sandbox(pod, 1))
        assert await world.runtime.list_sandboxes()
        await asyncio.sleep(700)
        assert not await world.runtime.list_sandboxes()

    run_story(story)


def test_what_names_no_pod_is_left_alone() -> None:
    """To ask the runtime for the pod of no uid is to ask for all: all of them were removed."""

    async def story(world: AgentWorld) -> None:
        await world.pod("a")
        await world.running("a")
        before = world.containers("a")
        nobody = PodKey(namespace="", name="", uid="")
        await world.runtime.run_sandbox(SandboxConfig(pod=nobody))
        await asyncio.sleep(700)
        assert world.containers("a") == before
        await world.nodes.stop_node("node-1")
        await world.nodes.start_node("node-1")
        await asyncio.sleep(60)
        assert world.containers("a") == before

    run_story(story)


def test_what_ended_while_the_runtime_was_away_is_noticed_as_soon_as_it_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """containerd takes listeners before it has read what it left on its disk."""

    async def story(world: AgentWorld) -> None:
        await world.pod("a")
        await world.running("a")
        runtime, reading = world.runtime, True
        answer = runtime.list_sandboxes

        async def list_sandboxes(*, pod_uid: str = "") -> Sequence[Sandbox]:
            if reading:
                raise Unavailable("server is not initialized yet")
            return await answer(pod_uid=pod_uid)

        runtime.go_down()
        await asyncio.sleep(5)
        runtime.kill_container(world.containers("a")[0].id)
        monkeypatch.setattr(runtime, "list_sandboxes", list_sandboxes)
        runtime.come_back()
        await asyncio.sleep(15)
        reading = False
        await world.until(lambda: world.container("a").restart_count == 1, within_s=15)

    run_story(story)


def test_a_pod_that_others_failed_ends_and_stays_failed() -> None:
    """It was Running again at once, with its containers restarted, beside the pod that had come in its place."""

    def fail(pod: Pod) -> None:
        pod.status.phase, pod.status.reason, pod.status.message = "Failed", "NodeLost", "given up"

    async def story(world: AgentWorld) -> None:
        await world.pod("a")
        await world.until(lambda: world.ready("a"))
        told = []

        def look() -> bool:
            status = world.status("a")
            told.append((status.phase, status.reason, status.message))
            return not world.containers("a")

        await world.client.change(Pod, "a", fail, namespace="default", subresource="status")
        await world.until(lambda: look() or not world.ready("a"))
        assert world.containers("a"), "it takes no more traffic while it ends"
        await world.until(look)
        await world.until(lambda: world.container("a").state.terminated)
        assert set(told) == {("Failed", "NodeLost", "given up")}
        assert not world.ready("a")
        before = world.get("a")
        await asyncio.sleep(400)
        assert world.get("a") == before
        assert not world.containers("a")

    run_story(story, latency=Latency(stop_s=10))


def test_an_end_that_came_in_between_is_not_taken_back_by_a_status_that_was_made_before() -> None:
    known = PodStatus(phase="Failed", reason="NodeLost", message="given up")
    running = PodStatus(phase="Running", pod_ip="10.0.0.1")
    assert status_patch(known, completed(known, running, now="")) == {"podIP": "10.0.0.1"}


def test_a_start_that_goes_through_after_its_stop_holds_the_pod_in_the_api(monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime does not stop what has not begun, and may begin it after the call was given up."""

    async def story(world: AgentWorld) -> None:
        runtime = world.runtime
        stop_container, stop_sandbox = runtime.stop_container, runtime.stop_sandbox
        begin = asyncio.Event()

        async def never(container_id: str) -> None:
            await asyncio.Event().wait()

        async def if_it_runs(container_id: str, *, grace_period_s: float, signal: str = "") -> None:
            if container_id in {each.id for each in runtime.running}:
                await stop_container(container_id, grace_period_s=grace_period_s)

        async def late(sandbox_id: str) -> None:
            if not begin.is_set():
                begin.set()
                for each in await runtime.list_containers():
                    await start_container(each.id)
            else:
                await stop_sandbox(sandbox_id)

        start_container = runtime.start_container
        monkeypatch.setattr(runtime, "start_container", never)
        monkeypatch.setattr(runtime, "stop_container", if_it_runs)
        monkeypatch.setattr(runtime, "stop_sandbox", late)
        await world.pod("a")
        await asyncio.sleep(5)
        assert await runtime.list_containers()
        await world.delete("a")
        await world.until(lambda: world.containers("a"))
        await world.until(lambda: not world.there("a"))
        assert not world.containers("a")

    run_story(story, latency=Latency(stop_s=10))


def test_who_waits_for_what_only_the_api_knows_holds_up_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    async def container(specs: PlainSpecs, pod: Pod, spec: Container, **more: Any) -> ContainerConfig:
        if pod.metadata.name != "a":
            await asyncio.sleep(30)  # as long as a client tries
            raise NotYet("CreateContainerConfigError", "nobody answers", again_s=2)
        return await plain(specs, pod, spec, **more)

    async def story(world: AgentWorld) -> None:
        for number in range(40):
            await world.pod(f"other-{number}")
        await asyncio.sleep(5)
        await world.pod("a")
        assert await world.until(lambda: world.ready("a")) < 5

    plain = PlainSpecs.container
    monkeypatch.setattr(PlainSpecs, "container", container)
    run_story(story)
