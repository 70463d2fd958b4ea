"""The work of the scheduler's benchmark: nodes in three zones, and pods that ask for what pods ask for. Pure.

Pods come in sets of 50 that are alike, as a ReplicaSet's are, and of ten sets: five ask for nothing but room, one wants
nodes of a tier, one is spread over zones, one keeps its pods off each other's nodes, one takes a host port, and one
tolerates a taint that a tenth of the nodes have. All pods fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

NAMESPACE = "bench"
NODES, PODS = 1_000, 10_000
ZONES = ("a", "b", "c")
SET = 50
_HOSTNAME, _ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
_TAINT = {"key": "dedicated", "value": "batch", "effect": "NoSchedule"}
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_KINDS = ("plain", "plain", "tier", "plain", "zones", "plain", "apart", "port", "plain", "tolerant")


def node(number: int) -> dict[str, Any]:
    name = f"node-{number:04d}"
    has = {"cpu": "16", "memory": "64Gi", "pods": "110", "ephemeral-storage": "100Gi"}
    labels = {_HOSTNAME: name, _ZONE: ZONES[number % len(ZONES)], "tier": ("fast", "slow")[number % 2]}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {**labels, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}},
        "spec": {"taints": [_TAINT]} if number % 10 == 9 else {},
        "status": {
            "capacity": has,
            "allocatable": has,
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
            "nodeInfo": {"kubeletVersion": "v1.33.0", "operatingSystem": "linux", "architecture": "amd64"},
        },
    }


def set_name(of_set: int) -> str:
    return f"app-{of_set:04d}"


def replica_set(of_set: int) -> dict[str, Any]:
    """What owns the pods of a set, and has as many as it wants once they are all there."""
    template = pod(of_set * SET)
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": set_name(of_set), "namespace": NAMESPACE},
        "spec": {
            "replicas": SET,
            "selector": {"matchLabels": {"app": set_name(of_set)}},
            "template": {"metadata": {"labels": template["metadata"]["labels"]}, "spec": template["spec"]},
        },
    }


def pod(number: int, owners: Mapping[str, str] | None = None) -> dict[str, Any]:
    """`owners`: uid of each replica set by its name."""
    of_set = number // SET
    app = set_name(of_set)
    container: dict[str, Any] = {
        "name": "app",
        "image": f"registry.local/{app}:1",
        "env": [{"name": "LOG_LEVEL", "value": "info"}],
        "resources": {"requests": {"cpu": f"{100 + 50 * (of_set % 4)}m", "memory": "128Mi"}},
    }
    if _KINDS[of_set % len(_KINDS)] == "port":
        container["ports"] = [{"containerPort": 8080, "hostPort": 8000 + of_set}]
    uid = owners[app] if owners is not None else f"uid-of-{app}"
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": app, "uid": uid, "controller": True}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{app}-{number:05d}",
            "namespace": NAMESPACE,
            "labels": {"app": app, "pod-template-hash": f"{of_set:08x}"},
            "ownerReferences": [owner],
        },
        "spec": {
            "containers": [container],
            "schedulerName": "default-scheduler",  # a server would add it; a sink does not
            **_asks(_KINDS[of_set % len(_KINDS)], app),
        },
    }


def _asks(kind: str, app: str) -> dict[str, Any]:
    selector = {"matchLabels": {"app": app}}
    match kind:
        case "tier":
            wanted = {"matchExpressions": [{"key": "tier", "operator": "In", "values": ["fast"]}]}
            return {"affinity": {"nodeAffinity": {_REQUIRED: {"nodeSelectorTerms": [wanted]}}}}
        case "zones":
            spread = {"maxSkew": 1, "topologyKey": _ZONE, "whenUnsatisfiable": "DoNotSchedule"}
            return {"topologySpreadConstraints": [{**spread, "labelSelector": selector}]}
        case "apart":
            others = {"labelSelector": selector, "topologyKey": _HOSTNAME}
            return {"affinity": {"podAntiAffinity": {_REQUIRED: [others]}}}
        case "tolerant":
            return {"tolerations": [{"key": "dedicated", "operator": "Exists"}]}
    return {}


def deployment(name: str, replicas: int) -> dict[str, Any]:
    labels = {"app": name}
    container = {"name": "app", "image": "registry.local/app:1", "resources": {"requests": {"cpu": "100m"}}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def as_json(obj: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(obj)
