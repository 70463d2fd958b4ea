"""The scheduler at work on the API in memory: everything that fits gets a node, and nothing else ever does."""

from __future__ import annotations

import contextlib
import itertools
from random import Random
from typing import Any

from controllers_world import World, run_world, seeds, stormy
from controllers_world_objects import node, pod
from fake_api import Faults
from scheduler_invariants import SchedulingRules

from apiserver.api.core.event import Event
from apiserver.api.core.node import Node
from apiserver.api.core.pod import Pod
from apiserver.api.errors import ApiError
from apiserver.api.meta import DeleteOptions
from controlplane.scheduler import parts


def run(body: Any, *, seed: int = 0, nodes: int = 0, **settings: Any) -> None:
    async def ruled(world: World) -> None:
        rules = SchedulingRules(world.api)
        world.check(rules.written)
        await body(world)
        rules.all_that_fits_is_bound()

    run_world(ruled, seed=seed, parts=[parts], nodes=nodes, binds=False, **settings)


def node_of(world: World, name: str) -> str:
    found = world.api.get(Pod, name)
    assert found is not None
    return found.spec.node_name


def condition_of(world: World, name: str) -> tuple[str, str, str]:
    found = world.api.get(Pod, name)
    assert found is not None
    each = next(each for each in found.status.conditions if each.type == "PodScheduled")
    return each.status, each.reason, each.message


def events_of(world: World, name: str) -> list[tuple[str, str]]:
    return [(each.reason, each.message) for each in world.api.objects(Event) if each.involved_object.name == name]


# --- one thing at a time ----------------------------------------------------------------------------------


def test_a_pod_gets_a_node_and_an_event_says_which() -> None:
    async def body(world: World) -> None:
        world.put(pod("a"))
        await world.settle()
        name = node_of(world, "a")
        assert name in ("node-1", "node-2")
        assert ("Scheduled", f"Successfully assigned default/a to {name}") in events_of(world, "a")

    run(body, nodes=2)


def test_pods_of_others_are_left_alone_and_pods_with_a_node_are_counted() -> None:
    async def body(world: World) -> None:
        world.put(node("n1", cpu="1"), pod("placed", cpu="800m", node_name="n1"))
        world.put(pod("theirs", schedulerName="mine"), pod("ours", cpu="400m"))
        await world.settle()
        assert node_of(world, "theirs") == ""
        assert node_of(world, "ours") == ""
        assert condition_of(world, "ours")[1:] == ("Unschedulable", "0/1 nodes are available: 1 Insufficient cpu.")

    run(body)


def test_a_pod_that_waits_says_why_and_is_bound_once_there_is_room() -> None:
    async def body(world: World) -> None:
        world.put(node("n1", cpu="1"), pod("a", cpu="800m", node_name="n1"), pod("b", cpu="800m"))
        await world.settle()
        text = "0/1 nodes are available: 1 Insufficient cpu."
        assert condition_of(world, "b") == ("False", "Unschedulable", text)
        assert events_of(world, "b") == [("FailedScheduling", text)]
        before = world.api.writes
        await world.sleep(120)
        assert world.api.writes == before, "nothing changed, so nothing is to be said"
        await world.sleep(1_000)  # it has been tried again by now, to no avail
        assert [each for each in world.written(30.0) if each.kind == "Pod"] == []
        await world.client.delete(Pod, "a", namespace="default")
        await world.settle()
        assert node_of(world, "b") == "n1"
        assert condition_of(world, "b")[0] == "True"

    run(body)


def test_the_first_node_is_noticed() -> None:
    async def body(world: World) -> None:
        world.put(pod("a"))
        await world.settle()
        assert condition_of(world, "a")[2] == "no nodes available to schedule pods"
        world.put(node("n1"))
        await world.settle()
        assert node_of(world, "a") == "n1"

    run(body)


def test_gates_keep_a_pod_out() -> None:
    async def body(world: World) -> None:
        await world.client.create(pod("a", schedulingGates=[{"name": "example.com/wait"}]))
        await world.settle()
        assert node_of(world, "a") == ""
        assert condition_of(world, "a")[1] == "SchedulingGated"
        await world.client.patch(Pod, "a", {"spec": {"schedulingGates": None}}, namespace="default")
        await world.settle()
        assert node_of(world, "a") == "node-1"

    run(body, nodes=1)


def test_a_higher_priority_goes_first_when_both_wait() -> None:
    async def body(world: World) -> None:
        for number in range(6):
            world.put(pod(f"p{number}", cpu="1", priority=number))
        await world.settle()
        world.put(node("n1", cpu="3"))
        await world.settle()
        assert [node_of(world, f"p{number}") for number in range(6)] == ["", "", "", "n1", "n1", "n1"]

    run(body)


# --- whatever goes wrong ----------------------------------------------------------------------------------


async def storm(world: World) -> None:
    """Pods, nodes, labels and taints come, change and go, with crashes in between; then it calms down."""
    random = world.random
    names = itertools.count()
    for _ in range(random.randrange(10, 40)):
        await one_change(world, random, f"x{next(names)}")
        await world.sleep(random.choice((0.0, 0.1, 1.0, 5.0)))
        if random.random() < 0.1:
            await world.restart()
        elif random.random() < 0.1:
            world.crash_after(random.randrange(1, 5))
    world.api.faults = Faults()
    await world.settle(limit_s=3_600)


async def one_change(world: World, random: Random, name: str) -> None:
    pods, nodes = world.api.objects(Pod), world.api.objects(Node)
    match random.randrange(7):
        case 0 | 1 | 2:
            for number in range(random.randrange(1, 6)):
                world.put(some_pod(random, f"{name}-{number}"))
        case 3:
            world.put(node(name, cpu=str(random.randrange(1, 4)), zone=random.choice("ab"), pods=5))
        case 4 if pods:
            await let_go(world, random.choice(pods))
        case 5 if nodes:
            chosen = random.choice(nodes)
            chosen.spec.unschedulable = not chosen.spec.unschedulable
            chosen.metadata.labels["tier"] = random.choice("xy")
            world.put(chosen)
        case 6 if len(nodes) > 1 and random.random() < 0.3:
            for each in pods:
                if each.spec.node_name == nodes[0].metadata.name:
                    await let_go(world, each)
            await world.client.delete(Node, nodes[0].metadata.name)


async def let_go(world: World, gone: Pod) -> None:
    options = DeleteOptions(grace_period_seconds=0)
    with contextlib.suppress(ApiError):
        await world.client.delete(Pod, gone.metadata.name, namespace="default", options=options)


def some_pod(random: Random, name: str) -> Pod:
    app = random.choice(("web", "db"))
    spec: dict[str, Any] = {"cpu": random.choice(("100m", "500m", "1")), "priority": random.randrange(3)}
    term = {"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": "kubernetes.io/hostname"}
    match random.randrange(6):
        case 0:
            spec["affinity"] = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
        case 1:
            zone = "topology.kubernetes.io/zone"
            spread = {"maxSkew": 1, "topologyKey": zone, "whenUnsatisfiable": "DoNotSchedule"}
            spec["topologySpreadConstraints"] = [{**spread, "labelSelector": {"matchLabels": {"app": app}}}]
        case 2:
            spec["nodeSelector"] = {"tier": random.choice("xy")}
        case 3:
            spec["affinity"] = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    return pod(name, labels={"app": app}, **spec)


@seeds(30)
def test_in_any_storm_nothing_is_over_committed_and_in_the_end_all_that_fits_is_bound(seed: int) -> None:
    run(storm, seed=seed, nodes=2, faults=stormy(seed))
