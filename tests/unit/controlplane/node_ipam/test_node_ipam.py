"""Networks for the pods of nodes: every node gets one, and none is given twice."""

from __future__ import annotations

import ipaddress
from random import Random
from typing import Any

import pytest
from controllers_world import World, run_world, seeds, stormy
from controllers_world_objects import node
from node_life_world import events_of

from apiserver.api.core.node import Node
from controlplane.controllers.node_ipam import Range, networks_of, parts
from controlplane.runtime.options import Options

SETTINGS: dict[str, Any] = {"parts": [parts], "binds": False}


def all_networks(world: World) -> list[Any]:
    return [ipaddress.ip_network(text) for each in world.api.objects(Node) for text in networks_of(each)]


def none_twice(world: World) -> None:
    def see(verb: str, old: Any, new: Any) -> None:
        if isinstance(new, Node):
            found = all_networks(world)
            for number, one in enumerate(found):
                assert not any(one.overlaps(other) for other in found[number + 1 :]), f"{one} is given twice"

    world.check(see)


def test_every_node_gets_a_network_of_its_own() -> None:
    async def body(world: World) -> None:
        none_twice(world)
        world.put(*(node(f"more-{number}") for number in range(10)))
        await world.settle()
        assert len(all_networks(world)) == 13
        assert all(each.spec.pod_cidr == each.spec.pod_cidrs[0] for each in world.api.objects(Node))
        assert {each.prefixlen for each in all_networks(world)} == {24}
        assert len(world.written()) == 13

    run_world(body, nodes=3, **SETTINGS)


def test_one_of_each_family() -> None:
    async def body(world: World) -> None:
        await world.settle()
        given = [each.spec.pod_cidrs for each in world.api.objects(Node)]
        assert given == [["10.0.0.0/24", "fd00::/64"], ["10.0.1.0/24", "fd00:0:0:1::/64"]]

    run_world(body, nodes=2, options=Options(cluster_cidr="10.0.0.0/16,fd00::/56"), **SETTINGS)


def test_what_is_given_by_hand_is_respected_and_kept() -> None:
    async def body(world: World) -> None:
        none_twice(world)
        world.put(node("wide", podCIDR="10.244.0.0/23"), node("narrow", podCIDR="10.244.2.128/25"), node("plain"))
        await world.settle()
        given = {each.metadata.name: each.spec.pod_cidr for each in world.api.objects(Node)}
        assert given == {"wide": "10.244.0.0/23", "narrow": "10.244.2.128/25", "plain": "10.244.3.0/24"}

    run_world(body, **SETTINGS)


def test_what_is_given_by_hand_counts_before_the_cache_knows_it() -> None:
    async def body(world: World) -> None:
        none_twice(world)
        await world.sleep(5)
        world.api.faults.watch_lag_s = (30.0, 30.0)
        world.put(node("plain"))
        await world.sleep(10)
        world.put(node("hand", podCIDR="10.244.0.0/24"))
        await world.sleep(100)
        plain = world.api.get(Node, "plain")
        assert plain is not None
        assert plain.spec.pod_cidr == "10.244.1.0/24"

    run_world(body, **SETTINGS)


def test_a_range_that_is_used_up_is_told_and_goes_on_when_a_node_leaves() -> None:
    async def body(world: World) -> None:
        none_twice(world)
        await world.settle()
        assert len(all_networks(world)) == 4
        last = next(each.metadata.name for each in world.api.objects(Node) if not each.spec.pod_cidr)
        assert events_of(world, last) == [("CIDRNotAvailable", f"Node {last} status is now: CIDRNotAvailable")]
        gone = next(each.metadata.name for each in world.api.objects(Node) if each.spec.pod_cidr)
        world.api.remove(Node, gone)
        await world.settle()
        assert len(all_networks(world)) == 4
        assert all(each.spec.pod_cidr for each in world.api.objects(Node))

    run_world(body, nodes=5, options=Options(cluster_cidr="10.0.0.0/22"), **SETTINGS)


def test_what_has_become_free_is_given_last() -> None:
    async def body(world: World) -> None:
        await world.settle()
        world.api.remove(Node, "node-1")
        world.put(node("new"))
        await world.settle()
        new = world.api.get(Node, "new")
        assert new is not None
        assert new.spec.pod_cidr == "10.244.2.0/24"

    run_world(body, nodes=2, **SETTINGS)


@seeds(60)
def test_no_network_is_given_twice_whatever_goes_wrong(seed: int) -> None:
    async def body(world: World) -> None:
        none_twice(world)
        random, names = Random(f"ipam {seed}"), [f"n{number}" for number in range(12)]
        for _ in range(40):
            name = random.choice(names)
            there = world.api.get(Node, name) is not None
            if there and random.random() < 0.4:
                world.api.remove(Node, name)
            elif not there:
                world.put(node(name))
            if random.random() < 0.3:
                world.crash_after(random.randint(1, 3))
            if random.random() < 0.2:
                world.api.break_watches()
            await world.sleep(random.choice((0.0, 0.1, 2.0)))
        world.api.heal()
        await world.settle(limit_s=4000)
        assert all(networks_of(each) for each in world.api.objects(Node))

    run_world(body, seed=seed, faults=stormy(seed), options=Options(cluster_cidr="10.0.0.0/20"), **SETTINGS)


@pytest.mark.parametrize("text", ["10.0.0.0/25", "10.0.0.1/16", "fd00::/65", "nothing"])
def test_a_range_that_cannot_be_used_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be cut|has host bits set|does not appear to be"):
        Range(text, mask_v4=24, mask_v6=64)


def test_a_node_that_may_not_be_written_keeps_none_of_the_others_waiting() -> None:
    async def body(world: World) -> None:
        world.api.denied.add("/nodes/b")
        world.put(*(node(name) for name in "abc"))
        await world.sleep(10)
        assert {each.metadata.name for each in world.api.objects(Node) if networks_of(each)} == {"a", "c"}
        world.api.denied.clear()
        await world.sleep(200)
        assert len(all_networks(world)) == 3

    run_world(body, **SETTINGS)
