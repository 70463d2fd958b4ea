"""What happens between a look and a write: the write holds for what was looked at, or does not happen."""

from __future__ import annotations

import asyncio
from typing import Any

from controllers_world import World, run_world
from controllers_world_objects import pod
from node_life_world import Laws, found, placed, pods_left, ready, taints_of

from apiserver.api.core.node import Node
from apiserver.api.core.pod import Pod
from controlplane.controllers.node_lifecycle import parts

SETTINGS: dict[str, Any] = {"parts": [parts], "nodes": 3, "leases": True, "binds": False}
MINE = {"key": "mine", "effect": "NoExecute"}


def test_a_taint_that_somebody_sets_meanwhile_is_kept() -> None:
    async def body(world: World) -> None:
        await world.sleep(20)
        world.api.faults.watch_lag_s = (5.0, 5.0)
        await world.client.patch(Node, "node-1", {"spec": {"unschedulable": True}})
        await world.sleep(4)
        await world.client.patch(Node, "node-1", {"spec": {"taints": [{"key": "mine", "effect": "NoSchedule"}]}})
        await world.sleep(30)
        assert taints_of(world, "node-1") == {("mine", "NoSchedule"), ("unschedulable", "NoSchedule")}
        assert found(world, "node-1").spec.unschedulable

    run_world(body, **SETTINGS)


def test_another_pod_of_the_same_name_is_not_told() -> None:
    async def body(world: World) -> None:
        world.put(placed("web", "node-1"))
        await world.sleep(65)
        world.nodes.silence("node-1")
        await world.sleep(30)
        world.api.faults.watch_lag_s = (60.0, 60.0)
        world.api.remove(Pod, "web")
        world.put(placed("web", "node-2"))
        told: list[str] = []
        world.check(lambda verb, old, new: told.append(ready(new)) if isinstance(new, Pod) else None)
        await world.sleep(150)
        assert "False" not in told[told.index("True") :]

    run_world(body, **SETTINGS)


def replace_when_told(world: World, name: str, new: Pod) -> None:
    """As soon as the pod is told that it is to be deleted, another one takes its name."""
    done: list[bool] = []

    def see(verb: str, old: Any, obj: Any) -> None:
        if isinstance(obj, Pod) and any(each.type == "DisruptionTarget" for each in obj.status.conditions) and not done:
            done.append(True)
            asyncio.get_running_loop().call_soon(replace)

    def replace() -> None:
        world.api.remove(Pod, name)
        world.api.put(new)

    world.check(see)


def test_another_pod_of_the_same_name_is_not_deleted() -> None:
    async def body(world: World) -> None:
        world.api.faults.latency_s = (0.1, 0.2)
        world.put(placed("web", "node-1"))
        await world.sleep(20)
        replace_when_told(world, "web", pod("web", node_name="node-2"))
        await world.client.patch(Node, "node-1", {"spec": {"taints": [MINE]}})
        await world.sleep(60)
        web = world.api.get(Pod, "web")
        assert web is not None
        assert (web.spec.node_name, web.metadata.deletion_timestamp) == ("node-2", None)

    run_world(body, **SETTINGS)


def test_a_taint_that_has_gone_meanwhile_deletes_nothing() -> None:
    async def body(world: World) -> None:
        tolerated = [{"key": "mine", "operator": "Exists", "tolerationSeconds": 60, "effect": "NoExecute"}]
        world.put(pod("web", node_name="node-1", tolerations=tolerated))
        await world.sleep(20)
        await world.client.patch(Node, "node-1", {"spec": {"taints": [MINE]}})
        await world.sleep(50)
        world.api.faults.watch_lag_s = (100.0, 100.0)
        await world.client.patch(Node, "node-1", {"spec": {"taints": None}})
        await world.sleep(300)
        assert pods_left(world) == {"web"}

    run_world(body, **SETTINGS)


def test_a_toleration_that_is_prolonged_meanwhile_counts() -> None:
    async def body(world: World) -> None:
        Laws(world)
        tolerated = {"key": "mine", "operator": "Exists", "effect": "NoExecute"}
        world.put(pod("web", node_name="node-1", tolerations=[{**tolerated, "tolerationSeconds": 60}]))
        await world.sleep(20)
        await world.client.patch(Node, "node-1", {"spec": {"taints": [MINE]}})
        await world.sleep(50)
        world.api.faults.watch_lag_s = (30.0, 30.0)
        web = await world.client.get(Pod, "web")
        web.spec.tolerations[0].toleration_seconds = 200
        await world.client.update(web)
        await world.sleep(140)
        assert pods_left(world) == {"web"}
        await world.sleep(40)
        assert pods_left(world) == set()

    run_world(body, **SETTINGS)


def test_two_pods_of_one_name_wait_each_for_itself() -> None:
    async def body(world: World) -> None:
        tolerated = [{"key": "mine", "operator": "Exists", "tolerationSeconds": 60, "effect": "NoExecute"}]
        world.put(pod("web", node_name="node-1", tolerations=tolerated))
        await world.client.patch(Node, "node-1", {"spec": {"taints": [MINE]}})
        await world.sleep(50)
        world.api.remove(Pod, "web")
        world.put(pod("web", node_name="node-1", tolerations=tolerated))
        await world.sleep(55)
        assert pods_left(world) == {"web"}
        await world.sleep(10)
        assert pods_left(world) == set()

    run_world(body, **SETTINGS)


def test_a_taint_that_comes_back_is_tolerated_anew() -> None:
    async def body(world: World) -> None:
        tolerated = [{"key": "mine", "operator": "Exists", "tolerationSeconds": 60, "effect": "NoExecute"}]
        world.put(pod("web", node_name="node-1", tolerations=tolerated))
        for _ in range(5):
            await world.client.patch(Node, "node-1", {"spec": {"taints": [MINE]}})
            await world.sleep(50)
            await world.client.patch(Node, "node-1", {"spec": {"taints": None}})
            await world.sleep(1)
        assert pods_left(world) == {"web"}
        await world.client.patch(Node, "node-1", {"spec": {"taints": [MINE]}})
        await world.sleep(65)
        assert pods_left(world) == set()

    run_world(body, **SETTINGS)


def test_a_pod_that_is_said_to_be_ready_after_its_node_was_lost() -> None:
    async def body(world: World) -> None:
        world.put(placed("web", "node-1", seconds=None))
        await world.sleep(65)
        world.nodes.silence("node-1")
        await world.sleep(100)
        for expected in ("False", "True", "False"):
            web = world.api.get(Pod, "web")
            assert web is not None
            assert ready(web) == expected
            if expected == "False":
                late = {"conditions": [{"type": "Ready", "status": "True"}]}
                await world.client.patch(Pod, "web", {"status": late}, subresource="status")
            else:
                await world.sleep(10)

    run_world(body, **SETTINGS)


def test_an_agent_that_is_there_has_the_last_word_about_its_pods() -> None:
    """A node that says it is not ready: its pods are told once, and what the agent says after that stays."""

    async def body(world: World) -> None:
        world.put(placed("web", "node-1", seconds=None))
        await world.sleep(20)
        told: list[str] = []
        world.check(lambda verb, old, new: told.append(ready(new)) if isinstance(new, Pod) else None)
        status = {"conditions": [{"type": "Ready", "status": "False", "reason": "KubeletNotReady"}]}
        await world.client.patch(Node, "node-1", {"status": status}, subresource="status")
        await world.sleep(100)
        assert told == ["False", "True"]

    run_world(body, **SETTINGS)
