"""Ephemeral volumes: a claim for each, of the pod's own, and nobody else's is taken for it."""

from __future__ import annotations

from typing import Any

from controllers_world import World, run_world
from controllers_world_objects import claim, pod

from apiserver.api.core.event import Event
from apiserver.api.core.persistent_volumes import PersistentVolumeClaim
from apiserver.api.core.pod import Pod
from apiserver.api.meta import DeleteOptions
from controlplane.controllers import ephemeral_claims, garbage_collector

PARTS = [ephemeral_claims.parts, garbage_collector.parts]
AT_ONCE = DeleteOptions(grace_period_seconds=0)


def scratch_pod(name: str = "web") -> Pod:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "x"}
    template: dict[str, Any] = {"metadata": {"labels": {"of": name}}, "spec": spec}
    return pod(name, volumes=[{"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}])


def claims(world: World) -> dict[str, PersistentVolumeClaim]:
    return {each.metadata.name: each for each in world.api.objects(PersistentVolumeClaim)}


def test_a_pod_gets_its_claim_which_goes_with_it() -> None:
    async def body(world: World) -> None:
        world.put(scratch_pod())
        await world.settle()
        made = claims(world)["web-scratch"]
        owned = world.api.get(Pod, "web")
        assert owned is not None
        (owner,) = made.metadata.owner_references
        assert (owner.kind, owner.uid, owner.controller) == ("Pod", owned.metadata.uid, True)
        assert made.metadata.labels == {"of": "web"}
        assert made.spec.storage_class_name == "x"
        await world.client.delete(Pod, "web", options=AT_ONCE)
        await world.settle()
        assert claims(world) == {}

    run_world(body, parts=PARTS)


def test_a_claim_that_is_deleted_is_made_again() -> None:
    async def body(world: World) -> None:
        world.put(scratch_pod())
        await world.settle()
        first = claims(world)["web-scratch"].metadata.uid
        await world.client.delete(PersistentVolumeClaim, "web-scratch")
        await world.settle()
        assert claims(world)["web-scratch"].metadata.uid != first

    run_world(body, parts=PARTS)


def test_the_claim_of_another_is_left_alone() -> None:
    async def body(world: World) -> None:
        world.put(claim("web-scratch", storageClassName=""), scratch_pod())
        await world.settle()
        assert claims(world)["web-scratch"].metadata.owner_references == []
        told = [each.message for each in world.api.objects(Event) if each.reason == "FailedBinding"]
        assert told == ["ephemeral volume scratch: PVC default/web-scratch was not created for pod (pod is not owner)"]

    run_world(body, parts=PARTS)


def test_a_pod_that_goes_gets_none() -> None:
    async def body(world: World) -> None:
        going = scratch_pod()
        going.metadata.deletion_timestamp = "2026-01-01T00:00:00Z"
        world.put(going)
        await world.settle()
        assert claims(world) == {}

    run_world(body, parts=PARTS)
