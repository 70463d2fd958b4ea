"""A Deployment against the API: ReplicaSets that come and go, what cannot be made, and how few writes it takes."""

from __future__ import annotations

import pytest
from controllers_world import World
from controllers_world_objects import deployment, replica_set
from deployment_world import (
    WEB,
    change,
    condition,
    found,
    reason,
    run,
    set_image,
    sets,
    sizes,
    told,
)
from workload_invariants import counts

from apiserver.api.apps import Deployment, ReplicaSet
from apiserver.api.core.pod import Pod
from controlplane.controllers.claims import controller_of
from controlplane.controllers.deployment import reconciler as reconciling
from controlplane.controllers.deployment.revisions import REVISION, new_replica_set, revision_of, view_of
from controlplane.controllers.deployment.template_hash import template_hash
from controlplane.controllers.deployment.writes import Collision, ReplicaSetWriter
from controlplane.runtime import Request

# --- whose ReplicaSets ----------------------------------------------------------------------------------


def test_replica_sets_that_fit_are_taken_over_and_count_as_old() -> None:
    async def body(world: World) -> None:
        world.put(replica_set("loose", 2, labels={"app": WEB}, image="app:0"))
        await world.settle()
        world.put(deployment(WEB, 2))
        await world.settle()
        loose = world.api.get(ReplicaSet, "loose")
        assert loose is not None
        owner = controller_of(loose)
        assert owner is not None
        assert (owner.kind, owner.name) == ("Deployment", WEB)
        assert loose.spec.replicas == 0

    run(body)


def test_one_with_the_same_template_is_the_new_one() -> None:
    async def body(world: World) -> None:
        world.put(replica_set("loose", 1, labels={"app": WEB}))
        await world.settle()
        world.put(deployment(WEB, 3))
        await world.settle()
        (only,) = world.api.objects(ReplicaSet)
        assert (only.metadata.name, only.spec.replicas, revision_of(only)) == ("loose", 3, 1)
        assert found(world).metadata.annotations[REVISION] == "1"

    run(body)


def test_one_that_does_not_fit_any_more_is_let_go_and_another_takes_its_place() -> None:
    async def body(world: World) -> None:
        world.put(deployment(WEB, 2))
        await world.settle()
        first = sets(world)[1].metadata.name
        await world.client.patch(ReplicaSet, first, {"metadata": {"labels": {"app": "debug"}}}, namespace="default")
        await world.sleep(60)
        let_go = world.api.get(ReplicaSet, first)
        assert let_go is not None
        assert controller_of(let_go) is None
        others = [each for each in world.api.objects(ReplicaSet) if each.metadata.name != first]
        assert len(others) == 1
        assert found(world).status.collision_count == 1
        assert others[0].spec.replicas == 2

    run(body)


def test_another_replica_set_with_the_name_of_the_new_one_is_avoided() -> None:
    async def body(world: World) -> None:
        wanted = deployment(WEB, 2)
        taken = f"web-{template_hash(world.api.put(deployment('probe', 0, labels={'app': WEB})).spec.template)}"
        world.api.remove(Deployment, "probe")
        world.put(replica_set(taken, 0, labels={"app": "other"}))
        world.put(wanted)
        await world.settle()
        assert found(world).status.collision_count == 1
        owned = [each for each in world.api.objects(ReplicaSet) if controller_of(each)]
        assert [each.metadata.name for each in owned] == [f"web-{template_hash(wanted.spec.template, 1)}"]
        assert owned[0].spec.replicas == 2

    run(body, seed=3)


def test_a_deployment_that_goes_is_only_watched() -> None:
    async def body(world: World) -> None:
        world.put(deployment(WEB, 2, metadata={"finalizers": ["example.com/hold"]}))
        await world.settle()
        await world.client.delete(Deployment, WEB, namespace="default")
        await set_image(world, "app:2")
        await world.settle()
        assert sizes(world) == {1: 2}
        assert found(world).status.observed_generation == found(world).metadata.generation

    run(body)


# --- failures -------------------------------------------------------------------------------------------


def test_pods_that_cannot_be_made_are_told_in_the_status() -> None:
    async def body(world: World) -> None:
        wanted = deployment(WEB, 2)
        wanted.spec.template.spec.priority_class_name = "there-is-none"
        world.put(wanted)
        await world.sleep(60)
        known = condition(world, "ReplicaFailure")
        assert known is not None
        assert (known.status, known.reason) == ("True", "FailedCreate")
        assert "there-is-none" in known.message
        await change(world, lambda each: setattr(each.spec.template.spec, "priority_class_name", ""))
        await world.settle(failing=True)
        assert condition(world, "ReplicaFailure") is None
        assert found(world).status.available_replicas == 2

    run(body)


def test_a_replica_set_that_cannot_be_made_is_told_in_the_status() -> None:
    async def body(world: World) -> None:
        wanted = deployment(WEB, 2)
        wanted.spec.template.spec.containers[0].name = "No Name"
        world.put(wanted)
        await world.sleep(60)
        known = condition(world)
        assert known is not None
        assert (known.status, known.reason) == ("False", "ReplicaSetCreateError")
        assert known.message.startswith('Failed to create new replica set "web-')
        assert told(world, "ReplicaSetCreateError") != set()
        await change(world, lambda each: setattr(each.spec.template.spec.containers[0], "name", "app"))
        await world.settle()
        assert reason(world) == "NewReplicaSetAvailable"

    run(body)


# --- few writes -----------------------------------------------------------------------------------------


def test_nothing_is_written_when_nothing_happens() -> None:
    async def body(world: World) -> None:
        world.put(deployment(WEB, 3))
        await world.settle()
        before = len(world.written(ignoring=()))
        await world.sleep(3600)
        await world.restart()
        await world.sleep(60)
        assert world.term is not None
        world.term.context.queues["deployment"].add(Request("default", WEB))
        await world.sleep(60)
        assert world.written(ignoring=())[before:] == []

    run(body)


def test_a_deployment_of_many_replicas_is_written_a_few_times_only() -> None:
    async def body(world: World) -> None:
        world.put(deployment(WEB, 300, pod={"cpu": "", "memory": ""}))
        await world.settle()
        assert sum(counts(each) for each in world.api.objects(Pod)) == 300
        writes = [each.kind for each in world.written() if each.kind != "Pod"]
        assert writes.count("ReplicaSet") < 8
        assert writes.count("Deployment") < 10

    run(body, nodes=0)


def test_a_deployment_of_another_world_is_nobodys_business() -> None:
    async def body(world: World) -> None:
        assert world.term is not None
        made = reconciling.DeploymentReconciler(world.term.context)
        assert (await made.reconcile(Request("default", "nothing"))).requeue_after_s is None

    run(body)


def test_a_replica_set_that_is_there_already_is_taken_for_what_it_is() -> None:
    """An earlier write may have made it without anybody hearing of it: that is no clash of names."""

    async def body(world: World) -> None:
        owner = world.api.put(deployment(WEB, 2))
        assert world.term is not None
        writer = ReplicaSetWriter(world.term.context)
        wanted = new_replica_set(view_of(owner, []), 2)
        made, is_new = await writer.create(owner, wanted)
        found_there, is_new_again = await writer.create(owner, wanted)
        assert made is not None
        assert found_there is not None
        assert (is_new, is_new_again) == (True, False)
        assert made.metadata.uid == found_there.metadata.uid
        owner.metadata.uid = "another"
        with pytest.raises(Collision):
            await writer.create(owner, wanted)

    run(body, parts=[])
