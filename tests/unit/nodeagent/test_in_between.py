"""What comes in between: news while a step is under way, and what was begun before the agent looked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from agent_world import AgentWorld, run_story

from apiserver.api.core.node import Node
from nodeagent.plain import plain_sandbox
from nodeagent.runtime.interface import Sandbox, Unavailable


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
