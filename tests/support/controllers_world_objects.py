"""Objects for worlds of controllers, as short as a test wants to say them. Fields are JSON's; nothing is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from apiserver.api.apps import Deployment, ReplicaSet
from apiserver.api.coordination import Lease
from apiserver.api.core.config import ConfigMap
from apiserver.api.core.namespace import Namespace
from apiserver.api.core.node import Node
from apiserver.api.core.persistent_volumes import PersistentVolume, PersistentVolumeClaim
from apiserver.api.core.pod import Pod
from apiserver.api.core.service import Service
from apiserver.api.kinds import kind_of
from apiserver.api.meta import TopObject
from apiserver.api.scheduling import PriorityClass
from apiserver.api.storage import StorageClass

T = TypeVar("T", bound=TopObject)
Json = Mapping[str, Any]

DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


def made(type_: type[T], name: str, metadata: Json | None = None, **fields: Any) -> T:
    """An object of a kind from its JSON fields. A name that ends in - is left to the server (generateName)."""
    kind = kind_of(type_)
    named = {"generateName": name} if name.endswith("-") else {"name": name}
    values = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {**named, **(metadata or {})}, **fields}
    return msgspec.convert(values, type_)


def owner_of(obj: TopObject, *, controller: bool = True, blocks: bool = True) -> dict[str, Any]:
    """As ownerReferences have it."""
    kind, meta = kind_of(type(obj)), obj.metadata
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "name": meta.name,
        "uid": meta.uid,
        "controller": controller,
        "blockOwnerDeletion": blocks,
    }


def _metadata(labels: Json | None, more: Json | None, namespace: str = "default") -> dict[str, Any]:
    return {"namespace": namespace, "labels": dict(labels or {}), **(more or {})}


def node(
    name: str,
    *,
    cpu: str = "4",
    memory: str = "8Gi",
    pods: int = 110,
    zone: str = "",
    labels: Json | None = None,
    taints: Sequence[Json] = (),
    ready: bool = True,
    metadata: Json | None = None,
    **spec: Any,
) -> Node:
    has = {"cpu": cpu, "memory": memory, "pods": str(pods), "ephemeral-storage": "100Gi"}
    known = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    if zone:
        known["topology.kubernetes.io/zone"] = zone
    condition = {"type": "Ready", "status": "True" if ready else "False", "reason": "KubeletReady"}
    return made(
        Node,
        name,
        {"labels": known | dict(labels or {}), **(metadata or {})},
        spec={"taints": list(taints), **spec},
        status={
            "capacity": has,
            "allocatable": has,
            "conditions": [condition],
            "addresses": [{"type": "Hostname", "address": name}],
        },
    )


def pod_spec(
    *, image: str = "app:1", cpu: str = "100m", memory: str = "64Mi", containers: Any = None, **spec: Any
) -> Any:
    requests = {key: value for key, value in (("cpu", cpu), ("memory", memory)) if value}
    container = {"name": "app", "image": image, "resources": {"requests": requests}}
    return {"containers": containers or [container], **spec}


def pod(
    name: str,
    *,
    namespace: str = "default",
    labels: Json | None = None,
    metadata: Json | None = None,
    node_name: str = "",
    status: Json | None = None,
    **spec: Any,
) -> Pod:
    """`spec`: image, cpu, memory, and fields of the spec in JSON's names."""
    place = {"nodeName": node_name} if node_name else {}
    return made(
        Pod,
        name,
        _metadata(labels, metadata, namespace),
        spec=pod_spec(**spec) | place,
        **({"status": status} if status else {}),
    )


def template(labels: Json, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"labels": dict(labels)}, "spec": pod_spec(**spec)}


def deployment(
    name: str,
    replicas: int = 1,
    *,
    namespace: str = "default",
    labels: Json | None = None,
    metadata: Json | None = None,
    image: str = "app:1",
    pod: Json | None = None,
    **spec: Any,
) -> Deployment:
    """`pod`: what `pod_spec` takes. `spec`: fields in JSON's names (strategy, minReadySeconds, ...)."""
    labels = labels or {"app": name}
    return made(
        Deployment,
        name,
        _metadata(labels, metadata, namespace),
        spec={
            "replicas": replicas,
            "selector": {"matchLabels": dict(labels)},
            "template": template(labels, image=image, **(pod or {})),
            **spec,
        },
    )


def replica_set(
    name: str,
    replicas: int = 1,
    *,
    namespace: str = "default",
    labels: Json | None = None,
    metadata: Json | None = None,
    image: str = "app:1",
    pod: Json | None = None,
    **spec: Any,
) -> ReplicaSet:
    labels = labels or {"app": name}
    return made(
        ReplicaSet,
        name,
        _metadata(labels, metadata, namespace),
        spec={
            "replicas": replicas,
            "selector": {"matchLabels": dict(labels)},
            "template": template(labels, image=image, **(pod or {})),
            **spec,
        },
    )


def service(
    name: str,
    selector: Json | None = None,
    *,
    namespace: str = "default",
    ports: Sequence[Json] = ({"port": 80},),
    metadata: Json | None = None,
    **spec: Any,
) -> Service:
    values = {"selector": dict(selector or {}), "ports": list(ports), **spec}
    return made(Service, name, _metadata(None, metadata, namespace), spec=values)


def namespace(name: str, **metadata: Any) -> Namespace:
    return made(Namespace, name, metadata)


def config_map(
    name: str, data: Json | None = None, *, namespace: str = "default", metadata: Json | None = None
) -> ConfigMap:
    return made(ConfigMap, name, _metadata(None, metadata, namespace), data=dict(data or {}))


def lease(name: str, holder: str, *, namespace: str = "kube-node-lease", **spec: Any) -> Lease:
    return made(Lease, name, {"namespace": namespace}, spec={"holderIdentity": holder, **spec})


def priority_class(name: str, value: int, **fields: Any) -> PriorityClass:
    return made(PriorityClass, name, value=value, **fields)


def storage_class(name: str, provisioner: str, *, default: bool = False, **fields: Any) -> StorageClass:
    annotations = {DEFAULT_CLASS: "true"} if default else {}
    return made(StorageClass, name, {"annotations": annotations}, provisioner=provisioner, **fields)


def persistent_volume(
    name: str, storage: str = "1Gi", *, modes: Sequence[str] = ("ReadWriteOnce",), metadata: Json | None = None,
    path: str = "/data", **spec: Any,
) -> PersistentVolume:  # fmt: skip
    values = {"capacity": {"storage": storage}, "accessModes": list(modes), "hostPath": {"path": path}, **spec}
    return made(PersistentVolume, name, metadata, spec=values)


def claim(
    name: str, storage: str = "1Gi", *, namespace: str = "default", modes: Sequence[str] = ("ReadWriteOnce",),
    metadata: Json | None = None, **spec: Any,
) -> PersistentVolumeClaim:  # fmt: skip
    values = {"accessModes": list(modes), "resources": {"requests": {"storage": storage}}, **spec}
    return made(PersistentVolumeClaim, name, _metadata(None, metadata, namespace), spec=values)
