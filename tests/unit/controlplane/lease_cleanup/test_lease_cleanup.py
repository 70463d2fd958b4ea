"""Leases of nodes that are gone go; those of nodes, of elections, and those with an owner stay."""

from __future__ import annotations

from typing import Any

from controllers_world import World, run_world, seeds, stormy
from controllers_world_objects import lease, made, node, owner_of

from apiserver.api.coordination import Lease
from apiserver.api.core.node import Node
from controlplane.controllers.lease_cleanup import parts

SETTINGS: dict[str, Any] = {"parts": [parts], "binds": False}


def names(world: World) -> set[str]:
    return {each.metadata.name for each in world.api.objects(Lease)}


def test_only_leases_of_nobody_go() -> None:
    async def body(world: World) -> None:
        node = world.api.get(Node, "node-1")
        assert node is not None
        owner = owner_of(node, controller=False, blocks=False)
        world.put(made(Lease, "owned", {"namespace": "kube-node-lease", "ownerReferences": [owner]}))
        world.put(lease("gone", "gone"), lease("node-1", "node-1"))
        world.put(lease("kmini-controllers", "leader", namespace="kube-system"))
        await world.sleep(3500)
        assert "gone" in names(world)
        await world.sleep(700)
        assert names(world) == {"node-1", "owned", "kmini-controllers"}

    run_world(body, nodes=1, **SETTINGS)


def test_one_that_is_renewed_stays_also_without_a_node() -> None:
    async def body(world: World) -> None:
        for _ in range(10):
            world.put(lease("early", "early"))
            await world.sleep(1500)
            await world.client.patch(Lease, "early", {"spec": {"leaseTransitions": 1}}, namespace="kube-node-lease")
        await world.sleep(500)
        assert names(world) == {"early"}

    run_world(body, **SETTINGS)


def test_a_cache_that_does_not_know_the_node_yet_costs_no_lease() -> None:
    async def body(world: World) -> None:
        world.put(lease("new", "new"))
        await world.sleep(20)
        world.api.faults.watch_lag_s = (20_000.0, 20_000.0)
        world.put(node("new"))
        await world.sleep(10_000)
        assert names(world) == {"new"}

    run_world(body, **SETTINGS)


@seeds(20)
def test_in_the_end_they_are_gone_whatever_goes_wrong(seed: int) -> None:
    async def body(world: World) -> None:
        world.put(*(lease(f"gone-{number}", "x") for number in range(5)), lease("node-1", "node-1"))
        for _ in range(3):
            await world.sleep(2000)
            world.crash_after(1)
        world.api.heal()
        await world.sleep(9000)
        assert names(world) == {"node-1"}

    run_world(body, seed=seed, nodes=1, faults=stormy(seed), **SETTINGS)


def test_one_that_may_not_be_deleted_keeps_none_of_the_others() -> None:
    async def body(world: World) -> None:
        world.api.denied.add("/leases/b")
        world.put(*(lease(name, name) for name in "abc"))
        await world.sleep(5000)
        assert names(world) == {"b"}

    run_world(body, **SETTINGS)
