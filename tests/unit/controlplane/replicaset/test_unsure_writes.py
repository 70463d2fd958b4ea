"""A ReplicaSet whose cache is behind, or whose writes have no answer: every pod counts once."""

from __future__ import annotations

import pytest
from controllers_world import World, run_world
from controllers_world_objects import owner_of, pod, replica_set
from fake_api import Faults
from replica_set_world import (
    LABELS,
    WEB,
    found,
    mine,
    poke,
    resize,
    run,
)
from workload_invariants import Rules

from apiserver.api.core.pod import Pod
from apiserver.api.errors import ServiceUnavailable
from controlplane.controllers.replicaset.expectations import Books, Expectations
from controlplane.controllers.replicaset.pods import PodWriter
from controlplane.controllers.replicaset.reconciler import ReplicaSetReconciler
from controlplane.runtime import Request

# --- stale caches, lost answers -------------------------------------------------------------------------


def test_a_cache_that_is_behind_makes_no_pod_too_many() -> None:
    async def body(world: World) -> None:
        Rules(world).watch()
        world.put(replica_set(WEB, 5))
        for replicas in (3, 8, 1, 6, 0, 4):
            await world.sleep(7)
            await resize(world, replicas)
            poke(world)
        await world.settle()
        assert len(mine(world)) == 4

    for seed in range(10):
        run(body, seed=seed, faults=Faults(watch_lag_s=(0.0, 10.0), of=("controllers",)))


@pytest.mark.parametrize("fault", ["lost_answers", "lost_requests"])
def test_a_write_without_an_answer_counts_once(fault: str) -> None:
    async def body(world: World) -> None:
        Rules(world).watch()
        world.api.faults.of = ("controllers",)
        setattr(world.api.faults, fault, 0.5)
        world.put(replica_set(WEB, 6))
        await world.sleep(300)
        await resize(world, 2)
        await world.sleep(60)
        world.api.heal()
        await world.settle()
        assert len(mine(world)) == 2
        assert len({each.name for each in world.api.log if each.kind == "Pod" and each.verb == "create"}) == 6

    for seed in range(10):
        run(body, seed=seed)


def test_a_pod_that_came_and_went_unseen_is_not_waited_for_for_ever() -> None:
    async def body(world: World) -> None:
        world.put(replica_set(WEB, 1))
        await world.settle()
        assert world.term is not None
        world.api.faults.watch_lag_s = (20.0, 20.0)
        world.api.remove(Pod, mine(world)[0].metadata.name)
        await world.sleep(21)
        (second,) = mine(world)
        world.api.remove(Pod, second.metadata.name)
        world.api.compact()
        world.api.heal()
        await world.sleep(60)
        assert len(mine(world)) == 1

    run(body)


def test_a_pod_that_has_the_name_of_one_that_was_to_go_is_left_alone() -> None:
    async def body(world: World) -> None:
        world.put(replica_set(WEB, 1))
        await world.settle()
        old = mine(world)[0]
        owner = found(world)
        world.api.remove(Pod, old.metadata.name)
        world.put(pod(old.metadata.name, labels={"app": "other"}))
        assert world.term is not None
        context = world.term.context
        expectations = Expectations(owner.metadata.uid, context.clock.monotonic)
        assert await PodWriter(context).delete(owner, [old], expectations) is None
        assert expectations.is_going(old)
        assert world.api.get(Pod, old.metadata.name) is not None

    run(body)


def test_a_deletion_without_an_answer_is_not_forgotten_when_its_repetition_is_refused() -> None:
    """The first one may have happened: another pod must not be taken in its place."""

    async def body(world: World) -> None:
        owner = world.api.put(replica_set(WEB, 0))
        there = world.api.put(pod("web-1", labels=LABELS, metadata={"ownerReferences": [owner_of(owner)]}))
        assert world.term is not None
        context = world.term.context
        writer = PodWriter(context)
        expectations = Expectations(owner.metadata.uid, context.clock.monotonic)
        world.api.faults.lost_answers = 1.0
        assert await writer.delete(owner, [there], expectations) is not None
        world.api.heal()
        world.api.faults.refused = 1.0
        with pytest.raises(ServiceUnavailable):
            await writer.settle(owner, expectations, seen=0)
        assert expectations.is_going(there)
        world.api.heal()
        await writer.settle(owner, expectations, seen=0)
        assert not expectations.deleting[there.metadata.uid].unsure

    run_world(body, parts=[])


def test_what_was_awaited_and_is_not_wanted_any_more_leaves_the_status() -> None:
    """Nothing but another look says that it does not exist: no event will come."""

    async def body(world: World) -> None:
        owner = world.api.put(replica_set(WEB, 0))
        await world.settle()
        assert world.term is not None
        context = world.term.context
        books = Books(context.clock.monotonic)
        expectations = books.of(Request.of(owner), owner.metadata.uid)
        expectations.expect_creation("web-lost")
        expectations.creating["web-lost"].unsure = True
        result = await ReplicaSetReconciler(context, books).reconcile(Request.of(owner))
        assert expectations.fulfilled
        assert result.requeue_after_s == 0

    run(body)


def test_pods_that_were_just_made_are_in_the_status_before_the_cache_shows_them() -> None:
    """A Deployment reckons with them: it must not take them for missing."""

    async def body(world: World) -> None:
        await world.sleep(1)
        world.api.faults.watch_lag_s = (10.0, 10.0)
        world.put(replica_set(WEB, 5))
        await world.sleep(15)
        assert len(mine(world)) == 5
        assert found(world).status.replicas == 5
        assert found(world).status.fully_labeled_replicas == 0

    run(body)


def test_pods_that_are_not_certain_to_go_still_count_but_are_not_available() -> None:
    async def body(world: World) -> None:
        world.put(replica_set(WEB, 3))
        await world.settle()
        world.api.faults.of = ("controllers",)
        world.api.faults.lost_requests = 0.5
        await resize(world, 1)
        for _ in range(200):
            await world.sleep(0.01)
            status = found(world).status
            assert status.replicas >= len(mine(world))
            assert status.available_replicas <= len(mine(world)) or status.observed_generation == 1
        world.api.heal()
        await world.settle()
        assert found(world).status.replicas == 1

    for seed in range(10):
        run(body, seed=seed)


def test_a_deletion_without_an_answer_is_not_tried_again_when_the_pod_is_wanted_by_now() -> None:
    async def body(world: World) -> None:
        owner = world.api.put(replica_set(WEB, 1))
        there = world.api.put(pod("web-1", labels=LABELS, metadata={"ownerReferences": [owner_of(owner)]}))
        assert world.term is not None
        context = world.term.context
        expectations = Expectations(owner.metadata.uid, context.clock.monotonic)
        expectations.expect_deletion(there)
        expectations.deleting[there.metadata.uid].unsure = True
        await PodWriter(context).settle(owner, expectations, seen=0)
        assert expectations.fulfilled
        assert [each.metadata.name for each in mine(world)] == ["web-1"]

    run_world(body, parts=[])
