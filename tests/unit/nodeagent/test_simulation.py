"""Simulated nodes as other tests use them: names, faults by selector, silence, many at once."""

from __future__ import annotations

import asyncio

from agent_world import AgentWorld, run_story

from apiserver.api.coordination import Lease
from apiserver.api.core.node import Node
from nodeagent.runtime.faults import Fault


def test_names_and_networks_differ() -> None:
    async def story(world: AgentWorld) -> None:
        assert list(world.nodes.names) == ["sim-1", "sim-2", "sim-3"]
        for name in world.nodes.names:
            await world.pod(f"on-{name}", node=name)
            await world.running(f"on-{name}")
        addresses = {world.status(f"on-{name}").pod_ip for name in world.nodes.names}
        assert len(addresses) == 3

    run_story(story, count=3, prefix="sim")


def test_faults_strike_what_they_select() -> None:
    async def story(world: AgentWorld) -> None:
        one = await world.pod("one", labels={"app": "x", "tier": "1"})
        await world.pod("two", labels={"app": "x", "tier": "2"})
        await world.pod("three", labels={"app": "y"})
        for name in ("one", "two", "three"):
            await world.until(lambda name=name: world.ready(name))  # type: ignore[misc]
        rules = [world.nodes.fail(one, Fault.never_ready())]
        await world.until(lambda: not world.ready("one"))
        rules.append(world.nodes.fail({"app": "x", "tier": "2"}, Fault.never_ready()))
        await world.until(lambda: not world.ready("two"))
        rules.append(world.nodes.fail("default/three", Fault.never_ready()))
        await world.until(lambda: not world.ready("three"))
        world.nodes.faults.remove(rules[0])
        await world.until(lambda: world.ready("one"))
        assert not world.ready("two")
        world.nodes.faults.clear()
        await world.until(lambda: world.ready("two") and world.ready("three"))

    run_story(story)


def test_a_silent_node_says_nothing_and_its_containers_stay() -> None:
    async def story(world: AgentWorld) -> None:
        await world.pod("a")
        await world.until(lambda: world.ready("a"))
        await asyncio.sleep(20)
        await world.nodes.stop_node("node-1")
        before = world.api.get(Lease, "node-1", "kube-node-lease")
        await world.delete("a")
        await asyncio.sleep(120)
        assert world.api.get(Lease, "node-1", "kube-node-lease") == before
        assert world.there("a")
        assert world.containers("a")
        await world.nodes.stop_node("node-1")
        await world.nodes.start_node("node-1")
        await world.nodes.start_node("node-1")
        await world.until(lambda: not world.there("a"))

    run_story(story, count=2)


def test_at_the_end_nodes_stay_or_go() -> None:
    async def story(world: AgentWorld) -> None:
        return

    assert len(run_story(story, count=3).api.objects(Node)) == 3
    assert run_story(story, count=3, remove=True).api.objects(Node) == []


def test_hundreds_of_pods_cost_one_write_each() -> None:
    async def story(world: AgentWorld) -> None:
        for number in range(200):
            await world.pod(f"p{number}", node=f"node-{number % 50 + 1}")
        await world.until(lambda: world.nodes.running_containers == 200)
        await asyncio.sleep(30)
        assert all(world.ready(f"p{number}") for number in range(200))
        assert world.nodes.writer.written <= 220

    run_story(story, count=50, stagger_s=5.0)
