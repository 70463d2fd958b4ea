"""Pods that nobody else takes away; and those that must stay."""

from __future__ import annotations

from typing import Any

from controllers_world import World, run_world, seeds, stormy
from controllers_world_objects import node, pod
from node_life_world import pods_left

from apiserver.api.core.node import Node
from apiserver.api.core.pod import Pod
from controlplane.controllers.pod_gc import oldest_first, parts
from controlplane.runtime.options import Options

SETTINGS: dict[str, Any] = {"parts": [parts], "binds": False}
DELETED = {"deletionTimestamp": "2026-01-01T00:00:30Z", "deletionGracePeriodSeconds": 30}
OUT_OF_SERVICE = {"key": "node.kubernetes.io/out-of-service", "value": "shutdown", "effect": "NoExecute"}


def names(world: World) -> set[str]:
    return {each.metadata.name for each in world.api.objects(Pod)}


def told_why(world: World) -> None:
    """A pod that goes because of its node says so before."""

    def see(verb: str, old: Any, new: Any) -> None:
        if verb == "delete" and isinstance(old, Pod) and old.metadata.name.startswith("orphan"):
            target = [each for each in old.status.conditions if each.type == "DisruptionTarget"]
            assert [(each.reason, each.message) for each in target] == [
                ("DeletionByPodGC", "PodGC: node no longer exists")
            ]
            assert old.status.phase in ("Failed", "Succeeded")

    world.check(see)


def test_pods_of_a_node_that_is_gone_go_after_the_quarantine() -> None:
    async def body(world: World) -> None:
        told_why(world)
        world.nodes.silence("node-1")
        world.put(pod("orphan-1", node_name="node-1"), pod("orphan-2", node_name="node-1", metadata=DELETED))
        world.put(pod("stays", node_name="node-2"))
        await world.sleep(60)
        world.api.remove(Node, "node-1")
        await world.sleep(39)
        assert "orphan-1" in names(world)
        await world.sleep(40)
        assert names(world) == {"stays"}

    run_world(body, nodes=2, **SETTINGS)


def test_a_node_that_comes_back_in_time_keeps_them() -> None:
    async def body(world: World) -> None:
        world.put(pod("stays", node_name="node-1"))
        for _ in range(10):
            await world.sleep(60)
            world.api.remove(Node, "node-1")
            await world.sleep(25)
            world.put(node("node-1"))
        assert names(world) == {"stays"}

    run_world(body, nodes=2, **SETTINGS)


def test_a_cache_that_does_not_know_the_node_yet_costs_no_pod() -> None:
    async def body(world: World) -> None:
        world.put(pod("stays", node_name="new"))
        await world.sleep(20)
        world.api.faults.watch_lag_s = (500.0, 500.0)
        world.put(node("new"))
        await world.sleep(400)
        assert names(world) == {"stays"}

    run_world(body, nodes=2, **SETTINGS)


def test_pods_that_wait_for_nobody() -> None:
    async def body(world: World) -> None:
        world.put(node("dead", ready=False, taints=[OUT_OF_SERVICE]), node("alive", taints=[OUT_OF_SERVICE]))
        world.put(node("unready", ready=False))
        world.nodes.silence("dead", "alive", "unready")
        world.put(pod("unscheduled", metadata=DELETED | {"finalizers": ["example.com/f"]}), pod("waits"))
        world.put(pod("dead-ends", node_name="dead", metadata=DELETED), pod("dead-stays", node_name="dead"))
        world.put(pod("alive-ends", node_name="alive", metadata=DELETED))
        world.put(pod("unready-ends", node_name="unready", metadata=DELETED))
        await world.sleep(100)
        assert names(world) == {"unscheduled", "waits", "dead-stays", "alive-ends", "unready-ends"}
        held = world.api.get(Pod, "unscheduled")
        assert held is not None
        assert held.metadata.deletion_grace_period_seconds == 0
        requests = world.api.requests
        await world.sleep(290)
        assert world.api.requests == requests  # what only waits for finalizers is left alone

    run_world(body, nodes=1, **SETTINGS)


def test_the_oldest_that_have_ended_go_above_the_threshold() -> None:
    async def body(world: World) -> None:
        for number in range(6):
            ended = {"phase": "Failed" if number % 2 else "Succeeded"}
            created = {"creationTimestamp": f"2026-01-01T00:0{number}:00Z"}
            world.put(pod(f"ended-{number}", node_name="node-1", status=ended, metadata=created))
        evicted = {"phase": "Failed", "reason": "Evicted"}
        world.put(pod("evicted", node_name="node-1", status=evicted))
        world.put(*(pod(f"runs-{number}", node_name="node-1") for number in range(5)))
        await world.sleep(100)
        assert names(world) == {
            *(f"ended-{number}" for number in (3, 4, 5)),
            *(f"runs-{number}" for number in range(5)),
        }

    run_world(body, nodes=1, options=Options(terminated_pods_max=3), **SETTINGS)


def test_evicted_ones_come_first() -> None:
    old = pod("z-old", metadata={"creationTimestamp": "2026-01-01T00:00:00Z"})
    young = pod("a-young", metadata={"creationTimestamp": "2026-01-02T00:00:00Z"})
    evicted = pod("evicted", metadata={"creationTimestamp": "2026-01-03T00:00:00Z"}, status={"reason": "Evicted"})
    assert [each.metadata.name for each in oldest_first([young, evicted, old])] == ["evicted", "z-old", "a-young"]


@seeds(30)
def test_orphans_go_and_nobody_else_whatever_goes_wrong(seed: int) -> None:
    async def body(world: World) -> None:
        told_why(world)
        world.put(*(pod(f"orphan-{number}", node_name="node-1") for number in range(5)))
        world.put(*(pod(f"stays-{number}", node_name="node-2") for number in range(5)))
        await world.sleep(30)
        world.api.remove(Node, "node-1")
        for writes in (1, 1, 2, 3):
            world.crash_after(writes)
            await world.sleep(70)
        world.api.heal()
        await world.sleep(150)
        assert names(world) == pods_left(world) == {f"stays-{number}" for number in range(5)}

    run_world(body, seed=seed, nodes=2, faults=stormy(seed), **SETTINGS)


def test_nothing_is_written_while_all_is_well() -> None:
    async def body(world: World) -> None:
        world.put(pod("web", node_name="node-1"), pod("waits"))
        await world.sleep(3600)
        assert world.written(ignoring=()) == []

    run_world(body, nodes=1, **SETTINGS)


def test_one_that_may_not_be_deleted_keeps_none_of_the_others() -> None:
    async def body(world: World) -> None:
        world.api.denied.add("/pods/b")
        world.put(*(pod(name, node_name="node-1", status={"phase": "Failed"}) for name in "abc"))
        await world.sleep(200)
        assert names(world) == {"b"}

    run_world(body, nodes=1, options=Options(terminated_pods_max=0), **SETTINGS)
