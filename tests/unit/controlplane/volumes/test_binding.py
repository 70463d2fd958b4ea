"""Claims get volumes: which one, when, and what is said when there is none."""

from __future__ import annotations

from typing import Any

import pytest
from controllers_world import World, run_world
from controllers_world_objects import claim, node, persistent_volume, pod, storage_class

from apiserver.api.core.event import Event
from apiserver.api.core.node import Node
from apiserver.api.core.persistent_volumes import PersistentVolume, PersistentVolumeClaim
from apiserver.api.meta import DeleteOptions
from apiserver.api.names import is_label_value
from apiserver.api.node_folders import (
    FINALIZER,
    NODE_LABEL,
    PROVISIONED_BY,
    PROVISIONER,
    VOLUMES_ANNOTATION,
    label_of,
    own_folder,
)
from apiserver.api.node_terms import node_term
from apiserver.api.storage import StorageClass
from controlplane import host_path, scheduler
from controlplane.controllers import provisioner, volume_binder, volume_protection

BINDER = [volume_binder.parts]
ALL = [volume_binder.parts, provisioner.parts, volume_protection.parts]


def claim_of(world: World, name: str = "data") -> PersistentVolumeClaim:
    found = world.api.get(PersistentVolumeClaim, name)
    assert found is not None
    return found


def volume_of(world: World, name: str) -> PersistentVolume:
    found = world.api.get(PersistentVolume, name)
    assert found is not None
    return found


def reasons(world: World) -> set[str]:
    return {each.reason for each in world.api.objects(Event)}


def test_a_claim_gets_the_smallest_volume_that_will_do() -> None:
    async def body(world: World) -> None:
        world.put(
            persistent_volume("small", "1Gi"), persistent_volume("large", "9Gi"), persistent_volume("fits", "5Gi")
        )
        world.put(claim("data", "4Gi", storageClassName=""))
        await world.settle()
        found, volume = claim_of(world), volume_of(world, "fits")
        assert (found.spec.volume_name, found.status.phase) == ("fits", "Bound")
        assert found.status.capacity == {"storage": "5Gi"}
        assert volume.status.phase == "Bound"
        assert volume.spec.claim_ref is not None
        assert volume.spec.claim_ref.uid == found.metadata.uid
        assert volume_of(world, "small").status.phase == "Available"

    run_world(body, parts=BINDER)


@pytest.mark.parametrize(
    ("of_volume", "of_claim"),
    [
        ({"storageClassName": "fast"}, {"storageClassName": ""}),
        ({"modes": ["ReadWriteMany"]}, {"modes": ["ReadWriteOnce"], "storageClassName": ""}),
        ({"volumeMode": "Block"}, {"storageClassName": ""}),
        ({}, {"selector": {"matchLabels": {"tier": "gold"}}, "storageClassName": ""}),
        ({"storage": "1Gi"}, {"storage": "2Gi", "storageClassName": ""}),
    ],
    ids=["class", "access mode", "volume mode", "selector", "size"],
)
def test_what_does_not_fit_is_not_bound(of_volume: dict[str, Any], of_claim: dict[str, Any]) -> None:
    async def body(world: World) -> None:
        world.put(persistent_volume("other", **of_volume), claim("data", **of_claim))
        await world.settle()
        assert claim_of(world).status.phase == "Pending"
        assert volume_of(world, "other").status.phase == "Available"
        assert "FailedBinding" in reasons(world)

    run_world(body, parts=BINDER)


def test_a_volume_that_comes_later_is_taken() -> None:
    async def body(world: World) -> None:
        world.put(claim("data", storageClassName=""))
        await world.settle()
        world.put(persistent_volume("late"))
        await world.settle()
        assert claim_of(world).spec.volume_name == "late"

    run_world(body, parts=BINDER)


def test_a_volume_kept_by_name_goes_to_that_claim_alone() -> None:
    async def body(world: World) -> None:
        kept = {"kind": "PersistentVolumeClaim", "namespace": "default", "name": "mine"}
        world.put(persistent_volume("kept", claimRef=kept), claim("other", storageClassName=""))
        await world.settle()
        assert claim_of(world, "other").status.phase == "Pending"
        assert volume_of(world, "kept").status.phase == "Available"
        world.put(claim("mine", storageClassName=""))
        await world.settle()
        assert claim_of(world, "mine").spec.volume_name == "kept"
        assert claim_of(world, "other").status.phase == "Pending"

    run_world(body, parts=BINDER)


def test_a_claim_may_name_its_volume() -> None:
    async def body(world: World) -> None:
        world.put(persistent_volume("a", "1Gi"), persistent_volume("b", "1Gi"), persistent_volume("tiny", "1Mi"))
        world.put(claim("data", storageClassName="", volumeName="b"))
        world.put(claim("wrong", storageClassName="", volumeName="tiny"))
        world.put(claim("second", storageClassName="", volumeName="b"))
        await world.settle()
        assert claim_of(world).status.phase == "Bound" or claim_of(world, "second").status.phase == "Bound"
        phases = {claim_of(world, "data").status.phase, claim_of(world, "second").status.phase}
        assert phases == {"Bound", "Pending"}
        assert claim_of(world, "wrong").status.phase == "Pending"
        assert {"VolumeMismatch", "FailedBinding"} <= reasons(world)

    run_world(body, parts=BINDER)


def test_retain_keeps_a_volume_for_people_to_look_at() -> None:
    async def body(world: World) -> None:
        world.put(persistent_volume("kept", persistentVolumeReclaimPolicy="Retain"), claim("data", storageClassName=""))
        await world.settle()
        await world.client.delete(PersistentVolumeClaim, "data")
        await world.settle()
        assert volume_of(world, "kept").status.phase == "Released"
        world.put(claim("data", storageClassName=""))
        await world.settle()
        assert claim_of(world).status.phase == "Pending"  # another claim, whatever its name: that is not its data

    run_world(body, parts=ALL)


def test_delete_without_a_provisioner_is_a_failure_that_is_told() -> None:
    async def body(world: World) -> None:
        world.put(persistent_volume("x", persistentVolumeReclaimPolicy="Delete"), claim("data", storageClassName=""))
        await world.settle()
        await world.client.delete(PersistentVolumeClaim, "data")
        await world.settle()
        volume = volume_of(world, "x")
        assert volume.status.phase == "Failed"
        assert "made by no provisioner" in volume.status.message
        assert "VolumeFailedDelete" in reasons(world)

    run_world(body, parts=ALL)


def test_a_claim_whose_volume_is_gone_is_lost() -> None:
    async def body(world: World) -> None:
        world.put(persistent_volume("x"), claim("data", storageClassName=""))
        await world.settle()
        world.api.remove(PersistentVolume, "x")
        await world.settle()
        assert claim_of(world).status.phase == "Lost"
        assert "ClaimLost" in reasons(world)

    run_world(body, parts=BINDER)


def test_nothing_is_written_once_all_is_so() -> None:
    async def body(world: World) -> None:
        world.put(persistent_volume("x"), persistent_volume("y", "9Gi"), claim("data", storageClassName=""))
        await world.settle()
        before = world.api.writes
        await world.restart()
        await world.sleep(4000)
        assert world.written(since_s=0.0)
        assert [each for each in world.api.log[before:] if each.kind not in ("Event", "StorageClass")] == []

    run_world(body, parts=ALL)


# --- on demand ------------------------------------------------------------------------------------------


def using(name: str, claim_name: str = "data") -> Any:
    return pod(name, volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": claim_name}}])


def test_there_is_a_default_class_unless_somebody_has_one() -> None:
    async def body(world: World) -> None:
        await world.settle(quiet_s=20)
        found = world.api.objects(StorageClass)
        assert [(each.metadata.name, each.provisioner) for each in found] == [(provisioner.CLASS, PROVISIONER)]

    async def other(world: World) -> None:
        world.put(storage_class("ours", "example.com/x", default=True))
        await world.restart()
        await world.settle(quiet_s=20)
        assert [each.metadata.name for each in world.api.objects(StorageClass)] in (["ours"], ["host-path", "ours"])

    run_world(body, parts=ALL)
    run_world(other, parts=ALL)


def test_a_volume_is_made_where_the_first_pod_goes() -> None:
    async def body(world: World) -> None:
        await world.settle(quiet_s=20)
        world.put(claim("data", "2Gi"))
        await world.settle()
        assert claim_of(world).status.phase == "Pending"
        assert "WaitForFirstConsumer" in reasons(world)
        await world.client.create(using("web"))
        await world.settle()
        found = claim_of(world)
        assert found.status.phase == "Bound"
        volume = volume_of(world, found.spec.volume_name)
        web = world.api.get(type(using("web")), "web")
        assert web is not None
        assert volume.spec.node_affinity is not None
        assert volume.spec.node_affinity.required is not None
        expression = volume.spec.node_affinity.required.node_selector_terms[0].match_expressions[0]
        assert expression.values == [web.spec.node_name]
        assert volume.spec.host_path is not None
        assert volume.spec.host_path.path.startswith(host_path.FOLDER)
        assert web.status.phase == "Running"

    run_world(body, parts=[*ALL, scheduler.parts], nodes=3, binds=False)


def test_what_a_folder_cannot_be_is_told_and_sent_back() -> None:
    async def body(world: World) -> None:
        await world.settle(quiet_s=20)
        world.put(
            claim(
                "data",
                modes=["ReadWriteMany"],
                metadata={"annotations": {"volume.kubernetes.io/selected-node": "node-1"}},
            )
        )
        await world.settle()
        found = claim_of(world)
        assert found.status.phase == "Pending"
        assert "volume.kubernetes.io/selected-node" not in found.metadata.annotations
        said = [each.message for each in world.api.objects(Event) if each.reason == "ProvisioningFailed"]
        assert "only supports ReadWriteOnce" in said[0]

    run_world(body, parts=ALL, nodes=1)


def test_a_volume_made_on_demand_goes_with_its_claim() -> None:
    async def body(world: World) -> None:
        await world.settle(quiet_s=20)
        world.put(claim("data"))
        await world.client.create(using("web"))
        await world.settle()
        assert len(world.api.objects(PersistentVolume)) == 1
        await world.client.delete(PersistentVolumeClaim, "data")
        await world.settle()
        assert claim_of(world).metadata.deletion_timestamp  # in use
        assert len(world.api.objects(PersistentVolume)) == 1
        await world.client.delete(type(using("web")), "web", options=DeleteOptions(grace_period_seconds=1))
        await world.settle()
        assert not world.api.objects(PersistentVolumeClaim)
        assert not world.api.objects(PersistentVolume)

    run_world(body, parts=[*ALL, scheduler.parts], nodes=2, binds=False)


def test_a_bound_volume_stays_though_it_is_deleted() -> None:
    async def body(world: World) -> None:
        world.put(persistent_volume("x", persistentVolumeReclaimPolicy="Retain"), claim("data", storageClassName=""))
        await world.settle()
        await world.client.delete(PersistentVolume, "x")
        await world.settle()
        assert volume_of(world, "x").metadata.deletion_timestamp
        await world.client.delete(PersistentVolumeClaim, "data")
        await world.settle()
        assert not world.api.objects(PersistentVolume)

    run_world(body, parts=ALL)


def test_a_node_that_is_gone_sends_the_claim_back() -> None:
    async def body(world: World) -> None:
        await world.settle(quiet_s=20)
        world.put(
            node("node-9"), claim("data", metadata={"annotations": {"volume.kubernetes.io/selected-node": "gone"}})
        )
        await world.settle()
        assert "volume.kubernetes.io/selected-node" not in claim_of(world).metadata.annotations

    run_world(body, parts=ALL)


def test_an_annotation_of_the_user_is_no_way_around_what_a_volume_is_for() -> None:
    """Who makes a claim may write on it that it was bound; that gives him no volume of another class."""

    async def body(world: World) -> None:
        world.put(persistent_volume("gold", "9Gi", storageClassName="gold"), persistent_volume("plain", "9Gi"))
        bound = {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}}
        world.put(claim("data", storageClassName="", volumeName="gold", metadata=bound))
        world.put(claim("fair", storageClassName="", volumeName="plain", metadata=bound))
        await world.settle()
        assert claim_of(world).status.phase == "Pending"
        assert volume_of(world, "gold").status.phase == "Available"
        assert "VolumeMismatch" in reasons(world)
        assert claim_of(world, "fair").status.phase == "Bound"

    run_world(body, parts=BINDER)


def test_a_folder_has_a_name_that_a_file_system_takes_however_long_the_claims_is() -> None:
    long = claim("d" * 253, storageClassName="host-path", metadata={"uid": "1-2-3"}, namespace="n" * 63)
    where = provisioner.volume_for(long, StorageClass(), node("n1")).spec.host_path
    assert where is not None
    folder, name = where.path.rsplit("/", 1)
    assert folder == host_path.FOLDER
    assert name.startswith("pvc-1-2-3_nnn")
    assert len(name) == 255


def folder_volume(**more: Any) -> PersistentVolume:
    meta = {"labels": {NODE_LABEL: "node-1"}, "finalizers": [FINALIZER], **more}
    return persistent_volume("pvc-x", metadata=meta, persistentVolumeReclaimPolicy="Delete")


def test_a_deleted_volume_waits_for_its_node_to_remove_the_folder() -> None:
    async def body(world: World) -> None:
        world.put(node("node-1"), node("node-2"), folder_volume())
        await world.settle()
        await world.client.delete(PersistentVolume, "pvc-x")
        await world.settle()
        assert volume_of(world, "pvc-x").metadata.finalizers == [FINALIZER]

    run_world(body, parts=ALL)


def test_a_deleted_volume_does_not_wait_for_a_node_that_is_gone() -> None:
    """Whether the node goes before or after it."""

    async def body(world: World) -> None:
        world.put(node("node-1"), folder_volume())
        await world.settle()
        await world.client.delete(PersistentVolume, "pvc-x")
        await world.settle()
        await world.client.delete(Node, "node-1")
        await world.settle()
        assert world.api.get(PersistentVolume, "pvc-x") is None
        world.put(folder_volume())
        await world.settle()
        assert volume_of(world, "pvc-x"), "nobody deleted it"
        await world.client.delete(PersistentVolume, "pvc-x")
        await world.settle()
        assert world.api.get(PersistentVolume, "pvc-x") is None

    run_world(body, parts=ALL)


@pytest.mark.parametrize(
    ("said", "parameters", "folder"),
    [
        ("/data/agent/volumes", {}, "/data/agent/volumes"),
        ("/data/agent/volumes", {"path": "/mine/"}, "/mine"),
        ("", {}, host_path.FOLDER),
        ("relative", {}, host_path.FOLDER),
        ("/a/../etc", {}, host_path.FOLDER),
    ],
)
def test_folders_are_made_where_the_class_or_the_node_says(said: str, parameters: dict[str, str], folder: str) -> None:
    there = node("node-1")
    there.metadata.annotations = {VOLUMES_ANNOTATION: said}
    made = provisioner.volume_for(claim("data", metadata={"uid": "1-2"}), StorageClass(parameters=parameters), there)
    assert made.spec.host_path is not None
    assert made.spec.host_path.path == f"{folder}/pvc-1-2_default_data"
    assert own_folder(made) == made.spec.host_path.path


def test_a_made_volume_is_reached_from_its_node_alone_also_when_others_have_its_hostname() -> None:
    made = provisioner.volume_for(claim("data", metadata={"uid": "1-2"}), StorageClass(), node("node-1"))
    assert made.spec.node_affinity is not None
    assert made.spec.node_affinity.required is not None
    (term,) = map(node_term, made.spec.node_affinity.required.node_selector_terms)
    labels = {"kubernetes.io/hostname": "node-1"}
    assert term.matches("node-1", labels)
    assert not term.matches("node-2", labels)


def test_a_made_volume_says_whose_folder_it_is() -> None:
    name = "n" * 80
    made = provisioner.volume_for(claim("data", metadata={"uid": "1-2"}), StorageClass(), node(name))
    assert made.metadata.labels == {NODE_LABEL: label_of(name)}
    assert is_label_value(label_of(name)) == []
    assert label_of(name) != label_of(name + "n")
    assert label_of("node-1") == "node-1"
    assert own_folder(made) == (made.spec.host_path.path if made.spec.host_path else None)


@pytest.mark.parametrize(
    "change",
    [
        {"path": "/etc"},
        {"path": "/var/lib/kmini/volumes/pvc-1-2_default_data/../other"},
        {"path": "/var/../pvc-1-2_default_data"},
        {"path": "pvc-1-2_default_data"},
        {"path": "/pvc-1-2_default_data"},
        {"name": "pvc-9"},
        {"by": "somebody/else"},
    ],
)
def test_nothing_else_is_taken_for_a_folder_of_ours(change: dict[str, str]) -> None:
    made = provisioner.volume_for(claim("data", metadata={"uid": "1-2"}), StorageClass(), node("node-1"))
    assert made.spec.host_path is not None
    made.spec.host_path.path = change.get("path", made.spec.host_path.path)
    made.metadata.name = change.get("name", made.metadata.name)
    made.metadata.annotations[PROVISIONED_BY] = change.get("by", PROVISIONER)
    assert own_folder(made) == ""
