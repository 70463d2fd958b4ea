"""PersistentVolumes and claims: defaults, rules, and what may change; sources of pods that the two share."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from checked_pods import changed, found_in, found_in_update, read, shown

from apiserver.api.core.persistent_volumes import PersistentVolume, PersistentVolumeClaim
from apiserver.api.fields import Causes
from apiserver.registry.strategies.persistent_volume import PersistentVolumeClaimStrategy, PersistentVolumeStrategy

VOLUMES, CLAIMS = PersistentVolumeStrategy(), PersistentVolumeClaimStrategy()
VOLUME: dict[str, Any] = {
    "metadata": {"name": "disk"},
    "spec": {"capacity": {"storage": "1024Mi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/data"}},
}
CLAIM: dict[str, Any] = {
    "metadata": {"name": "data", "namespace": "default"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}
NODES = {"required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "Exists"}]}]}}


def with_source(name: str, source: dict[str, Any]) -> dict[str, Any]:
    return {"spec.hostPath": ..., f"spec.{name}": source}


def test_defaults_of_a_volume() -> None:
    volume = read(VOLUME, PersistentVolume, VOLUMES)
    assert msgspec.to_builtins(volume)["spec"] == {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": "/data", "type": ""},
        "persistentVolumeReclaimPolicy": "Retain",
        "volumeMode": "Filesystem",
    }
    assert volume.status.phase == VOLUMES.initial_status(volume).phase == "Pending"
    assert found_in(volume, VOLUMES) == []


@pytest.mark.parametrize(
    ("changes", "reason", "field"),
    [
        ({"spec.capacity": {}}, "Required", "spec.capacity"),
        ({"spec.capacity": {"cpu": "1"}}, "NotSupported", "spec.capacity"),
        ({"spec.capacity.storage": "0"}, "Invalid", "spec.capacity[storage]"),
        ({"spec.accessModes": []}, "Required", "spec.accessModes"),
        ({"spec.accessModes": ["Write"]}, "NotSupported", "spec.accessModes"),
        ({"spec.accessModes": ["ReadWriteOnce", "ReadWriteOncePod"]}, "Forbidden", "spec.accessModes"),
        (
            {"spec.persistentVolumeReclaimPolicy": "Keep"},
            "NotSupported",
            "spec.persistentVolumeReclaimPolicy",
        ),
        (
            {"spec.persistentVolumeReclaimPolicy": "Recycle", "spec.hostPath.path": "/"},
            "Forbidden",
            "spec.persistentVolumeReclaimPolicy",
        ),
        ({"spec.hostPath": ...}, "Required", "spec"),
        ({"spec.nfs": {"server": "a", "path": "/b"}}, "Forbidden", "spec.nfs"),
        ({"spec.hostPath.path": "/a/../b"}, "Invalid", "spec.hostPath.path"),
        ({"spec.storageClassName": "A"}, "Invalid", "spec.storageClassName"),
        ({"spec.volumeMode": "Tape"}, "NotSupported", "spec.volumeMode"),
        ({"spec.nodeAffinity": {}}, "Required", "spec.nodeAffinity.required"),
        (with_source("local", {"path": "/disk"}), "Required", "spec.nodeAffinity"),
        (with_source("local", {"path": ""}), "Required", "spec.local.path"),
        (with_source("nfs", {"server": "", "path": "/b"}), "Required", "spec.nfs.server"),
        (with_source("csi", {"driver": "d", "volumeHandle": ""}), "Required", "spec.csi.volumeHandle"),
        (
            with_source("csi", {"driver": "d", "volumeHandle": "v", "nodePublishSecretRef": {"name": "s"}}),
            "Required",
            "spec.csi.nodePublishSecretRef.namespace",
        ),
        (with_source("csi", {"driver": "d" * 64, "volumeHandle": "v"}), "TooLong", "spec.csi.driver"),
        (with_source("iscsi", {"targetPortal": "a", "iqn": "iqn.x", "lun": 0}), "Invalid", "spec.iscsi.iqn"),
        (
            with_source("iscsi", {"targetPortal": "a", "iqn": "iqn.2001-04.com.example:a", "lun": 256}),
            "Invalid",
            "spec.iscsi.lun",
        ),
        (
            with_source(
                "iscsi",
                {"targetPortal": "a", "iqn": "iqn.2001-04.com.example:a", "lun": 0, "chapAuthSession": True},
            ),
            "Required",
            "spec.iscsi.secretRef",
        ),
        (with_source("fc", {}), "Required", "spec.fc.targetWWNs"),
        (with_source("fc", {"targetWWNs": ["a"]}), "Required", "spec.fc.lun"),
        (with_source("fc", {"targetWWNs": ["a"], "wwids": ["b"], "lun": 1}), "Invalid", "spec.fc.targetWWNs"),
        (with_source("gcePersistentDisk", {"pdName": ""}), "Required", "spec.gcePersistentDisk.pdName"),
        (
            with_source("awsElasticBlockStore", {"volumeID": "v", "partition": 256}),
            "Invalid",
            "spec.awsElasticBlockStore.partition",
        ),
        (with_source("rbd", {"monitors": [], "image": "a"}), "Required", "spec.rbd.monitors"),
        (with_source("cephfs", {"monitors": []}), "Required", "spec.cephfs.monitors"),
        (
            with_source("cinder", {"volumeID": "v", "secretRef": {"name": "s"}}),
            "Required",
            "spec.cinder.secretRef.namespace",
        ),
        (
            with_source("glusterfs", {"endpoints": "e", "path": "p", "endpointsNamespace": ""}),
            "Invalid",
            "spec.glusterfs.endpointsNamespace",
        ),
        (with_source("flocker", {"datasetName": "a/b"}), "Invalid", "spec.flocker.datasetName"),
        (with_source("flocker", {}), "Required", "spec.flocker"),
        (
            with_source("flexVolume", {"driver": "d", "options": {"kubernetes.io/a": "b"}}),
            "Invalid",
            "spec.flexVolume.options[kubernetes.io/a]",
        ),
        (with_source("azureFile", {"secretName": "s", "shareName": ""}), "Required", "spec.azureFile.shareName"),
        (with_source("azureDisk", {"diskName": "d", "diskURI": "x"}), "NotSupported", "spec.azureDisk.diskURI"),
        (with_source("quobyte", {"registry": "r", "volume": "v"}), "Invalid", "spec.quobyte.registry"),
        (with_source("scaleIO", {"gateway": "g", "system": "", "volumeName": "v"}), "Required", "spec.scaleIO.system"),
        (with_source("storageos", {"volumeName": "A"}), "Invalid", "spec.storageos.volumeName"),
        (with_source("photonPersistentDisk", {"pdID": ""}), "Required", "spec.photonPersistentDisk.pdID"),
        (with_source("portworxVolume", {"volumeID": ""}), "Required", "spec.portworxVolume.volumeID"),
        (with_source("vsphereVolume", {"volumePath": ""}), "Required", "spec.vsphereVolume.volumePath"),
        ({"spec.volumeAttributesClassName": "c"}, "Required", "spec.csi"),
    ],
)
def test_wrong_volumes(changes: dict[str, Any], reason: str, field: str) -> None:
    assert (reason, field) in found_in(read(changed(VOLUME, changes), PersistentVolume, VOLUMES), VOLUMES)


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ({}, {"spec.capacity.storage": "2Gi"}, []),
        ({}, {"spec.persistentVolumeReclaimPolicy": "Delete"}, []),
        ({}, {"spec.claimRef": {"namespace": "default", "name": "data"}}, []),
        ({}, {"spec.nodeAffinity": NODES}, []),
        ({}, {"spec.hostPath.path": "/other"}, [("Forbidden", "spec.persistentvolumesource")]),
        ({}, {"spec.volumeMode": "Block"}, [("Invalid", "volumeMode")]),
        ({"spec.nodeAffinity": NODES}, {"spec.nodeAffinity": ...}, [("Invalid", "nodeAffinity")]),
        (
            with_source("csi", {"driver": "d", "volumeHandle": "v"}),
            {"spec.csi.controllerExpandSecretRef": {"name": "a", "namespace": "b"}},
            [],
        ),
        (
            with_source("csi", {"driver": "d", "volumeHandle": "v"}),
            {"spec.csi.volumeHandle": "w"},
            [("Forbidden", "spec.persistentvolumesource")],
        ),
    ],
)
def test_changes_of_a_volume(before: dict[str, Any], after: dict[str, Any], found: list[tuple[str, str]]) -> None:
    old = changed(VOLUME, before)
    new, was = (read(each, PersistentVolume, VOLUMES) for each in (changed(old, after), old))
    assert found_in_update(new, was, VOLUMES) == found


def test_labels_of_an_affinity_may_get_their_new_names() -> None:
    key = "spec.nodeAffinity.required.nodeSelectorTerms.0.matchExpressions.0.key"
    old = changed(VOLUME, {"spec.nodeAffinity": NODES})
    old = changed(old, {key: "failure-domain.beta.kubernetes.io/zone"})
    for name, found in (("topology.kubernetes.io/zone", []), ("topology.kubernetes.io/region", ["nodeAffinity"])):
        new, was = (read(each, PersistentVolume, VOLUMES) for each in (changed(old, {key: name}), old))
        assert [field for _, field in found_in_update(new, was, VOLUMES)] == found


def test_defaults_of_a_claim() -> None:
    document = changed(CLAIM, {"spec.dataSource": {"kind": "PersistentVolumeClaim", "name": "old"}})
    claim = read(document, PersistentVolumeClaim, CLAIMS)
    assert claim.spec.volume_mode == "Filesystem"
    assert claim.spec.data_source_ref is not None
    assert claim.spec.data_source_ref.name == "old"
    assert claim.status.phase == CLAIMS.initial_status(claim).phase == "Pending"
    assert found_in(claim, CLAIMS) == []


@pytest.mark.parametrize(
    ("changes", "reason", "field"),
    [
        ({"spec.accessModes": []}, "Required", "spec.accessModes"),
        ({"spec.accessModes": ["Write"]}, "NotSupported", "spec.accessModes"),
        ({"spec.resources": {}}, "Required", "spec.resources[storage]"),
        ({"spec.resources.requests.storage": "-1"}, "Invalid", "spec.resources[storage]"),
        ({"spec.selector.matchLabels": {"a": "b c"}}, "Invalid", "spec.selector.matchLabels"),
        ({"spec.storageClassName": "A"}, "Invalid", "spec.storageClassName"),
        ({"spec.volumeMode": "Tape"}, "NotSupported", "spec.volumeMode"),
        ({"spec.dataSource": {"kind": "Other", "name": "a"}}, "Invalid", "spec.dataSource"),
        ({"spec.dataSource": {"kind": "PersistentVolumeClaim", "name": ""}}, "Required", "spec.dataSource.name"),
        (
            {
                "spec.dataSource": {"kind": "PersistentVolumeClaim", "name": "a"},
                "spec.dataSourceRef": {"kind": "PersistentVolumeClaim", "name": "b"},
            },
            "Invalid",
            "spec",
        ),
    ],
)
def test_wrong_claims(changes: dict[str, Any], reason: str, field: str) -> None:
    assert (reason, field) in found_in(read(changed(CLAIM, changes), PersistentVolumeClaim, CLAIMS), CLAIMS)


BOUND = {"status.phase": "Bound", "status.capacity": {"storage": "1Gi"}, "spec.volumeName": "disk"}
SIZE = "spec.resources.requests.storage"


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ({}, {"metadata.labels": {"a": "b"}}, []),
        ({}, {"spec.volumeName": "disk"}, []),
        ({}, {"spec.storageClassName": "fast"}, []),
        (BOUND, {SIZE: "2Gi"}, []),
        ({**BOUND, SIZE: "4Gi"}, {SIZE: "2Gi"}, []),
        ({**BOUND, SIZE: "4Gi"}, {SIZE: "1Gi"}, [("Forbidden", SIZE)]),
        ({}, {SIZE: "2Gi"}, [("Forbidden", "spec")]),
        (BOUND, {"spec.volumeName": "other"}, [("Forbidden", "spec")]),
        ({}, {"spec.accessModes": ["ReadWriteMany"]}, [("Forbidden", "spec")]),
        ({"spec.storageClassName": "slow"}, {"spec.storageClassName": "fast"}, [("Forbidden", "spec")]),
        ({}, {"spec.volumeMode": "Block"}, [("Forbidden", "spec"), ("Invalid", "volumeMode")]),
    ],
)
def test_changes_of_a_claim(before: dict[str, Any], after: dict[str, Any], found: list[tuple[str, str]]) -> None:
    old = changed(CLAIM, before)
    new, was = (read(each, PersistentVolumeClaim, CLAIMS) for each in (changed(old, after), old))
    assert found_in_update(new, was, CLAIMS) == found


def test_what_may_be_said_of_a_claim() -> None:
    new = read(changed(CLAIM, {"status.capacity": {"storage": "-1"}}), PersistentVolumeClaim, CLAIMS)
    new.status.allocated_resource_statuses = {"storage": "Growing"}
    causes = Causes()
    CLAIMS.validate_status(new, new, causes)
    assert shown(causes) == [
        ("Invalid", "status.capacity[storage]"),
        ("NotSupported", "status.allocatedResourceStatuses"),
    ]
