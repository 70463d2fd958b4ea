"""The pod's structs, and those of volumes and claims, against the models of the official client."""

from __future__ import annotations

import re
import typing

import msgspec
import pytest
from client_models import docstrings, fits, pairs_of

from apiserver.api.base import Object
from apiserver.api.core import containers, persistent_volumes, pod, probes, references, scheduling, volumes

KINDS: dict[str, type[Object]] = {
    "V1Pod": pod.Pod,
    "V1PodTemplate": pod.PodTemplate,
    "V1Binding": pod.Binding,
    "V1PersistentVolume": persistent_volumes.PersistentVolume,
    "V1PersistentVolumeClaim": persistent_volumes.PersistentVolumeClaim,
}
#: Fields that came after 1.33.
NEWER = {
    "V1Container": {"restartPolicyRules"},
    "V1EphemeralContainer": {"restartPolicyRules"},
    "V1EnvVarSource": {"fileKeyRef"},
    "V1PodSpec": {"evictionResponders", "hostnameOverride", "schedulingGroup"},
    "V1PodStatus": {
        "allocatedResources",
        "extendedResourceClaimStatus",
        "nodeAllocatableResourceClaimStatuses",
        "resources",
        "volumeHealth",
    },
    "V1VolumeProjection": {"podCertificate"},
    "V1ClusterTrustBundleProjection": {"user"},
    "V1ConfigMapVolumeSource": {"defaultUser"},
    "V1DownwardAPIVolumeFile": {"user"},
    "V1DownwardAPIVolumeSource": {"defaultUser"},
    "V1EmptyDirVolumeSource": {"mode"},
    "V1GRPCAction": {"mode"},
    "V1HTTPGetAction": {"protocol"},
    "V1KeyToPath": {"user"},
    "V1PersistentVolumeClaimStatus": {"healthStatus"},
    "V1ProjectedVolumeSource": {"defaultUser"},
    "V1ResourceHealth": {"message"},
    "V1SecretVolumeSource": {"defaultUser"},
    "V1ServiceAccountTokenProjection": {"user"},
    "V1VolumeMount": {"bindMountOptions"},
    "V1VolumeMountStatus": {"volumeStatus"},
}


def all_structs() -> set[type[Object]]:
    return {pair[1] for model, type_ in KINDS.items() for pair in pairs_of(model, type_)}


@pytest.mark.parametrize("model", sorted(KINDS))
def test_fields_are_those_of_kubernetes(model: str) -> None:
    missing, wrong = [], []
    for name, struct, json_name, kind, hint in pairs_of(model, KINDS[model]):
        if hint is None:
            if json_name not in NEWER.get(name, set()):
                missing.append(f"{struct.__name__}.{json_name}")
        elif not fits(kind, hint):
            wrong.append(f"{struct.__name__}.{json_name}: {kind}, ours {hint}")
    assert missing == []
    assert wrong == []


@pytest.mark.parametrize("model", sorted(KINDS))
def test_no_field_is_our_own(model: str) -> None:
    theirs: dict[type[Object], set[str]] = {}
    for _, struct, json_name, _, _ in pairs_of(model, KINDS[model]):
        theirs.setdefault(struct, set()).add(json_name)
    own = {
        f"{struct.__name__}.{field.encode_name}"
        for struct, names in theirs.items()
        for field in msgspec.structs.fields(struct)
        if field.encode_name not in names
    }
    assert own == set()


@pytest.mark.parametrize("model", sorted(KINDS))
def test_structs_are_named_as_the_models(model: str) -> None:
    named = {(name.removeprefix("V1"), struct.__name__) for name, struct, *_ in pairs_of(model, KINDS[model])}
    assert {pair for pair in named if pair[0] != pair[1] and pair[0] != "CoreV1ResourceClaim"} == set()


def test_there_are_many() -> None:
    assert len(all_structs()) > 120


def test_every_field_is_explained() -> None:
    silent = [
        f"{struct.__name__}.{field.name}"
        for struct in all_structs()
        for field in msgspec.structs.fields(struct)
        if not re.search(rf"^ +{field.name}: \S", docstrings(struct), re.MULTILINE)
    ]
    assert silent == []


def test_empty_objects_survive_the_wire() -> None:
    for struct in all_structs():
        assert msgspec.json.decode(msgspec.json.encode(struct()), type=struct) == struct()


def test_what_clients_demand_is_written_even_when_it_is_zero() -> None:
    written: list[tuple[Object, bytes]] = [
        (containers.Container(), b'{"name":"","resources":{}}'),
        (containers.VolumeMount(), b'{"name":"","mountPath":""}'),
        (containers.ResourceFieldSelector(), b'{"resource":"","divisor":"0"}'),
        (probes.GRPCAction(), b'{"port":0}'),
        (probes.Probe(), b"{}"),
        (references.TypedLocalObjectReference(), b'{"kind":"","name":""}'),
        (scheduling.NodeSelector(), b'{"nodeSelectorTerms":[]}'),
        (volumes.KeyToPath(), b'{"key":"","path":""}'),
        (pod.PodCondition(), b'{"type":"","status":""}'),
        (
            pod.ContainerStatus(),
            b'{"name":"","state":{},"lastState":{},"ready":false,"restartCount":0,"image":"","imageID":""}',
        ),
        (pod.Pod(), b'{"metadata":{},"spec":{"containers":[]},"status":{}}'),
    ]
    assert [(msgspec.json.encode(value), text) for value, text in written if msgspec.json.encode(value) != text] == []


def merge_keys(struct: type[Object]) -> dict[str, tuple[str, str]]:
    found = {}
    for field in msgspec.structs.fields(struct):
        hint = typing.get_type_hints(struct, include_extras=True)[field.name]
        for note in getattr(hint, "__metadata__", ()):
            if note.extra and "patch_merge_key" in note.extra:
                found[field.encode_name] = (note.extra["patch_strategy"], note.extra["patch_merge_key"])
    return found


def test_lists_are_patched_by_the_keys_of_kubernetes() -> None:
    assert merge_keys(containers.Container) == {
        "ports": ("merge", "containerPort"),
        "env": ("merge", "name"),
        "volumeMounts": ("merge", "mountPath"),
        "volumeDevices": ("merge", "devicePath"),
    }
    assert merge_keys(pod.PodSpec) == {
        "volumes": ("merge,retainKeys", "name"),
        "initContainers": ("merge", "name"),
        "containers": ("merge", "name"),
        "ephemeralContainers": ("merge", "name"),
        "imagePullSecrets": ("merge", "name"),
        "hostAliases": ("merge", "ip"),
        "topologySpreadConstraints": ("merge", "topologyKey"),
        "schedulingGates": ("merge", "name"),
        "resourceClaims": ("merge,retainKeys", "name"),
    }
    assert merge_keys(pod.PodStatus) == {
        "conditions": ("merge", "type"),
        "hostIPs": ("merge", "ip"),
        "podIPs": ("merge", "ip"),
        "resourceClaimStatuses": ("merge,retainKeys", "name"),
    }


def test_each_object_has_empty_lists_of_its_own() -> None:
    pod.PodSpec().containers.append(containers.Container(name="a"))
    assert pod.PodSpec().containers == []
