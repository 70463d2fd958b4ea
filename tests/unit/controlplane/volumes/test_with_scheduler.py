"""Volumes and the scheduler: a pod goes where its volumes are, volumes come to be where the pod goes."""

from __future__ import annotations

from typing import Any

import pytest
from controllers_world import World, run_world, seeds, stormy
from controllers_world_objects import claim, node, persistent_volume, pod, storage_class
from volume_invariants import VolumeRules, check_settled, nodes_of, only_on

from apiserver.api.core.event import Event
from apiserver.api.core.persistent_volumes import PersistentVolume, PersistentVolumeClaim
from apiserver.api.core.pod import Pod
from apiserver.api.meta import DeleteOptions
from controlplane import scheduler
from controlplane.controllers import provisioner, volume_binder, volume_protection
from controlplane.runtime.options import Options

VOLUMES = [volume_binder.parts, provisioner.parts, volume_protection.parts]
ALL = [*VOLUMES, scheduler.parts]
LOCAL = storage_class("local", "kubernetes.io/no-provisioner", volumeBindingMode="WaitForFirstConsumer")
CONFLICT = "node(s) had volume node affinity conflict"
BACKOFF_S = 30.0  # the scheduler may wait a while before it looks again
NONE_TO_BIND = "node(s) didn't find available persistent volumes to bind"


def local_volume(name: str, node_name: str, storage: str = "1Gi", **spec: Any) -> PersistentVolume:
    return persistent_volume(name, storage, storageClassName="local", nodeAffinity=only_on(node_name), **spec)


def local_claim(name: str, storage: str = "1Gi") -> PersistentVolumeClaim:
    return claim(name, storage, storageClassName="local")


def using(name: str, *claims: str, **fields: Any) -> Pod:
    volumes = [{"name": each, "persistentVolumeClaim": {"claimName": each}} for each in claims]
    return pod(name, volumes=volumes, **fields)


def pod_of(world: World, name: str) -> Pod:
    found = world.api.get(Pod, name)
    assert found is not None
    return found


def claim_of(world: World, name: str) -> PersistentVolumeClaim:
    found = world.api.get(PersistentVolumeClaim, name)
    assert found is not None
    return found


def why(world: World, name: str) -> str:
    """What the pod's condition says."""
    conditions = [each for each in pod_of(world, name).status.conditions if each.type == "PodScheduled"]
    return conditions[0].message if conditions else ""


def reasons(world: World, name: str) -> list[str]:
    return [each.reason for each in world.api.objects(Event) if each.involved_object.name == name]


async def end(world: World, name: str) -> None:
    await world.client.delete(Pod, name, options=DeleteOptions(grace_period_seconds=1))
    await world.settle()


def test_a_static_volume_decides_on_the_node() -> None:
    async def body(world: World) -> None:
        world.put(LOCAL, local_volume("disk", "node-2"), local_claim("data"))
        await world.settle()
        assert claim_of(world, "data").status.phase == "Pending"  # nobody needs it yet
        await world.client.create(using("web", "data"))
        await world.settle()
        assert pod_of(world, "web").spec.node_name == "node-2"
        assert claim_of(world, "data").spec.volume_name == "disk"

    run_world(body, parts=ALL, nodes=3, binds=False)


@pytest.mark.parametrize(
    ("terms", "place"),
    [
        ([{"key": "zone", "operator": "In", "values": ["b"]}], "node-4"),
        ([{"key": "kubernetes.io/hostname", "operator": "NotIn", "values": ["node-1", "node-4"]}], "node-2"),
        ([{"key": "kubernetes.io/hostname", "operator": "In", "values": ["node-9", "node-2"]}], "node-2"),
        ([{"key": "zone", "operator": "DoesNotExist"}], ""),
    ],
    ids=["zone", "all but some", "one of two", "whatever"],
)
def test_volumes_reach_nodes_in_many_ways(terms: list[dict[str, Any]], place: str) -> None:
    """In a cluster of node-1, node-2, and node-4 in zone b."""

    async def body(world: World) -> None:
        affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": terms}]}}
        world.put(LOCAL, node("node-4", labels={"zone": "b"}), local_claim("data"))
        world.put(persistent_volume("disk", storageClassName="local", nodeAffinity=affinity))
        await world.client.create(using("web", "data"))
        await world.settle(quiet_s=BACKOFF_S)
        assert claim_of(world, "data").spec.volume_name == "disk"
        assert pod_of(world, "web").spec.node_name in ([place] if place else ["node-1", "node-2"])

    run_world(body, parts=ALL, nodes=2, binds=False)


def test_two_claims_of_a_pod_meet_on_one_node() -> None:
    """Each node has volumes, only one has one for each claim; the small claim leaves the large volume alone."""

    async def body(world: World) -> None:
        world.put(LOCAL, local_volume("a1", "node-1", "9Gi"), local_volume("b1", "node-2", "9Gi"))
        world.put(local_volume("b2", "node-2", "1Gi"), local_claim("large", "5Gi"), local_claim("small", "1Gi"))
        await world.client.create(using("web", "small", "large"))
        await world.settle()
        assert pod_of(world, "web").spec.node_name == "node-2"
        assert claim_of(world, "large").spec.volume_name == "b1"
        assert claim_of(world, "small").spec.volume_name == "b2"

    run_world(body, parts=ALL, nodes=2, binds=False)


def test_a_pod_stays_out_whose_volume_is_elsewhere() -> None:
    async def body(world: World) -> None:
        world.put(LOCAL, local_volume("disk", "node-2"), local_claim("data"))
        await world.client.create(using("first", "data"))
        await world.settle()
        await world.client.create(using("second", "data", nodeSelector={"kubernetes.io/hostname": "node-1"}))
        await world.settle()
        assert not pod_of(world, "second").spec.node_name
        selector = "1 node(s) didn't match Pod's node affinity/selector"
        assert why(world, "second").startswith(f"0/2 nodes are available: {selector}, 1 {CONFLICT}.")

    run_world(body, parts=ALL, nodes=2, binds=False)


def test_a_volume_that_comes_later_lets_the_pod_in() -> None:
    async def body(world: World) -> None:
        world.put(LOCAL, local_claim("data"))
        await world.client.create(using("web", "data"))
        await world.settle()
        assert f"0/2 nodes are available: 2 {NONE_TO_BIND}" in why(world, "web")
        assert "WaitForPodScheduled" in reasons(world, "data")
        world.put(local_volume("disk", "node-1"))
        await world.settle(quiet_s=BACKOFF_S)
        assert pod_of(world, "web").spec.node_name == "node-1"

    run_world(body, parts=ALL, nodes=2, binds=False)


def test_a_class_that_comes_later_lets_the_pod_in() -> None:
    async def body(world: World) -> None:
        world.put(local_claim("data"))
        await world.client.create(using("web", "data"))
        await world.settle()
        assert "unbound immediate PersistentVolumeClaims" in why(world, "web")
        assert "ProvisioningFailed" in reasons(world, "data")
        world.put(LOCAL)
        await world.settle(quiet_s=BACKOFF_S)
        assert f"2 {NONE_TO_BIND}" in why(world, "web")
        world.put(local_volume("disk", "node-1"))
        await world.settle(quiet_s=BACKOFF_S)
        assert pod_of(world, "web").spec.node_name == "node-1"

    run_world(body, parts=ALL, nodes=2, binds=False)


def test_pods_of_one_claim_go_where_the_first_went() -> None:
    async def body(world: World) -> None:
        await world.settle(quiet_s=20)
        await world.client.create(claim("data"))
        for name in ("a", "b", "c"):
            await world.client.create(using(name, "data"))
        await world.settle()
        places = {pod_of(world, name).spec.node_name for name in ("a", "b", "c")}
        assert len(places) == 1
        [volume] = world.api.objects(PersistentVolume)
        assert nodes_of(volume) == list(places)
        assert not [each for each in ("a", "b", "c") if "FailedScheduling" in reasons(world, each)]

    run_world(body, parts=ALL, nodes=3, binds=False)


def test_what_cannot_be_made_is_not_tried_again_and_again() -> None:
    async def body(world: World) -> None:
        await world.settle(quiet_s=20)
        await world.client.create(claim("data", modes=["ReadWriteMany"]))
        await world.client.create(using("web", "data"))
        await world.settle()
        assert NONE_TO_BIND in why(world, "web")
        assert "ProvisioningFailed" in reasons(world, "data")
        before = len(world.written())
        await world.sleep(3600)
        assert world.written()[before:] == []

    run_world(body, parts=ALL, nodes=2, binds=False)


def test_a_claim_that_is_deleted_while_it_waits_goes() -> None:
    async def body(world: World) -> None:
        world.put(LOCAL, local_claim("data"))
        await world.client.create(using("web", "data"))
        await world.settle()
        await world.client.delete(PersistentVolumeClaim, "data")
        await world.settle()
        assert not world.api.objects(PersistentVolumeClaim)
        assert 'persistentvolumeclaim "data" not found' in why(world, "web")
        world.put(local_claim("data"), local_volume("disk", "node-2"))
        await world.settle(quiet_s=BACKOFF_S)
        assert pod_of(world, "web").spec.node_name == "node-2"

    run_world(body, parts=ALL, nodes=2, binds=False)


def test_a_volume_that_was_kept_for_a_claim_that_went_is_free_again() -> None:
    """The scheduler had chosen it, and then there was nobody to finish."""

    async def body(world: World) -> None:
        world.put(LOCAL, local_volume("disk", "node-1"), local_claim("data"))
        await world.client.create(using("web", "data"))
        await world.sleep(5)
        assert claim_of(world, "data").status.phase == "Pending"
        found = world.api.get(PersistentVolume, "disk")
        assert found is not None
        assert found.spec.claim_ref is not None
        await world.client.delete(PersistentVolumeClaim, "data")
        async with World(VOLUMES, api=world.api, name="volumes") as others:
            await others.settle()
            found = world.api.get(PersistentVolume, "disk")
            assert found is not None
            assert (found.spec.claim_ref, found.status.phase) == (None, "Available")

    run_world(body, parts=[available_volumes, scheduler.parts], nodes=2, binds=False)


def available_volumes(context: Any) -> list[Any]:
    """Of the binder only what looks at volumes: claims are not bound."""
    return [part for part in volume_binder.parts(context) if part.name == "persistentvolume"]


def test_a_pod_whose_volume_does_not_come_looks_again() -> None:
    async def body(world: World) -> None:
        await world.settle(quiet_s=20)
        await world.client.create(claim("data"))
        await world.client.create(using("web", "data"))
        await world.sleep(90)
        assert "binding volumes: timed out waiting for the condition" in why(world, "web")
        async with World(VOLUMES, api=world.api, name="volumes") as others:
            await others.settle()
            assert pod_of(world, "web").spec.node_name

    classes = [lambda context: [part for part in provisioner.parts(context) if part.name == "default-storage-class"]]
    options = Options(volume_bind_timeout_s=30.0)
    run_world(body, parts=[*classes, scheduler.parts], nodes=2, binds=False, options=options)


def test_a_node_that_goes_while_the_volume_is_made_is_left_for_another() -> None:
    async def body(world: World) -> None:
        await world.settle(quiet_s=20)
        selected = {"volume.kubernetes.io/selected-node": "node-9"}
        await world.client.create(claim("data", metadata={"annotations": selected}))
        await world.client.create(using("web", "data"))
        await world.settle()
        assert pod_of(world, "web").spec.node_name in ("node-1", "node-2")

    run_world(body, parts=ALL, nodes=2, binds=False)


@seeds(30)
def test_two_schedulers_never_give_a_volume_twice(seed: int) -> None:
    """Two of everything, as when one leader is deposed and does not know, but without a fence."""

    async def body(world: World) -> None:
        rules = VolumeRules(world.api, scheduled=True, alone=False)
        world.check(rules)
        world.put(LOCAL, node("node-3"))
        async with World(ALL, seed=seed, api=world.api, name="others") as others:
            await others.settle(quiet_s=20)
            for number in range(1, 7):
                world.put(local_volume(f"disk-{number}", f"node-{1 + number % 3}"))
                await world.client.create(local_claim(f"local-{number}"))
                await world.client.create(claim(f"made-{number}"))
                await world.client.create(using(f"local-{number}", f"local-{number}"))
                await world.client.create(using(f"made-{number}", f"made-{number}"))
                await world.sleep(world.random.choice((0.0, 0.3, 3.0)))
            world.api.heal()
            await world.settle(quiet_s=BACKOFF_S)
            await others.settle()
        check_settled(world.api)
        assert all(each.spec.node_name for each in world.api.objects(Pod))
        assert rules.bindings == 12
        assert len(world.api.objects(PersistentVolume)) == 12

    faults = stormy(seed, of=("controllers", "others"))
    run_world(body, seed=seed, parts=ALL, nodes=2, binds=False, faults=faults)
