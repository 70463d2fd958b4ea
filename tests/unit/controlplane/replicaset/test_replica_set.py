"""A ReplicaSet against the API: what it makes, takes over, lets go of, ends and says."""

from __future__ import annotations

from random import Random

import pytest
from controllers_world import World, run_world
from controllers_world_objects import namespace, owner_of, pod, replica_set
from replica_set_world import (
    LABELS,
    WEB,
    active,
    change,
    events,
    found,
    mine,
    poke,
    resize,
    run,
)
from workload_invariants import Rules

from apiserver.api.apps import ReplicaSet
from apiserver.api.core.pod import Pod
from apiserver.api.errors import Conflict
from apiserver.api.meta import DeleteOptions
from apiserver.api.selectors import from_label_selector
from controlplane.controllers.claims import Claims, Found

# --- pods -----------------------------------------------------------------------------------------------


def test_pods_are_made_of_the_template_and_told_of() -> None:
    async def body(world: World) -> None:
        wanted = replica_set(WEB, 3)
        wanted.spec.template.metadata.annotations = {"note": "x"}
        wanted.spec.template.metadata.finalizers = ["example.com/hold"]
        world.put(wanted)
        await world.settle()
        owner = found(world)
        pods = mine(world)
        assert len(pods) == 3
        for each in pods:
            meta = each.metadata
            assert meta.name.startswith("web-")
            assert len(meta.name) == len("web-") + 5
            assert meta.generate_name == "web-"
            assert meta.labels == LABELS
            assert meta.annotations == {"note": "x"}
            assert meta.finalizers == ["example.com/hold"]
            (reference,) = meta.owner_references
            assert (reference.api_version, reference.kind, reference.name) == ("apps/v1", "ReplicaSet", WEB)
            assert (reference.uid, reference.controller, reference.block_owner_deletion) == (
                owner.metadata.uid,
                True,
                True,
            )
        assert ("Normal", "SuccessfulCreate", f"Created pod: {pods[0].metadata.name}") in events(world)
        status = owner.status
        assert (status.replicas, status.fully_labeled_replicas, status.ready_replicas) == (3, 3, 3)
        assert (status.available_replicas, status.observed_generation) == (3, 1)

    run(body)


def test_names_of_pods_fit_a_host_name() -> None:
    async def body(world: World) -> None:
        world.put(replica_set("w" * 100, 1, labels=LABELS))
        await world.settle()
        (only,) = mine(world)
        assert only.metadata.name[:58] == "w" * 58
        assert len(only.metadata.name) == 63

    run(body)


def test_scaling_down_ends_pods_and_tells() -> None:
    async def body(world: World) -> None:
        world.put(replica_set(WEB, 5))
        await world.settle()
        before = {each.metadata.name for each in mine(world)}
        await resize(world, 2)
        await world.settle()
        after = {each.metadata.name for each in mine(world)}
        assert len(after) == 2
        ended = {("Normal", "SuccessfulDelete", f"Deleted pod: {name}") for name in before - after}
        assert ended <= events(world)
        assert found(world).status.replicas == 2

    run(body)


def test_pods_that_end_are_replaced_and_left_lying() -> None:
    async def body(world: World) -> None:
        world.put(replica_set(WEB, 3))
        await world.settle()
        first = mine(world)[0].metadata.name
        world.nodes.outcome = lambda each: "failed" if each.metadata.name == first else "ready"
        world.nodes.look_again()
        await world.settle()
        assert len(mine(world)) == 3
        assert len(world.api.objects(Pod)) == 4
        assert found(world).status.replicas == 3

    run(body)


def test_pods_that_are_about_to_go_are_replaced_at_once() -> None:
    async def body(world: World) -> None:
        world.nodes.stop_s = (60.0, 60.0)
        world.put(replica_set(WEB, 2))
        await world.settle()
        await world.client.delete(Pod, mine(world)[0].metadata.name, namespace="default")
        await world.sleep(30)
        assert len(mine(world)) == 2
        assert len(world.api.objects(Pod)) == 3

    run(body)


def test_a_thousand_pods_come_in_few_reconciliations() -> None:
    async def body(world: World) -> None:
        Rules(world).watch()
        world.put(replica_set(WEB, 1000, pod={"cpu": "", "memory": ""}))
        await world.settle()
        assert len(mine(world)) == 1000
        writes = [each for each in world.written() if each.kind == "ReplicaSet"]
        assert len(writes) < 10

    run(body, nodes=0)


def test_many_pods_that_report_many_things_are_counted_now_and_then() -> None:
    async def body(world: World) -> None:
        world.put(replica_set(WEB, 300, pod={"cpu": "", "memory": ""}))
        await world.settle()
        assert found(world).status.available_replicas == 300
        assert len([each for each in world.written() if each.kind == "ReplicaSet"]) < 80

    run(body, nodes=5)


# --- whose pods -----------------------------------------------------------------------------------------


def test_orphans_that_fit_are_taken_over() -> None:
    async def body(world: World) -> None:
        world.put(pod("lone", labels=LABELS), pod("other", labels={"app": "other"}))
        world.put(pod("done", labels=LABELS, status={"phase": "Succeeded"}))
        world.put(replica_set(WEB, 2))
        await world.settle()
        assert {each.metadata.name for each in mine(world)} >= {"lone"}
        assert len(mine(world)) == 2
        assert not world.api.get(Pod, "other").metadata.owner_references  # type: ignore[union-attr]
        assert not world.api.get(Pod, "done").metadata.owner_references  # type: ignore[union-attr]

    run(body)


def test_an_orphan_that_comes_later_is_taken_over_and_one_pod_too_many_goes() -> None:
    async def body(world: World) -> None:
        world.put(replica_set(WEB, 2))
        await world.settle()
        world.put(pod("lone", labels=LABELS))
        await world.settle()
        assert len(mine(world)) == 2
        assert len(active(world)) == 2

    run(body)


def test_a_pod_that_does_not_fit_any_more_is_let_go_and_replaced() -> None:
    async def body(world: World) -> None:
        world.put(replica_set(WEB, 2))
        await world.settle()
        name = mine(world)[0].metadata.name
        await world.client.patch(Pod, name, {"metadata": {"labels": {"app": "debug"}}}, namespace="default")
        await world.settle()
        let_go = world.api.get(Pod, name)
        assert let_go is not None
        assert let_go.metadata.owner_references == []
        assert len(mine(world)) == 2

    run(body)


def test_other_owners_of_a_pod_stay_when_it_is_taken_over_or_let_go() -> None:
    async def body(world: World) -> None:
        other = world.api.put(pod("other"))
        world.put(pod("lone", labels=LABELS, metadata={"ownerReferences": [owner_of(other, controller=False)]}))
        world.put(replica_set(WEB, 1))
        await world.settle()
        lone = world.api.get(Pod, "lone")
        assert lone is not None
        assert [each.kind for each in lone.metadata.owner_references] == ["Pod", "ReplicaSet"]
        await world.client.patch(Pod, "lone", {"metadata": {"labels": {"app": "debug"}}}, namespace="default")
        await world.settle()
        lone = world.api.get(Pod, "lone")
        assert lone is not None
        assert [each.kind for each in lone.metadata.owner_references] == ["Pod"]

    run(body)


def test_nothing_is_taken_over_by_one_that_is_about_to_go_though_the_cache_does_not_know() -> None:
    async def body(world: World) -> None:
        stale = world.api.put(replica_set(WEB, 1, metadata={"finalizers": ["example.com/hold"]}))
        lone = world.api.put(pod("lone", labels=LABELS))
        await world.client.delete(ReplicaSet, WEB, namespace="default", options=DeleteOptions())
        await world.sleep(1)
        assert world.term is not None
        context = world.term.context
        claims = Claims(context.client, context.pace, stale, from_label_selector(stale.spec.selector), Pod)
        assert await claims.settle(Found([], [lone])) == []

    run_world(body, parts=[])


def test_nothing_is_taken_over_by_one_whose_name_another_has_by_now() -> None:
    async def body(world: World) -> None:
        stale = world.api.put(replica_set(WEB, 1))
        lone = world.api.put(pod("lone", labels=LABELS))
        world.api.remove(ReplicaSet, WEB)
        world.put(replica_set(WEB, 1))
        assert world.term is not None
        context = world.term.context
        claims = Claims(context.client, context.pace, stale, from_label_selector(stale.spec.selector), Pod)
        assert await claims.settle(Found([], [lone])) == []

    run_world(body, parts=[])


def test_a_pod_that_changed_since_it_was_looked_at_is_not_taken_over() -> None:
    async def body(world: World) -> None:
        owner = world.api.put(replica_set(WEB, 1))
        lone = world.api.put(pod("lone", labels=LABELS))
        await world.client.patch(Pod, "lone", {"metadata": {"labels": {"app": "other"}}}, namespace="default")
        assert world.term is not None
        context = world.term.context
        claims = Claims(context.client, context.pace, owner, from_label_selector(owner.spec.selector), Pod)
        with pytest.raises(Conflict):
            await claims.settle(Found([], [lone]))

    run_world(body, parts=[])


# --- status ---------------------------------------------------------------------------------------------


def test_what_cannot_be_created_is_said_and_tried_ever_more_slowly() -> None:
    async def body(world: World) -> None:
        wanted = replica_set(WEB, 100)
        wanted.spec.template.spec.containers[0].image = ""
        world.put(wanted)
        await world.sleep(600)
        (condition,) = found(world).status.conditions
        assert (condition.type, condition.status, condition.reason) == ("ReplicaFailure", "True", "FailedCreate")
        assert "image" in condition.message
        told = {message for _, reason, message in events(world) if reason == "FailedCreate"}
        assert all(message.startswith("Error creating: ") for message in told)
        assert told
        assert world.api.requests < 200
        await change(world, lambda each: setattr(each.spec.template.spec.containers[0], "image", "app:1"))
        await world.settle()
        assert found(world).status.conditions == []
        assert len(mine(world)) == 100

    run(body)


def test_nothing_is_said_while_the_namespace_goes_away() -> None:
    async def body(world: World) -> None:
        world.put(namespace("going"))
        await world.sleep(1)
        going = namespace("going", deletionTimestamp="2026-01-01T00:00:00Z")
        going.status.phase = "Terminating"
        going.spec.finalizers = ["kubernetes"]
        there = world.api.put(replica_set(WEB, 0, namespace="going"))
        await world.settle()
        world.put(going)
        there = world.api.get(ReplicaSet, WEB, "going") or there
        there.spec.replicas = 2
        there.metadata.generation += 1
        world.put(there)
        await world.sleep(60)
        assert world.api.objects(Pod) == []
        there = world.api.get(ReplicaSet, WEB, "going") or there
        assert there.status.observed_generation == 2
        assert there.status.conditions == []
        assert events(world) == set()

    run(body)


def test_pods_become_available_by_the_clock_alone() -> None:
    async def body(world: World) -> None:
        world.put(replica_set(WEB, 3, minReadySeconds=60))
        await world.sleep(30)
        status = found(world).status
        assert (status.ready_replicas, status.available_replicas) == (3, 0)
        before = len(world.written())
        await world.sleep(60)
        assert found(world).status.available_replicas == 3
        assert 1 <= len(world.written()) - before <= 3

    run(body)


def test_pods_without_all_labels_of_the_template_are_not_fully_labeled() -> None:
    async def body(world: World) -> None:
        wanted = replica_set(WEB, 2)
        world.put(pod("lone", labels=LABELS))
        wanted.spec.template.metadata.labels = LABELS | {"tier": "front"}
        world.put(wanted)
        await world.settle()
        assert found(world).status.replicas == 2
        assert found(world).status.fully_labeled_replicas == 1

    run(body)


def test_a_status_that_somebody_spoiled_is_put_right() -> None:
    async def body(world: World) -> None:
        world.put(replica_set(WEB, 2))
        await world.settle()
        await world.client.patch(
            ReplicaSet, WEB, {"status": {"replicas": 7}}, namespace="default", subresource="status"
        )
        await world.settle()
        assert found(world).status.replicas == 2

    run(body)


def test_nothing_is_written_when_nothing_happens() -> None:
    async def body(world: World) -> None:
        world.put(replica_set(WEB, 3))
        await world.settle()
        before = len(world.written(ignoring=()))
        await world.sleep(3600)
        poke(world)
        await world.sleep(60)
        await world.restart()
        await world.sleep(60)
        assert world.written(ignoring=())[before:] == []

    run(body)


def test_one_that_is_deleted_is_forgotten_and_its_successor_begins_anew() -> None:
    async def body(world: World) -> None:
        world.put(replica_set(WEB, 2))
        await world.settle()
        world.api.remove(ReplicaSet, WEB)
        for each in mine(world):
            world.api.remove(Pod, each.metadata.name)
        world.put(replica_set(WEB, 3))
        await world.settle()
        assert len(mine(world)) == 3

    run(body, seed=Random(1).randint(0, 9))
