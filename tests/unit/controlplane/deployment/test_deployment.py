"""A Deployment against the API, as kubectl's users see it: roll-outs, history, pauses, deadlines."""

from __future__ import annotations

import msgspec
import pytest
from controllers_world import World
from controllers_world_objects import deployment
from deployment_world import (
    WEB,
    change,
    condition,
    found,
    never_ready,
    reason,
    resize,
    run,
    set_image,
    sets,
    sizes,
    told,
)
from workload_invariants import Rules

from apiserver.api.apps import Deployment, ReplicaSet
from apiserver.api.core.pod import Pod
from controlplane.controllers.deployment.revisions import REVISION, REVISION_HISTORY
from controlplane.controllers.deployment.template_hash import HASH_LABEL, template_hash, without_hash

# --- roll-outs ------------------------------------------------------------------------------------------


def test_a_deployment_becomes_a_replica_set_and_pods() -> None:
    async def body(world: World) -> None:
        wanted = deployment(WEB, 4, metadata={"annotations": {"kubernetes.io/change-cause": "first"}})
        world.put(wanted)
        await world.settle()
        (made,) = world.api.objects(ReplicaSet)
        hash_ = template_hash(found(world).spec.template)
        assert made.metadata.name == f"web-{hash_}"
        assert made.metadata.labels == {"app": "web", HASH_LABEL: hash_}
        assert made.metadata.annotations == {
            REVISION: "1",
            "deployment.kubernetes.io/desired-replicas": "4",
            "deployment.kubernetes.io/max-replicas": "5",
            "kubernetes.io/change-cause": "first",
        }
        assert all(each.metadata.labels[HASH_LABEL] == hash_ for each in world.api.objects(Pod))
        assert found(world).metadata.annotations[REVISION] == "1"
        assert told(world) == {f"Scaled up replica set web-{hash_} from 0 to 4"}
        assert reason(world) == "NewReplicaSetAvailable"
        assert reason(world, "Available") == "MinimumReplicasAvailable"

    run(body)


def test_a_new_image_rolls_out_within_bounds_and_is_told_step_by_step() -> None:
    async def body(world: World) -> None:
        Rules(world, WEB).watch()
        world.put(deployment(WEB, 10))
        await world.settle()
        await set_image(world, "app:2")
        await world.settle()
        assert sizes(world) == {1: 0, 2: 10}
        old, new = sets(world)[1].metadata.name, sets(world)[2].metadata.name
        assert {f"Scaled up replica set {new} from 0 to 3", f"Scaled down replica set {old} from 10 to 8"} <= told(
            world
        )
        assert found(world).metadata.annotations[REVISION] == "2"

    run(body)


def test_a_change_of_nothing_but_the_number_makes_no_revision() -> None:
    async def body(world: World) -> None:
        world.put(deployment(WEB, 2))
        await world.settle()
        await resize(world, 5)
        await world.settle()
        assert sizes(world) == {1: 5}
        assert sets(world)[1].metadata.annotations["deployment.kubernetes.io/desired-replicas"] == "5"
        await resize(world, 0)
        await world.settle()
        assert sizes(world) == {1: 0}
        assert found(world).status.replicas == 0

    run(body)


def test_a_roll_out_that_cannot_get_ready_stops_within_its_bounds_and_is_late_in_the_end() -> None:
    async def body(world: World) -> None:
        Rules(world, WEB).watch()
        world.put(deployment(WEB, 4, progressDeadlineSeconds=60))
        await world.settle()
        world.nodes.outcome = never_ready("app:2")
        await set_image(world, "app:2")
        await world.sleep(30)
        assert sizes(world) == {1: 3, 2: 2}
        assert reason(world) == "ReplicaSetUpdated"
        await world.sleep(60)
        late = condition(world)
        assert late is not None
        assert (late.status, late.reason) == ("False", "ProgressDeadlineExceeded")
        assert found(world).status.available_replicas == 3
        before = len(world.written())
        await world.sleep(3600)
        assert len(world.written()) == before
        world.nodes.outcome = lambda pod: "ready"
        world.nodes.look_again()
        await world.settle()
        assert reason(world) == "NewReplicaSetAvailable"
        assert sizes(world) == {1: 0, 2: 4}

    run(body)


def test_a_new_image_before_the_last_one_was_through_rolls_over() -> None:
    async def body(world: World) -> None:
        Rules(world, WEB).watch()
        world.put(deployment(WEB, 6))
        await world.settle()
        world.nodes.outcome = never_ready("app:2")
        await set_image(world, "app:2")
        await world.sleep(20)
        await set_image(world, "app:3")
        await world.settle()
        assert sizes(world) == {1: 0, 2: 0, 3: 6}

    run(body)


def test_min_ready_seconds_of_the_deployment_reach_the_replica_set_without_a_roll_out() -> None:
    async def body(world: World) -> None:
        world.put(deployment(WEB, 2))
        await world.settle()
        await change(world, lambda each: setattr(each.spec, "min_ready_seconds", 5))
        await world.settle()
        assert sets(world)[1].spec.min_ready_seconds == 5
        assert list(sets(world)) == [1]

    run(body)


def test_recreate_ends_all_before_it_begins_anew() -> None:
    async def body(world: World) -> None:
        Rules(world, WEB).watch()
        world.put(deployment(WEB, 3, strategy={"type": "Recreate"}))
        await world.settle()
        world.nodes.stop_s = (20.0, 40.0)
        await set_image(world, "app:2")
        await world.sleep(15)
        assert sizes(world) == {1: 0}
        await world.settle()
        assert sizes(world) == {1: 0, 2: 3}

    run(body)


# --- history --------------------------------------------------------------------------------------------


async def undo(world: World, revision: int) -> None:
    """As kubectl rollout undo does: the template of the revision, and its annotations."""
    target = sets(world)[revision]
    template = without_hash(target.spec.template)

    def back(each: Deployment) -> None:
        each.spec.template = msgspec.json.decode(msgspec.json.encode(template), type=type(template))

    await change(world, back)


def test_going_back_takes_the_old_replica_set_with_a_new_revision() -> None:
    async def body(world: World) -> None:
        world.put(deployment(WEB, 2))
        await world.settle()
        first = sets(world)[1].metadata.name
        for image in ("app:2", "app:3"):
            await set_image(world, image)
            await world.settle()
        await undo(world, 1)
        await world.settle()
        assert sizes(world) == {2: 0, 3: 0, 4: 2}
        assert sets(world)[4].metadata.name == first
        assert sets(world)[4].metadata.annotations[REVISION_HISTORY] == "1"
        assert found(world).metadata.annotations[REVISION] == "4"

    run(body)


def test_only_so_many_old_replica_sets_are_kept() -> None:
    async def body(world: World) -> None:
        world.put(deployment(WEB, 1, revisionHistoryLimit=2))
        for number in range(1, 6):
            await world.settle()
            await set_image(world, f"app:{number}x")
        await world.settle()
        assert sizes(world) == {4: 0, 5: 0, 6: 1}

    run(body)


def test_a_restart_is_a_roll_out_with_the_same_image() -> None:
    async def body(world: World) -> None:
        Rules(world, WEB).watch()
        world.put(deployment(WEB, 3))
        await world.settle()
        before = {each.metadata.uid for each in world.api.objects(Pod)}
        note = {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}
        await change(world, lambda each: setattr(each.spec.template.metadata, "annotations", note))
        await world.settle()
        assert sizes(world) == {1: 0, 2: 3}
        assert before.isdisjoint(each.metadata.uid for each in world.api.objects(Pod))

    run(body)


def test_a_change_cause_is_kept_with_its_revision() -> None:
    async def body(world: World) -> None:
        world.put(deployment(WEB, 1, metadata={"annotations": {"kubernetes.io/change-cause": "first"}}))
        await world.settle()

        def second(each: Deployment) -> None:
            each.metadata.annotations["kubernetes.io/change-cause"] = "second"
            each.spec.template.spec.containers[0].image = "app:2"

        await change(world, second)
        await world.settle()
        causes = {rev: each.metadata.annotations["kubernetes.io/change-cause"] for rev, each in sets(world).items()}
        assert causes == {1: "first", 2: "second"}

    run(body)


# --- pause, scale ---------------------------------------------------------------------------------------


def test_paused_nothing_rolls_but_the_number_may_change() -> None:
    async def body(world: World) -> None:
        world.put(deployment(WEB, 4))
        await world.settle()
        await change(world, lambda each: setattr(each.spec, "paused", True))
        await set_image(world, "app:2")
        await resize(world, 6)
        await world.settle()
        assert sizes(world) == {1: 6}
        known = condition(world)
        assert known is not None
        assert (known.status, known.reason, known.message) == ("Unknown", "DeploymentPaused", "Deployment is paused")
        assert found(world).status.updated_replicas == 0
        await change(world, lambda each: setattr(each.spec, "paused", False))
        await world.settle()
        assert sizes(world) == {1: 0, 2: 6}
        assert reason(world) == "NewReplicaSetAvailable"

    run(body)


def test_a_pause_stops_the_clock_of_progress() -> None:
    async def body(world: World) -> None:
        world.put(deployment(WEB, 4, progressDeadlineSeconds=30))
        await world.settle()
        world.nodes.outcome = never_ready("app:2")
        await set_image(world, "app:2")
        await world.sleep(10)
        await change(world, lambda each: setattr(each.spec, "paused", True))
        await world.sleep(600)
        assert reason(world) == "DeploymentPaused"
        await change(world, lambda each: setattr(each.spec, "paused", False))
        await world.sleep(20)
        assert reason(world) in ("DeploymentResumed", "ReplicaSetUpdated")
        await world.sleep(60)
        assert reason(world) == "ProgressDeadlineExceeded"

    run(body)


def test_a_roll_out_that_hangs_keeps_its_part_when_it_is_scaled() -> None:
    async def body(world: World) -> None:
        Rules(world, WEB).watch()
        world.put(deployment(WEB, 10))
        await world.settle()
        world.nodes.outcome = never_ready("app:2")
        await set_image(world, "app:2")
        await world.sleep(30)
        assert sizes(world) == {1: 8, 2: 5}
        await resize(world, 20)
        await world.sleep(30)
        assert sizes(world) == {1: 15, 2: 10}
        await resize(world, 10)
        await world.sleep(30)
        assert sizes(world) == {1: 8, 2: 5}

    run(body)


@pytest.mark.parametrize("surge", [0, 1])
def test_one_replica_is_replaced(surge: int) -> None:
    async def body(world: World) -> None:
        Rules(world, WEB).watch()
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": 1 - surge}}
        world.put(deployment(WEB, 1, strategy=strategy))
        await world.settle()
        await set_image(world, "app:2")
        await world.settle()
        assert sizes(world) == {1: 0, 2: 1}

    run(body)
