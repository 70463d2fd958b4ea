"""A node that is silent, from the first missing renewal to its return."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import virtual_time
from controllers_world import World, run_world
from controllers_world_objects import lease, made, node, pod
from node_life_world import Laws, events_of, found, placed, pods_left, ready, ready_of, taints_of, tolerating

from apiserver.api.core.node import Node
from apiserver.api.core.pod import Pod
from apiserver.client.requests import Patch
from controlplane.controllers.node_lifecycle import parts
from controlplane.runtime.clock import Clock
from controlplane.runtime.options import Options

SETTINGS: dict[str, Any] = {"parts": [parts], "nodes": 3, "leases": True, "binds": False}


def test_a_silent_node_becomes_unknown_is_tainted_and_loses_its_pods_in_time() -> None:
    async def body(world: World) -> None:
        Laws(world)
        world.put(placed("five-minutes", "node-1"), placed("ever", "node-1", seconds=None), placed("there", "node-2"))
        world.put(pod("now", node_name="node-1", tolerations=tolerating(0)))
        await world.sleep(95)  # its Lease was renewed 5 s ago
        world.nodes.silence("node-1")
        await world.sleep(34)
        assert ready_of(world, "node-1") == "True"
        await world.sleep(12)
        assert ready_of(world, "node-1") == "Unknown"
        assert taints_of(world, "node-1") == {("unreachable", "NoSchedule"), ("unreachable", "NoExecute")}
        assert "now" not in pods_left(world)
        assert pods_left(world) == {"five-minutes", "ever", "there"}
        await world.sleep(280)
        assert "five-minutes" in pods_left(world)
        await world.sleep(30)
        assert pods_left(world) == {"ever", "there"}

    run_world(body, **SETTINGS)


def test_what_a_lost_node_and_its_pods_say() -> None:
    async def body(world: World) -> None:
        world.put(placed("web", "node-1"))
        await world.sleep(60)
        world.nodes.silence("node-1")
        await world.sleep(70)
        conditions = {each.type: each for each in found(world, "node-1").status.conditions}
        assert conditions["Ready"].reason == "NodeStatusUnknown"
        assert conditions["Ready"].message == "Kubelet stopped posting node status."
        assert conditions["MemoryPressure"].reason == "NodeStatusNeverUpdated"
        web = world.api.get(Pod, "web")
        assert web is not None
        assert ready(web) == "False"
        assert events_of(world, "node-1") == [("NodeNotReady", "Node node-1 status is now: NodeNotReady")]
        assert events_of(world, "web") == [("NodeNotReady", "Node is not ready")]
        await world.sleep(320)
        web = world.api.get(Pod, "web")
        assert web is not None
        target = next(each for each in web.status.conditions if each.type == "DisruptionTarget")
        assert (target.status, target.reason) == ("True", "DeletionByTaintManager")
        assert target.message == "Taint manager: deleting due to NoExecute taint"
        assert ("TaintManagerEviction", "Marking for deletion Pod default/web") in events_of(world, "web")

    run_world(body, **SETTINGS)


def test_a_node_that_returns_keeps_its_pods() -> None:
    async def body(world: World) -> None:
        Laws(world)
        world.put(placed("web", "node-1"))
        await world.sleep(60)
        world.nodes.silence("node-1")
        await world.sleep(200)
        world.nodes.speak("node-1")
        await world.settle()
        assert taints_of(world, "node-1") == set()
        assert ("TaintManagerEviction", "Cancelling deletion of Pod default/web") in events_of(world, "web")
        assert ("NodeReady", "Node node-1 status is now: NodeReady") in events_of(world, "node-1")
        await world.sleep(600)
        assert pods_left(world) == {"web"}
        web = world.api.get(Pod, "web")
        assert web is not None
        assert ready(web) == "True"

    run_world(body, **SETTINGS)


def test_nothing_is_driven_away_while_all_nodes_are_silent() -> None:
    async def body(world: World) -> None:
        laws = Laws(world)
        world.put(
            *(pod(f"web-{number}", node_name=f"node-{number}", tolerations=tolerating(0)) for number in (1, 2, 3))
        )
        await world.sleep(60)
        world.nodes.silence("node-1", "node-2", "node-3")
        await world.sleep(2000)
        assert {ready_of(world, f"node-{number}") for number in (1, 2, 3)} == {"Unknown"}
        assert taints_of(world, "node-1") == {("unreachable", "NoSchedule")}
        assert not laws.given_up
        assert len(pods_left(world)) == 3

    run_world(body, **SETTINGS)


def test_nodes_that_are_cut_off_in_one_moment_are_not_given_up_one_by_one() -> None:
    """Their Leases were renewed at different moments, so one is found silent when the others are not yet."""

    async def body(world: World) -> None:
        laws = Laws(world)
        names = [f"node-{number + 1}" for number in range(8)]
        world.put(*(placed(f"web-{name}", name, seconds=0) for name in names))
        for tick in range(80):
            if tick % 8 == 0:
                renewals = world.random.sample(names, len(names))
            world.put(lease(renewals[tick % 8], "x", leaseTransitions=tick))
            await world.sleep(1.25)
        await world.sleep(300)
        assert {ready_of(world, name) for name in names} == {"Unknown"}
        assert not laws.given_up
        assert len(pods_left(world)) == 8

    for seed in range(3):
        run_world(body, seed=seed, **{**SETTINGS, "nodes": 8, "leases": False})


def test_what_was_given_up_is_taken_back_when_the_last_node_is_lost() -> None:
    async def body(world: World) -> None:
        laws = Laws(world)
        world.put(*(placed(f"web-{number}", f"node-{number}") for number in (1, 2, 3)))
        await world.sleep(60)
        world.nodes.silence("node-1")
        await world.sleep(80)
        assert ("unreachable", "NoExecute") in taints_of(world, "node-1")
        world.nodes.silence("node-2", "node-3")
        await world.sleep(1000)
        assert ("unreachable", "NoExecute") not in taints_of(world, "node-1")
        assert len(pods_left(world)) == 3
        world.nodes.speak("node-2")
        await world.sleep(30)
        assert [len(moments) for moments in laws.given_up.values()] == [1]  # the others have their whole time again
        await world.sleep(60)
        assert [len(moments) for moments in laws.given_up.values()] == [3]

    run_world(body, **SETTINGS)


@pytest.mark.parametrize("jump_s", [-7 * 3600.0, 9 * 3600.0])
def test_a_wall_clock_that_jumps_changes_nothing(jump_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {"by": 0.0}

    def clock() -> Clock:
        loop = asyncio.get_running_loop()
        return Clock(wall=lambda: virtual_time.EPOCH_S + loop.time() + wrong["by"], monotonic=loop.time)

    monkeypatch.setattr(virtual_time, "clock", clock)

    async def body(world: World) -> None:
        Laws(world)
        world.put(placed("web", "node-1"), placed("other", "node-2"))
        await world.sleep(100)
        wrong["by"] = jump_s
        await world.sleep(100)
        assert {ready_of(world, f"node-{number}") for number in (1, 2, 3)} == {"True"}
        world.nodes.silence("node-1")
        await world.sleep(100)
        assert ready_of(world, "node-1") == "Unknown"
        wrong["by"] = -jump_s
        await world.sleep(200)
        assert pods_left(world) == {"web", "other"}
        await world.sleep(120)
        assert pods_left(world) == {"other"}

    run_world(body, **SETTINGS)


def pause(seconds: float) -> None:
    """Everything stands still for a while: afterwards all timers are late."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, virtual_time.VirtualLoop)
    loop.now_s += seconds


@pytest.mark.parametrize("seconds", [60, 400, 4000])
@pytest.mark.parametrize("slow", [("node-2", "node-3"), ()], ids=["all nodes are slow", "one node is slow"])
def test_who_was_paused_blames_nobody(seconds: float, slow: tuple[str, ...]) -> None:
    async def body(world: World) -> None:
        Laws(world)
        world.put(placed("web", "node-1"), placed("other", "node-2"))
        await world.sleep(100)
        world.nodes.silence("node-1")
        await world.sleep(88)
        assert ready_of(world, "node-1") == "Unknown"
        pause(seconds)
        world.nodes.silence(*slow)  # they need some time too
        await world.sleep(30)
        assert ready_of(world, "node-2") == "True"
        assert pods_left(world) == {"web", "other"}
        world.nodes.speak("node-1", "node-2", "node-3")
        await world.sleep(1000)
        assert pods_left(world) == {"web", "other"}
        assert {ready_of(world, f"node-{number}") for number in (1, 2, 3)} == {"True"}
        assert not [each for each in world.api.objects(Node) if each.spec.taints]

    run_world(body, **SETTINGS)


def test_no_pod_goes_while_the_last_nodes_seem_to_be_lost() -> None:
    async def body(world: World) -> None:
        laws = Laws(world)
        world.put(placed("web", "node-1", seconds=100))
        await world.sleep(65)
        world.nodes.silence("node-1")
        await world.sleep(110)  # so that it is seen before the pod's time is over, and not in the same moment
        world.nodes.silence("node-2", "node-3")
        await world.sleep(20)
        assert ready_of(world, "node-2") == "True"
        await world.sleep(1000)
        assert laws.evicted == []

    run_world(body, **SETTINGS)


def test_a_new_leader_watches_for_a_whole_grace_period_first() -> None:
    async def body(world: World) -> None:
        laws = Laws(world)
        await world.sleep(50)
        await world.restart()
        world.put(pod("web", node_name="node-1", tolerations=tolerating(0)))
        world.nodes.silence("node-1")
        for _ in range(6):
            await world.sleep(35)
            await world.restart()
        assert ready_of(world, "node-1") == "True"
        await world.sleep(55)
        assert ready_of(world, "node-1") == "Unknown"
        assert laws.evicted == ["web"]

    run_world(body, **SETTINGS)


def test_a_watch_that_is_behind_makes_no_node_look_dead() -> None:
    async def body(world: World) -> None:
        Laws(world)
        world.put(pod("web", node_name="node-1", tolerations=tolerating(0)))
        await world.sleep(30)
        world.api.faults.watch_lag_s = (300.0, 300.0)
        world.api.break_watches()
        await world.sleep(600)
        assert {ready_of(world, f"node-{number}") for number in (1, 2, 3)} == {"True"}
        assert pods_left(world) == {"web"}

    run_world(body, **SETTINGS)


def test_a_node_that_says_it_is_not_ready_loses_its_pods_too() -> None:
    async def body(world: World) -> None:
        Laws(world)
        world.put(placed("web", "node-1"))
        await world.sleep(60)
        status = {"conditions": [{"type": "Ready", "status": "False", "reason": "KubeletNotReady"}]}
        await world.client.patch(Node, "node-1", {"status": status}, Patch.STRATEGIC, subresource="status")
        await world.sleep(20)
        assert taints_of(world, "node-1") == {("not-ready", "NoSchedule"), ("not-ready", "NoExecute")}
        world.nodes.silence("node-1")
        await world.sleep(100)
        assert taints_of(world, "node-1") == {("unreachable", "NoSchedule"), ("unreachable", "NoExecute")}
        await world.sleep(210)
        assert pods_left(world) == set()  # its time went on

    run_world(body, **SETTINGS)


def test_a_new_leader_takes_its_time_also_for_a_node_that_says_it_is_not_ready() -> None:
    async def body(world: World) -> None:
        Laws(world)
        await world.sleep(60)
        status = {"conditions": [{"type": "Ready", "status": "False", "reason": "KubeletNotReady"}]}
        await world.client.patch(Node, "node-1", {"status": status}, Patch.STRATEGIC, subresource="status")
        await world.sleep(20)
        world.put(placed("stays", "node-2"))
        await world.restart()
        world.put(placed("web", "node-1", seconds=0))
        await world.sleep(30)
        assert pods_left(world) == {"web", "stays"}
        await world.sleep(30)
        assert pods_left(world) == {"stays"}

    run_world(body, **SETTINGS)


def test_conditions_and_cordons_keep_new_pods_away() -> None:
    async def body(world: World) -> None:
        await world.sleep(10)
        status = {"conditions": [{"type": "DiskPressure", "status": "True"}]}
        await world.client.patch(Node, "node-1", {"status": status}, Patch.STRATEGIC, subresource="status")
        await world.client.patch(Node, "node-2", {"spec": {"unschedulable": True}})
        await world.settle()
        assert taints_of(world, "node-1") == {("disk-pressure", "NoSchedule")}
        assert taints_of(world, "node-2") == {("unschedulable", "NoSchedule")}
        await world.client.patch(Node, "node-2", {"spec": {"unschedulable": None}})
        status = {"conditions": [{"type": "DiskPressure", "status": "False"}]}
        await world.client.patch(Node, "node-1", {"status": status}, Patch.STRATEGIC, subresource="status")
        await world.settle()
        assert taints_of(world, "node-1") == taints_of(world, "node-2") == set()

    run_world(body, **SETTINGS)


def test_a_taint_that_people_set_drives_pods_away_at_once_or_in_time() -> None:
    async def body(world: World) -> None:
        Laws(world)
        mine = {"key": "mine", "operator": "Exists", "effect": "NoExecute"}
        world.put(placed("plain", "node-1"))
        world.put(pod("soon", node_name="node-1", tolerations=[{**mine, "tolerationSeconds": 60}]))
        world.put(pod("stays", node_name="node-1", tolerations=[mine]))
        await world.sleep(5)
        await world.client.patch(Node, "node-1", {"spec": {"taints": [{"key": "mine", "effect": "NoExecute"}]}})
        await world.sleep(10)
        assert pods_left(world) == {"soon", "stays"}
        await world.sleep(60)
        assert pods_left(world) == {"stays"}

    run_world(body, **SETTINGS)


def test_a_node_that_never_spoke_has_longer() -> None:
    async def body(world: World) -> None:
        await world.sleep(60)
        world.put(made(Node, "node-9"))
        world.nodes.silence("node-9")
        await world.sleep(55)
        assert ready_of(world, "node-9") == ""
        await world.sleep(20)
        conditions = {each.type: each for each in found(world, "node-9").status.conditions}
        assert conditions["Ready"].status == "Unknown"
        assert conditions["Ready"].message == "Kubelet never posted node status."
        assert events_of(world, "node-9")[0] == (
            "RegisteredNode",
            "Node node-9 event: Registered Node node-9 in Controller",
        )

    run_world(body, **SETTINGS)


@pytest.mark.parametrize(("nodes", "lost", "given_up"), [(5, 3, 0), (60, 40, 6), (60, 20, 20)])
def test_how_fast_a_zone_is_given_up(nodes: int, lost: int, given_up: int) -> None:
    """Most of a small zone: not at all. Most of a large one: slowly. Few of one: at the usual rate."""

    async def body(world: World) -> None:
        laws = Laws(world)
        world.put(node("elsewhere", zone="other"))
        await world.sleep(60)
        world.nodes.silence(*(f"node-{number + 1}" for number in range(lost)))
        await world.sleep(600)
        laws.check_rate(world.options.node_eviction_rate)
        assert len(laws.given_up[""]) in range(given_up - 1 if given_up else 0, given_up + 2)

    run_world(body, **{**SETTINGS, "nodes": nodes})


def test_nothing_is_written_while_all_is_well() -> None:
    async def body(world: World) -> None:
        world.put(placed("web", "node-1"))
        await world.sleep(60)
        begin = asyncio.get_running_loop().time()
        await world.sleep(7200)
        assert world.written(begin, ignoring=()) == []

    run_world(body, **SETTINGS)


def test_a_shorter_grace_period_is_kept_too() -> None:
    async def body(world: World) -> None:
        Laws(world)
        await world.sleep(60)
        world.nodes.silence("node-1")
        await world.sleep(27)
        assert ready_of(world, "node-1") == "Unknown"

    run_world(body, **{**SETTINGS, "options": Options(node_grace_s=20.0)})


def test_a_pod_that_may_not_be_written_keeps_none_of_the_others_from_being_told() -> None:
    async def body(world: World) -> None:
        world.api.denied.add("/pods/b/status")
        world.put(*(placed(name, "node-1", seconds=None) for name in "abc"))
        await world.sleep(60)
        world.nodes.silence("node-1")
        await world.sleep(100)
        assert {each.metadata.name: ready(each) for each in world.api.objects(Pod)} == {
            "a": "False",
            "b": "True",
            "c": "False",
        }

    run_world(body, **SETTINGS)
