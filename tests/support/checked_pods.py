"""Pods for tests of rules: a good one, changes to it by path, and what a strategy finds wrong with it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from apiserver.api.fields import Causes
from apiserver.api.meta import TopObject
from apiserver.registry.strategy import Strategy

T = TypeVar("T", bound=TopObject)

#: Uses most of what a manifest may use, and nothing wrong.
GOOD_POD: dict[str, Any] = {
    "metadata": {"name": "web", "namespace": "default", "labels": {"app": "web"}},
    "spec": {
        "serviceAccountName": "default",
        "volumes": [
            {"name": "config", "configMap": {"name": "settings", "items": [{"key": "a", "path": "b/a"}]}},
            {"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}},
            {"name": "block", "persistentVolumeClaim": {"claimName": "raw"}},
            {
                "name": "token",
                "projected": {
                    "sources": [
                        {"serviceAccountToken": {"path": "token"}},
                        {"configMap": {"name": "ca", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                        {"downwardAPI": {"items": [{"path": "ns", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
                    ]
                },
            },
        ],
        "initContainers": [
            {"name": "prepare", "image": "busybox:1"},
            {
                "name": "proxy",
                "image": "proxy:1",
                "restartPolicy": "Always",
                "startupProbe": {"exec": {"command": ["x"]}},
            },
        ],
        "containers": [
            {
                "name": "app",
                "image": "nginx:1.25",
                "ports": [{"name": "http", "containerPort": 8080, "hostPort": 80}],
                "env": [
                    {"name": "A", "value": "1"},
                    {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
                    {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
                    {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                ],
                "envFrom": [{"configMapRef": {"name": "settings"}}],
                "resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "1", "memory": "128Mi"}},
                "volumeMounts": [
                    {"name": "config", "mountPath": "/etc/app", "readOnly": True},
                    {"name": "scratch", "mountPath": "/tmp", "subPath": "x"},
                ],
                "volumeDevices": [{"name": "block", "devicePath": "/dev/xvda"}],
                "livenessProbe": {"httpGet": {"port": "http"}, "timeoutSeconds": 2},
                "readinessProbe": {"tcpSocket": {"port": 8080}},
                "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
                "securityContext": {"runAsUser": 1000, "capabilities": {"drop": ["ALL"]}},
            }
        ],
        "tolerations": [{"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30}],
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]
                }
            },
            "podAntiAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": 1, "podAffinityTerm": {"topologyKey": "zone", "labelSelector": {}}}
                ]
            },
        },
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}
        ],
        "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["db.example.com"]}],
        "dnsConfig": {"nameservers": ["10.0.0.2"], "searches": ["example.com"], "options": [{"name": "ndots"}]},
    },
}


def changed(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy with values set by path: `spec.containers.0.name`. A number one past the end appends; ... removes."""
    copied: dict[str, Any] = copy.deepcopy(dict(document))
    for path, value in changes.items():
        *parents, last = path.split(".")
        place: Any = copied
        for step in parents:
            place = place[int(step)] if isinstance(place, list) else place.setdefault(step, {})
        if isinstance(place, list):
            place[int(last) : int(last) + 1] = [] if value is ... else [value]
        elif value is ...:
            place.pop(last, None)
        else:
            place[last] = value
    return copied


def read(document: Mapping[str, Any], type_: type[T], strategy: Strategy[T]) -> T:
    """The object with its defaults."""
    obj = msgspec.convert(document, type_)
    strategy.default(obj)
    return obj


def found_in(obj: T, strategy: Strategy[T]) -> list[tuple[str, str]]:
    """Reason (without FieldValue) and field of everything that is wrong with a whole object."""
    causes = Causes()
    strategy.validate(obj, causes)
    return shown(causes)


def found_in_update(new: T, old: T, strategy: Strategy[T]) -> list[tuple[str, str]]:
    causes = Causes()
    strategy.validate_update(new, old, causes)
    return shown(causes)


def shown(causes: Causes) -> list[tuple[str, str]]:
    return [(each.reason.removeprefix("FieldValue"), each.field) for each in causes.found]
