"""What is in use stays, and nothing is taken for gone that a cache does not show."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from controllers_world import World, run_world
from controllers_world_objects import claim, persistent_volume, pod
from volume_invariants import BIND_COMPLETED, PROVISIONED_BY, VolumeRules

from apiserver.api.core.persistent_volumes import PersistentVolume, PersistentVolumeClaim
from apiserver.api.core.pod import Pod
from apiserver.api.meta import DeleteOptions
from apiserver.api.node_folders import PROVISIONER
from controlplane.controllers import provisioner, volume_binder, volume_protection

ALL = [volume_binder.parts, provisioner.parts, volume_protection.parts]
CLAIM, VOLUME = volume_protection.CLAIM_FINALIZER, volume_protection.VOLUME_FINALIZER
BEHIND_S = 60.0


@asynccontextmanager
async def told_late(world: World) -> AsyncIterator[None]:
    """What is written within reaches the controllers' caches a minute later than what is written after."""
    world.api.faults.watch_lag_s = (BEHIND_S, BEHIND_S)
    try:
        yield
        await world.sleep(0.01)  # watches have it, and keep it
    finally:
        world.api.faults.watch_lag_s = (0.0, 0.0)


def slow_down(world: World) -> None:
    """What the controllers write takes effect a second later."""
    world.api.faults.latency_s = (1.0, 1.0)
    world.api.faults.of = ("controllers",)


def claim_of(world: World, name: str = "data") -> PersistentVolumeClaim:
    found = world.api.get(PersistentVolumeClaim, name)
    assert found is not None
    return found


def phases(world: World, type_: type[Any]) -> list[str]:
    """Grows by each phase that an object of the kind comes to."""
    seen: list[str] = []

    def note(verb: str, old: Any, new: Any) -> None:
        if isinstance(new, type_) and (old is None or old.status.phase != new.status.phase):
            seen.append(new.status.phase)

    world.check(note)
    return seen


def using(name: str, **fields: Any) -> Pod:
    return pod(name, volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}], **fields)


async def bound(world: World, **volume: Any) -> None:
    world.put(persistent_volume("disk", **volume), claim("data", storageClassName=""))
    await world.settle()
    assert claim_of(world).status.phase == "Bound"


def test_finalizers_come_soon() -> None:
    async def body(world: World) -> None:
        world.put(persistent_volume("disk", "1Gi"), claim("data", "5Gi", storageClassName=""))
        await world.settle()
        assert claim_of(world).metadata.finalizers == [CLAIM]
        found = world.api.get(PersistentVolume, "disk")
        assert found is not None
        assert found.metadata.finalizers == [VOLUME]

    run_world(body, parts=ALL)


def test_what_is_bound_is_protected_though_nobody_came_to_protect_it() -> None:
    async def body(world: World) -> None:
        await bound(world)
        assert claim_of(world).metadata.finalizers == [CLAIM]
        found = world.api.get(PersistentVolume, "disk")
        assert found is not None
        assert found.metadata.finalizers == [VOLUME]

    run_world(body, parts=[volume_binder.parts])


def test_a_claim_stays_for_a_pod_that_no_cache_shows() -> None:
    async def body(world: World) -> None:
        await bound(world)
        async with told_late(world):
            await world.client.create(using("web", node_name="node-1"))
        await world.client.delete(PersistentVolumeClaim, "data")
        await world.settle(quiet_s=2 * BEHIND_S)
        assert claim_of(world).metadata.deletion_timestamp
        await world.client.delete(Pod, "web", options=DeleteOptions(grace_period_seconds=1))
        await world.settle()
        assert not world.api.objects(PersistentVolumeClaim)

    run_world(body, parts=ALL, nodes=1)


def test_a_claim_stays_for_a_pod_that_has_ended_until_it_is_deleted() -> None:
    async def body(world: World) -> None:
        world.nodes.outcome = lambda pod: "succeeded"
        await bound(world)
        await world.client.create(using("job"))
        await world.settle()
        await world.client.delete(PersistentVolumeClaim, "data")
        await world.settle()
        assert claim_of(world).metadata.deletion_timestamp

    run_world(body, parts=ALL, nodes=1)


def test_a_claim_goes_though_a_pod_without_a_node_names_it() -> None:
    async def body(world: World) -> None:
        await bound(world)
        await world.client.create(using("web"))
        await world.client.delete(PersistentVolumeClaim, "data")
        await world.settle()
        assert not world.api.objects(PersistentVolumeClaim)

    run_world(body, parts=ALL, nodes=1, binds=False)


def test_a_volume_is_not_let_go_for_a_claim_that_no_cache_shows() -> None:
    """A cluster restored from a backup: both sides name each other from the beginning."""

    async def body(world: World) -> None:
        seen = phases(world, PersistentVolume)
        await world.settle()
        async with told_late(world):
            world.put(claim("data", storageClassName="", volumeName="disk"))
        meta = claim_of(world).metadata
        reference = {"namespace": "default", "name": "data", "uid": meta.uid}
        made = {"annotations": {PROVISIONED_BY: PROVISIONER}}
        world.put(persistent_volume("disk", claimRef=reference, metadata=made, persistentVolumeReclaimPolicy="Delete"))
        await world.settle(quiet_s=2 * BEHIND_S)
        assert seen == ["Pending", "Bound"]
        assert claim_of(world).status.phase == "Bound"

    run_world(body, parts=ALL)


def test_a_claim_is_not_lost_for_a_volume_that_no_cache_shows() -> None:
    async def body(world: World) -> None:
        seen = phases(world, PersistentVolumeClaim)
        await world.settle()
        async with told_late(world):
            world.put(persistent_volume("disk"))
        done = {"annotations": {BIND_COMPLETED: "yes"}}
        world.put(claim("data", storageClassName="", volumeName="disk", metadata=done))
        await world.settle(quiet_s=2 * BEHIND_S)
        assert seen == ["Pending", "Bound"]

    run_world(body, parts=ALL)


def test_another_claim_of_the_name_does_not_get_the_data() -> None:
    """Not even one that says that it is bound to it."""

    async def body(world: World) -> None:
        await bound(world, persistentVolumeReclaimPolicy="Retain")
        await world.client.delete(PersistentVolumeClaim, "data")
        await world.settle()
        done = {"annotations": {BIND_COMPLETED: "yes"}}
        world.put(claim("data", storageClassName="", volumeName="disk", metadata=done))
        await world.settle()
        assert claim_of(world).status.phase == "Lost"
        found = world.api.get(PersistentVolume, "disk")
        assert found is not None
        assert found.status.phase == "Released"

    run_world(body, parts=ALL)


def test_a_released_volume_that_was_wiped_is_anybodys() -> None:
    async def body(world: World) -> None:
        await bound(world, persistentVolumeReclaimPolicy="Retain")
        await world.client.delete(PersistentVolumeClaim, "data")
        await world.settle()
        await world.client.patch(PersistentVolume, "disk", {"spec": {"claimRef": None}})
        world.put(claim("other", storageClassName=""))
        await world.settle()
        assert claim_of(world, "other").spec.volume_name == "disk"

    run_world(body, parts=ALL)


def test_what_another_provisioner_made_is_its_own_to_delete() -> None:
    async def body(world: World) -> None:
        made = {"annotations": {PROVISIONED_BY: "example.com/disks"}}
        await bound(world, metadata=made, persistentVolumeReclaimPolicy="Delete")
        await world.client.delete(PersistentVolumeClaim, "data")
        await world.settle()
        found = world.api.get(PersistentVolume, "disk")
        assert found is not None
        assert (found.status.phase, found.metadata.deletion_timestamp) == ("Released", None)

    run_world(body, parts=ALL)


def test_a_volume_that_is_deleted_before_its_claim_has_it_is_made_again() -> None:
    async def body(world: World) -> None:
        await world.settle(quiet_s=20)
        selected = {"annotations": {"volume.kubernetes.io/selected-node": "node-1"}}
        await world.client.create(claim("data", metadata=selected))
        await world.settle()
        [volume] = world.api.objects(PersistentVolume)
        world.api.remove(PersistentVolume, volume.metadata.name)
        await world.settle()
        [again] = world.api.objects(PersistentVolume)
        assert again.metadata.uid != volume.metadata.uid

    run_world(body, parts=[provisioner.parts], nodes=1)


def test_a_claim_names_a_volume_that_comes_later() -> None:
    async def body(world: World) -> None:
        world.put(claim("data", storageClassName="", volumeName="disk"))
        await world.settle()
        assert claim_of(world).status.phase == "Pending"
        world.put(persistent_volume("disk"))
        await world.settle()
        assert claim_of(world).status.phase == "Bound"

    run_world(body, parts=ALL)


def test_a_claim_without_a_class_gets_the_default_when_there_is_one() -> None:
    async def body(world: World) -> None:
        world.put(claim("early"))
        await world.client.create(claim("none", storageClassName=""))
        await world.settle(quiet_s=20)
        assert claim_of(world, "early").spec.storage_class_name == provisioner.CLASS
        assert claim_of(world, "none").spec.storage_class_name == ""

    run_world(body, parts=ALL)


def test_a_volume_is_not_taken_from_a_claim_that_has_just_got_it() -> None:
    async def body(world: World) -> None:
        rules = VolumeRules(world.api)
        world.check(rules)
        world.put(claim("data", storageClassName="later"), claim("other", storageClassName=""))
        await world.settle()
        slow_down(world)
        free = persistent_volume("disk", metadata={"finalizers": [VOLUME]})
        free.status.phase = "Available"
        world.put(free)
        await world.sleep(0.5)  # it is about to be kept for the other claim
        reference = {"namespace": "default", "name": "data", "uid": claim_of(world).metadata.uid}
        await world.client.patch(PersistentVolume, "disk", {"spec": {"claimRef": reference}})
        await world.settle()
        assert rules.bindings == 1
        assert claim_of(world).status.phase == "Bound"
        assert claim_of(world, "other").status.phase == "Pending"

    run_world(body, parts=ALL)


def test_a_claim_of_the_same_name_does_not_get_what_was_chosen_for_another() -> None:
    """The caches show the claim that was there before."""

    async def body(world: World) -> None:
        world.put(claim("data", storageClassName=""))
        await world.settle()
        async with told_late(world):
            world.api.remove(PersistentVolumeClaim, "data")
            world.put(claim("data", "1Gi", storageClassName="", selector={"matchLabels": {"tier": "gold"}}))
        world.put(persistent_volume("disk"))
        await world.settle(quiet_s=2 * BEHIND_S)
        assert claim_of(world).status.phase == "Pending"
        assert claim_of(world).spec.volume_name == ""

    run_world(body, parts=ALL)


def test_a_volume_that_is_wiped_just_before_its_deletion_stays() -> None:
    async def body(world: World) -> None:
        made = {"annotations": {PROVISIONED_BY: PROVISIONER}}
        await bound(world, metadata=made, persistentVolumeReclaimPolicy="Delete")
        slow_down(world)
        await world.client.delete(PersistentVolumeClaim, "data")
        while (found := world.api.get(PersistentVolume, "disk")) is None or found.status.phase != "Released":
            await world.sleep(0.1)
        await world.client.patch(PersistentVolume, "disk", {"spec": {"claimRef": None}})
        await world.settle()
        found = world.api.get(PersistentVolume, "disk")
        assert found is not None
        assert (found.status.phase, found.metadata.deletion_timestamp) == ("Available", None)

    run_world(body, parts=ALL)


def test_a_volume_is_not_let_go_that_is_somebody_elses_by_now() -> None:
    async def body(world: World) -> None:
        await bound(world)
        world.put(claim("other", storageClassName="later"))
        await world.settle()
        slow_down(world)
        chosen = {"annotations": {"pv.kubernetes.io/bound-by-controller": "yes"}, "finalizers": [VOLUME]}
        reference = {"namespace": "default", "name": "data", "uid": claim_of(world).metadata.uid}
        world.put(persistent_volume("second", claimRef=reference, metadata=chosen))
        await world.sleep(0.5)  # it is about to be let go, since its claim has another one
        reference |= {"name": "other", "uid": claim_of(world, "other").metadata.uid}
        await world.client.patch(PersistentVolume, "second", {"spec": {"claimRef": reference}})
        await world.settle()
        assert claim_of(world, "other").spec.volume_name == "second"
        assert claim_of(world, "other").status.phase == "Bound"

    run_world(body, parts=ALL)


def test_a_volume_that_is_bound_just_before_it_would_go_stays() -> None:
    async def body(world: World) -> None:
        world.put(persistent_volume("disk"))
        await world.settle()
        slow_down(world)
        await world.client.delete(PersistentVolume, "disk")
        await world.sleep(0.5)  # nobody uses it: its finalizer is about to go
        change = {"status": {"phase": "Bound"}}
        await world.client.patch(PersistentVolume, "disk", change, subresource="status")
        await world.settle()
        assert world.api.get(PersistentVolume, "disk") is not None

    run_world(body, parts=[volume_protection.parts])


def test_a_volume_does_not_wait_for_a_claim_that_is_going() -> None:
    async def body(world: World) -> None:
        world.put(claim("data", storageClassName="", metadata={"finalizers": ["example.com/hold"]}))
        await world.client.delete(PersistentVolumeClaim, "data")
        await world.settle()
        reference = {"namespace": "default", "name": "data", "uid": claim_of(world).metadata.uid}
        chosen = {"annotations": {"pv.kubernetes.io/bound-by-controller": "yes"}}
        world.put(persistent_volume("disk", claimRef=reference, metadata=chosen))
        await world.settle()
        found = world.api.get(PersistentVolume, "disk")
        assert found is not None
        assert (found.spec.claim_ref, found.status.phase) == (None, "Available")

    run_world(body, parts=ALL)


def test_a_volume_that_another_claim_did_not_get_after_all_is_taken() -> None:
    """Both are looked at together; the one that is to have it is deleted, and the way to the API is long."""

    async def body(world: World) -> None:
        world.put(claim("data", storageClassName=""), claim("other", storageClassName=""))
        await world.settle()
        slow_down(world)
        world.api.faults.refused = 1.0
        free = persistent_volume("disk", metadata={"finalizers": [VOLUME]})
        free.status.phase = "Available"
        world.put(free)
        await world.sleep(0.5)
        world.api.remove(PersistentVolumeClaim, "data")
        await world.sleep(30)
        world.api.heal()
        await world.settle()
        assert claim_of(world, "other").spec.volume_name == "disk"

    for seed in range(6):  # one or the other is looked at first
        run_world(body, seed=seed, parts=ALL)
