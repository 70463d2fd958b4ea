"""Nodes come and go at random, and whatever can go wrong for the controllers does: the laws hold at each write."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

from controllers_world import World, run_world, seeds, stormy
from controllers_world_objects import node
from node_life_world import Laws, placed, pods_left, ready
from virtual_time import VirtualLoop

from apiserver.api.core.node import Node, Taint
from apiserver.api.core.pod import Pod
from apiserver.api.kinds import kind_of
from apiserver.client import requests
from apiserver.client.requests import path_of
from controlplane.controllers.node_lifecycle import parts

ZONES = ("", "a", "b")
NODES = 7
#: A request may be sent again for as long as a call takes.
SLACK_S = 30.0


class Mischief:
    """One random thing after another."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._random = Random(f"mischief {seed}")
        self._pods = 0

    async def go_on(self, steps: int) -> None:
        acts = (
            self.silence,
            self.silence,
            self.speak,
            self.speak,
            self.crash,
            self.cut,
            self.pod,
            self.cordon,
            self.taint,
        )
        for _ in range(steps):
            self._random.choice(acts)()
            await self._world.sleep(self._random.choice((1.0, 20.0, 70.0, 200.0)))

    def _node(self) -> str:
        return f"node-{self._random.randint(1, NODES)}"

    def silence(self) -> None:
        self._world.nodes.silence(*(self._node() for _ in range(self._random.choice((1, 1, 2, NODES)))))

    def speak(self) -> None:
        self._world.nodes.speak(*(self._node() for _ in range(self._random.choice((1, 2, NODES)))))

    def crash(self) -> None:
        self._world.crash_after(self._random.randint(1, 6))

    def cut(self) -> None:
        if self._random.random() < 0.5:
            self._world.api.compact()
        self._world.api.break_watches()

    def pod(self) -> None:
        self._pods += 1
        seconds = self._random.choice((None, 0, 5, 300))
        self._world.put(placed(f"pod-{self._pods}", self._node(), seconds=seconds))

    def cordon(self) -> None:
        self._patch({"unschedulable": self._random.choice((True, None))})

    def taint(self) -> None:
        name = self._node()
        found = self._world.api.get(Node, name)
        assert found is not None
        taints = [each for each in found.spec.taints if each.key != "mine"]
        if self._random.random() < 0.3:
            taints.append(Taint(key="mine", effect="PreferNoSchedule"))
        self._patch({"taints": taints}, name)

    def _patch(self, spec: dict[str, Any], name: str = "") -> None:
        path = path_of(kind_of(Node), None, name or self._node())
        self._world.api.do(requests.patch(path, {"spec": spec}, requests.Patch.MERGE), "people")


def put_nodes(world: World) -> None:
    for number in range(NODES):
        world.put(node(f"node-{number + 1}", zone=ZONES[number % len(ZONES)]))


@seeds(40)
def test_the_laws_hold_and_all_is_well_in_the_end(seed: int) -> None:
    async def body(world: World) -> None:
        put_nodes(world)
        laws = Laws(world, slack_s=SLACK_S)
        mischief = Mischief(world, seed)
        await mischief.go_on(25)
        laws.check_rate(world.options.node_eviction_rate)
        world.api.heal()
        world.nodes.speak(*(f"node-{number + 1}" for number in range(NODES)))
        await world.sleep(400)
        await world.settle()
        for each in world.api.objects(Node):
            assert ready(each) == "True"
            cordoned = {"node.kubernetes.io/unschedulable"} if each.spec.unschedulable else set()
            assert {taint.key for taint in each.spec.taints} - {"mine"} == cordoned
        assert all(ready(pod) == "True" for pod in world.api.objects(Pod))

    run_world(body, seed=seed, parts=[parts], leases=True, binds=False, faults=stormy(seed))


@seeds(20)
def test_in_the_end_the_pods_of_lost_nodes_are_gone_and_no_others(seed: int) -> None:
    async def body(world: World) -> None:
        put_nodes(world)
        laws = Laws(world, slack_s=SLACK_S)
        await Mischief(world, seed).go_on(10)
        world.api.heal()
        world.nodes.speak(*(f"node-{number + 1}" for number in range(NODES)))
        await world.sleep(100)
        await world.settle()
        for name in ("node-1", "node-2"):
            world.put(placed(f"{name}-ever", name, seconds=None), placed(f"{name}-soon", name, seconds=30))
        world.put(placed("elsewhere", "node-3", seconds=0))
        await world.sleep(60)
        evicted = len(laws.evicted)
        world.nodes.silence("node-1", "node-2")
        await world.sleep(400)
        left = pods_left(world)
        assert {"node-1-ever", "node-2-ever", "elsewhere"} <= left
        assert not {"node-1-soon", "node-2-soon"} & left
        assert len(laws.evicted) >= evicted + 2

    run_world(body, seed=seed, parts=[parts], leases=True, binds=False, faults=stormy(seed))


@seeds(10)
def test_a_storm_on_a_healthy_cluster_costs_no_node_and_no_pod(seed: int) -> None:
    """Whatever goes wrong for the controllers is not the nodes' fault; only a few are in the way of it all."""

    async def body(world: World) -> None:
        put_nodes(world)
        Laws(world, slack_s=SLACK_S)
        world.put(*(placed(f"pod-{number}", f"node-{number + 1}", seconds=0) for number in range(NODES)))
        random = Random(f"pauses {seed}")
        loop = world_loop()
        for _ in range(20):
            await world.sleep(random.uniform(1, 100))
            random.choice((lambda: world.crash_after(1), world.api.break_watches, world.api.compact))()
            if random.random() < 0.3:
                loop.now_s += random.choice((20.0, 100.0, 1000.0))  # everything stands still
        await world.sleep(100)
        assert all(ready(each) == "True" and not each.spec.taints for each in world.api.objects(Node))
        assert len(pods_left(world)) == NODES

    run_world(body, seed=seed, parts=[parts], leases=True, binds=False, faults=stormy(seed))


def world_loop() -> VirtualLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop
