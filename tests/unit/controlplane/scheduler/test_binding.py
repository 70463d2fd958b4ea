"""How bindings end: answered, refused, or nobody knows; and two schedulers that want the same room."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from controllers_world import Bugs, World, run_world, seeds, stormy
from controllers_world_objects import node, pod
from fake_api import Faults
from scheduler_invariants import SchedulingRules

from apiserver.api.core.event import Event
from apiserver.api.core.pod import Pod
from apiserver.api.errors import Conflict
from apiserver.client.pods import bind
from controlplane.scheduler import parts
from controlplane.scheduler.scheduler import Scheduler


def run(body: Any, *, seed: int = 0, **settings: Any) -> None:
    async def ruled(world: World) -> None:
        rules = SchedulingRules(world.api)
        world.check(rules.written)
        await body(world)
        await world.settle(limit_s=3_600)
        rules.all_that_fits_is_bound()

    run_world(ruled, seed=seed, parts=[parts], binds=False, **settings)


def scheduler_of(world: World) -> Scheduler:
    assert world.term is not None
    found = [part for part in world.term.parts if isinstance(part, Scheduler)]
    return found[0]


def bound(world: World) -> dict[str, str]:
    return {each.metadata.name: each.spec.node_name for each in world.api.objects(Pod)}


# --- nobody knows -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["lost_answers", "lost_requests"])
def test_when_no_answer_comes_the_pod_is_read_and_bound_once(what: str) -> None:
    async def body(world: World) -> None:
        setattr(world.api.faults, what, 1.0)
        world.put(node("n1", cpu="1"), pod("a", cpu="1"))
        await world.sleep(5)
        setattr(world.api.faults, what, 0.0)
        await world.settle()
        assert bound(world) == {"a": "n1"}

    run(body, faults=Faults(of=("controllers",)))


def test_room_is_kept_for_as_long_as_nobody_knows_how_a_binding_ended() -> None:
    async def body(world: World) -> None:
        world.put(node("n1", cpu="1"))
        await world.settle()
        world.api.faults.lost_answers = 1.0
        world.put(pod("a", cpu="1"))
        await world.sleep(0.3)  # the binding is on its way
        world.api.faults.watch_lag_s = (500.0, 500.0)
        await world.sleep(0.5)  # it has happened
        world.api.faults.refused = 1.0  # no read is answered either
        await world.sleep(400)
        scheduler = scheduler_of(world)
        assert list(bound(world).values()) == ["n1"]
        assert len(scheduler.assumptions) == 1
        world.api.faults = Faults(of=("controllers",))
        world.put(pod("b", cpu="1"))
        await world.sleep(200)
        assert bound(world) == {"a": "n1", "b": ""}
        assert not len(scheduler.assumptions)

    run(body, faults=Faults(of=("controllers",), latency_s=(0.5, 0.5)))


# --- refused ----------------------------------------------------------------------------------------------


def test_a_pod_that_changed_under_its_binding_is_decided_anew_at_once() -> None:
    """Its labels change while the scheduler's cache lags behind: the version no longer is that of the decision."""

    async def body(world: World) -> None:
        world.put(node("n1"), pod("a"))
        world.api.faults.watch_lag_s = (3.0, 3.0)
        await world.client.patch(Pod, "a", {"metadata": {"labels": {"new": "yes"}}}, namespace="default")
        await world.sleep(1.0)
        assert bound(world) == {"a": "n1"}

    run(body, faults=Faults(of=("controllers",), latency_s=(0.05, 0.05)))


def test_a_pod_that_became_another_on_the_way_to_its_node_does_not_get_there() -> None:
    """What is on the node will not have a pod with the label that it has by now."""

    async def body(world: World) -> None:
        term = {"labelSelector": {"matchLabels": {"app": "loud"}}, "topologyKey": "kubernetes.io/hostname"}
        away = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
        world.put(node("n1"), pod("shy", node_name="n1", affinity=away))
        await world.settle()
        world.put(pod("a"))
        await world.sleep(0.3)
        await world.client.patch(Pod, "a", {"metadata": {"labels": {"app": "loud"}}}, namespace="default")
        await world.sleep(30)
        assert bound(world) == {"a": "", "shy": "n1"}

    run(body, faults=Faults(of=("controllers",), latency_s=(0.5, 0.5)))


def test_a_pod_that_somebody_else_bound_is_left_there() -> None:
    async def body(world: World) -> None:
        world.put(node("n1"), node("n2", taints=[{"key": "k", "effect": "NoSchedule"}]), pod("a"))
        world.api.faults.watch_lag_s = (3.0, 3.0)
        await bind(world.client, "a", "n2", namespace="default")
        await world.settle()
        assert bound(world) == {"a": "n2"}
        found = scheduler_of(world).snapshot.node("n1")
        assert found is not None
        assert not found.pods

    run(body, faults=Faults(of=("controllers",), latency_s=(0.05, 0.05)))


def test_a_node_that_will_not_have_a_pod_is_told_and_tried_again() -> None:
    """The node gets smaller while the binding is on its way."""

    async def body(world: World) -> None:
        world.put(node("n1", cpu="2"))
        await world.settle()
        world.put(pod("a", cpu="2"))
        await world.sleep(0.3)
        world.put(node("n1", cpu="1"))
        await world.sleep(5)
        assert bound(world) == {"a": ""}
        messages = [each.message for each in world.api.objects(Event) if each.reason == "FailedScheduling"]
        assert any("node n1 has not enough cpu" in each for each in messages), messages

    run(body, faults=Faults(of=("controllers",), latency_s=(0.5, 0.5)))


def test_a_binding_names_the_version_it_was_decided_for() -> None:
    async def body(world: World) -> None:
        world.put(node("n1"))
        await world.settle()
        old = world.api.put(pod("a", schedulerName="nobody"))
        await world.client.patch(Pod, "a", {"metadata": {"labels": {"new": "yes"}}}, namespace="default")
        with pytest.raises(Conflict):
            await bind(world.client, "a", "n1", namespace="default", resource_version=old.metadata.resource_version)
        await bind(world.client, "a", "n1", namespace="default")

    run(body)


# --- two schedulers ---------------------------------------------------------------------------------------


@seeds(20)
def test_two_schedulers_never_over_commit_a_node_and_bind_all_that_fits(seed: int) -> None:
    """Both see the same pods, and neither knows what the other intends."""

    async def body(world: World) -> None:
        async with World([parts], seed=seed + 1, api=world.api, name="other") as other:
            for number in range(6):
                world.put(node(f"n{number}", cpu="2", pods=4))
            for number in range(30):
                world.put(pod(f"p{number}", cpu=world.random.choice(("300m", "500m", "1"))))
            await world.sleep(30)
            world.api.faults = Faults()
            await world.settle(limit_s=3_600)
            await other.settle(limit_s=3_600)

    run(body, seed=seed, faults=stormy(seed, of=("controllers", "other")))


def test_two_schedulers_share_a_cluster_by_the_pods_that_name_them() -> None:
    async def body(world: World) -> None:
        options = world.options.__class__(scheduler_name="second")
        async with World([parts], seed=7, api=world.api, name="second", options=options) as other:
            world.put(node("n1", cpu="2"))
            for number in range(10):
                world.put(pod(f"p{number}", cpu="300m", schedulerName=("default-scheduler", "second")[number % 2]))
            await world.settle()
            await other.settle()
        assert sum(bool(name) for name in bound(world).values()) == 6

    run(body)


def test_a_binding_that_breaks_is_tried_again_and_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A defect that one pod meets must not stop the scheduler, nor anything else of its term."""
    caplog.set_level(logging.CRITICAL)
    monkeypatch.setattr(Bugs, "emit", lambda *_: None)
    broken = 3

    async def breaks(*arguments: Any, **named: Any) -> None:
        nonlocal broken
        if arguments[1] == "a" and broken:
            broken -= 1
            raise ValueError("nobody thought of this")
        await bind(*arguments, **named)

    monkeypatch.setattr("controlplane.scheduler.binder.bind", breaks)

    async def body(world: World) -> None:
        world.put(node("n1"), pod("a"), pod("b"))
        await world.settle(limit_s=600)
        assert bound(world) == {"a": "n1", "b": "n1"}
        assert not broken

    run(body)
