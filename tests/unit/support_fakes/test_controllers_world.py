"""The world of controllers, with the smallest controller there is: one that makes pods for a ReplicaSet."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from controllers_world import World, run_world, seeds, stormy
from controllers_world_objects import node, owner_of, pod, replica_set
from fake_api import Faults

from apiserver.api.apps import ReplicaSet
from apiserver.api.coordination import Lease
from apiserver.api.core.node import Node
from apiserver.api.core.pod import Pod
from apiserver.api.meta import DeleteOptions
from controlplane.runtime.caches import Caches
from controlplane.runtime.context import Context
from controlplane.runtime.controller import Source, controller, controller_key, own_key
from controlplane.runtime.reconciler import DONE, Part, Request, Result


class Small:
    """Pods have the names 0, 1, ..., so that nothing is ever made twice."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._caches: Caches = context.caches

    async def reconcile(self, request: Request) -> Result:
        owner = self._caches.replica_sets.cache.get(request.name, namespace=request.namespace)
        if owner is None:
            return DONE
        for number in range(owner.spec.replicas or 0):
            name = f"{request.name}-{number}"
            if self._caches.pods.cache.get(name, namespace=request.namespace) is None:
                await self._client.create(pod(name, metadata={"ownerReferences": [owner_of(owner)]}))
        return DONE


def small(context: Context) -> Sequence[Part]:
    caches = context.caches
    sources = [Source(caches.replica_sets, own_key), Source(caches.pods, controller_key("ReplicaSet"))]
    return [controller(context, "small", Small(context), sources)]


def broken(context: Context) -> Sequence[Part]:
    class Broken:
        async def reconcile(self, request: Request) -> Result:
            raise KeyError("a bug")

    return [controller(context, "broken", Broken(), [Source(context.caches.replica_sets, own_key)])]


def ready(each: Pod) -> bool:
    return any(condition.type == "Ready" and condition.status == "True" for condition in each.status.conditions)


@seeds(40)
def test_a_world_converges_whatever_happens(seed: int) -> None:
    async def body(world: World) -> None:
        await world.client.create(replica_set("web", 5))
        world.crash_after(1 + seed % 5)
        await world.settle()
        world.api.heal()
        await world.settle()
        pods = world.api.objects(Pod)
        assert [each.metadata.name for each in pods] == [f"web-{number}" for number in range(5)]
        assert all(ready(each) and each.spec.node_name and each.status.pod_ip for each in pods)
        assert world.restarts == 1
        assert world.written()[-1].kind == "Pod"

    run_world(body, seed=seed, parts=[small], nodes=3, faults=stormy(seed))


@seeds(5)
def test_a_seed_replays_a_world(seed: int) -> None:
    logs = []

    async def body(world: World) -> None:
        await world.client.create(replica_set("web", 5))
        await world.settle()
        logs.append(world.api.log)

    for _ in range(2):
        faults = Faults(latency_s=(0.0, 0.1), lost_requests=0.3)
        run_world(body, seed=seed, parts=[small], nodes=3, faults=faults)
    assert logs[0] == logs[1]
    assert len(logs[0]) > 15


def test_an_invariant_that_breaks_fails_the_test_with_the_seed_and_the_writes() -> None:
    def at_most_three(verb: str, old: object, new: object) -> None:
        assert not (isinstance(new, Pod) and new.metadata.name == "web-3"), "too many"

    async def body(world: World) -> None:
        world.check(at_most_three)
        world.put(replica_set("web", 5))
        await world.settle()

    with pytest.raises(AssertionError, match="too many") as raised:
        run_world(body, seed=8, parts=[small])
    notes = "\n".join(raised.value.__notes__)
    assert "KMINI_SEED=8" in notes
    assert "create Pod default/web-3" in notes


def test_a_bug_of_a_reconciler_is_a_failure_though_it_is_retried() -> None:
    async def body(world: World) -> None:
        world.put(replica_set("web"))
        await world.settle()

    with pytest.raises(KeyError, match="a bug"):
        run_world(body, parts=[broken])


def test_a_part_that_ends_is_a_failure() -> None:
    class Ends:
        name = "ends"

        async def run(self) -> None:
            await asyncio.sleep(1)

    async def body(world: World) -> None:
        await world.sleep(10)

    with pytest.raises(ExceptionGroup) as raised:
        run_world(body, parts=[lambda context: [Ends()]])
    assert "ends has ended by itself" in str(raised.value.exceptions[0])


def test_a_world_that_does_not_come_to_rest_says_what_is_written() -> None:
    class Restless:
        name = "restless"

        def __init__(self, context: Context) -> None:
            self._client = context.client

        async def run(self) -> None:
            number = 0
            while True:
                number += 1
                await self._client.patch(Node, "node-1", {"metadata": {"labels": {"n": str(number)}}})
                await asyncio.sleep(5)

    async def body(world: World) -> None:
        await world.settle(limit_s=100)

    with pytest.raises(AssertionError, match=r"(?s)does not settle within 100 s.*update Node /node-1"):
        run_world(body, parts=[lambda context: [Restless(context)]], nodes=1)


def test_a_restart_stops_what_was_under_way() -> None:
    async def body(world: World) -> None:
        world.api.faults.latency_s = (1.0, 1.0)
        world.put(replica_set("web", 1))
        await world.sleep(2.5)  # the lists are there, and the creation is on its way
        await world.restart(down_s=100)
        assert not [each for each in world.api.log if each.kind == "Pod" and each.at_s < 100]
        await world.settle()
        assert len(world.api.objects(Pod)) == 1

    run_world(body, parts=[small], nodes=1)


def test_pods_go_as_their_outcome_says() -> None:
    def outcome(each: Pod) -> str:
        return each.metadata.name

    async def body(world: World) -> None:
        world.nodes.outcome = outcome  # type: ignore[assignment]
        names = ("ready", "running", "waiting", "succeeded", "failed")
        world.put(*(pod(name, node_name="node-1") for name in names))
        await world.settle()
        phases = {each.metadata.name: (each.status.phase, ready(each)) for each in world.api.objects(Pod)}
        assert phases == {
            "ready": ("Running", True),
            "running": ("Running", False),
            "waiting": ("Pending", False),
            "succeeded": ("Succeeded", False),
            "failed": ("Failed", False),
        }

    run_world(body, nodes=1)


def test_a_bound_pod_is_gone_once_its_node_has_ended_it_and_a_silent_node_ends_nothing() -> None:
    async def body(world: World) -> None:
        world.put(pod("a", node_name="node-1"), pod("b", node_name="node-2"), pod("unbound"))
        await world.settle()
        world.nodes.silence("node-2")
        for name in ("a", "b"):
            await world.client.delete(Pod, name, options=DeleteOptions(grace_period_seconds=10))
        await world.settle()
        left = [each for each in world.api.objects(Pod) if each.metadata.name != "unbound"]
        assert [(each.metadata.name, each.metadata.deletion_grace_period_seconds) for each in left] == [("b", 10)]
        world.nodes.speak("node-2")
        await world.settle()
        assert [each.metadata.name for each in world.api.objects(Pod)] == ["unbound"]

    run_world(body, nodes=2, binds=False)


def test_leases_are_renewed_while_a_node_speaks() -> None:
    async def body(world: World) -> None:
        await world.sleep(100)
        world.nodes.silence("node-2")
        world.put(node("node-3"))
        await world.sleep(100)
        clock = world.term.context.clock if world.term else None
        assert clock is not None
        ages = {each.metadata.name: clock.age_s(each.spec.renew_time or "") for each in world.api.objects(Lease)}
        assert ages["node-1"] <= 10
        assert ages["node-2"] >= 100
        assert ages["node-3"] <= 10
        world.nodes.speak("node-2")
        renewed = world.api.get(Lease, "node-2", "kube-node-lease")
        assert renewed is not None
        assert clock.age_s(renewed.spec.renew_time or "") <= 1

    run_world(body, nodes=2, leases=True)


def test_two_worlds_share_one_api() -> None:
    async def body(world: World) -> None:
        async with World([small], api=world.api, name="second") as second:
            await world.client.create(replica_set("web", 3))
            await second.settle(failing=True)
            assert len(world.api.objects(Pod)) == 3
            assert len(world.written()) + len(second.written()) == 3

    run_world(body, parts=[small], nodes=1)


def test_a_term_ends_with_its_world_and_nothing_goes_on() -> None:
    async def body(world: World) -> None:
        world.put(replica_set("web", 1))
        await world.settle()
        assert world.api.get(ReplicaSet, "web") is not None

    run_world(body, parts=[small], nodes=1)  # virtual time refuses to end with a task that is left
