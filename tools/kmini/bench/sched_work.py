"""The work of the scheduler's benchmark: nodes in three zones, and pods that ask for what pods ask for. Pure.

Pods come in sets of 50 that are alike, as a ReplicaSet's are, and of ten sets: five ask for nothing but room, one wants
nodes of a tier, one is spread over zones, one keeps its pods off each other's nodes, one takes a host port, and one
tolerates a taint that a tenth of the nodes have. All pods fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from apiserver.api.core.node import Node
from apiserver.api.core.pod import Pod

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


def pod(number: int) -> dict[str, Any]:
    of_set = number // SET
    app = f"app-{of_set:04d}"
    container: dict[str, Any] = {
        "name": "app",
        "image": f"registry.local/{app}:1",
        "env": [{"name": "LOG_LEVEL", "value": "info"}],
        "resources": {"requests": {"cpu": f"{100 + 50 * (of_set % 4)}m", "memory": "128Mi"}},
    }
    if _KINDS[of_set % len(_KINDS)] == "port":
        container["ports"] = [{"containerPort": 8080, "hostPort": 8000 + of_set}]
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": app, "uid": f"uid-of-{app}", "controller": True}
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


def typed_nodes(count: int) -> Iterator[Node]:
    return (msgspec.convert(node(number), Node) for number in range(count))


def typed_pods(count: int) -> Iterator[Pod]:
    return (msgspec.convert(pod(number), Pod) for number in range(count))


def as_json(obj: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(obj)
