"""What comes in between: news while a step is under way, and what was begun before the agent looked."""

from __future__ import annotations

import asyncio

from agent_world import AgentWorld, run_story

from apiserver.api.core.node import Node


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
