"""What `kubectl get -o wide` says of every kind but pods; golden/kinds.txt is read in review."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import golden
import msgspec
import pytest
import view_objects as some

from apiserver.api import apps, certificates, coordination, discovery, events, metrics, rbac, scheduling, storage
from apiserver.api.core import config, endpoints, event, namespace, node, persistent_volumes, pod, service
from apiserver.api.core.service_account import ServiceAccount
from apiserver.api.meta import LabelSelector
from apiserver.registry.columns import COLUMNS, DEFAULT, cells
from apiserver.registry.table import table

GOLDEN = Path(__file__).parent / "golden" / "kinds.txt"
TEMPLATE = {
    "metadata": {"labels": {"app": "x", "tier": "y"}},
    "spec": {"containers": [{"name": "a", "image": "i:1"}, {"name": "b", "image": "j"}]},
}
SELECTOR = {"matchLabels": {"b": "2", "a": "1"}, "matchExpressions": [{"key": "c", "operator": "Exists"}]}
TARGET = {"kind": "Pod", "name": "p", "namespace": "default", "fieldPath": "spec.containers{c}"}

#: key of the columns -> what makes each object special -> type and its fields beside metadata.
KINDS: dict[str, list[tuple[str, type, dict[str, Any]]]] = {
    "nodes": [
        ("new", node.Node, {}),
        (
            "ready, two roles",
            node.Node,
            {
                "metadata": {"labels": {"node-role.kubernetes.io/b": "", "kubernetes.io/role": "a"}},
                "spec": {"unschedulable": True},
                "status": {
                    "conditions": [some.condition("Ready")],
                    "addresses": [
                        {"type": "InternalIP", "address": "10.0.0.1"},
                        {"type": "InternalIP", "address": "10.0.0.2"},
                    ],
                    "nodeInfo": {"kubeletVersion": "v1.33.0", "osImage": "Debian"},
                },
            },
        ),
        ("not ready", node.Node, {"status": {"conditions": [some.condition("Ready", "Unknown")]}}),
    ],
    "namespaces": [("active", namespace.Namespace, {"status": {"phase": "Active"}})],
    "services": [
        (
            "cluster ip",
            service.Service,
            {
                "spec": {
                    "type": "ClusterIP",
                    "clusterIP": "10.96.0.1",
                    "clusterIPs": ["10.96.0.1"],
                    "ports": [{"port": 80, "protocol": "TCP"}, {"port": 53, "protocol": "UDP", "nodePort": 30053}],
                    "selector": {"b": "2", "a": "1"},
                }
            },
        ),
        ("headless", service.Service, {"spec": {"type": "ClusterIP", "clusterIPs": ["None"]}}),
        ("external name", service.Service, {"spec": {"type": "ExternalName", "externalName": "a.example"}}),
        ("balancer, pending", service.Service, {"spec": {"type": "LoadBalancer"}}),
        (
            "balancer",
            service.Service,
            {
                "spec": {"type": "LoadBalancer", "externalIPs": ["9.9.9.9"]},
                "status": {"loadBalancer": {"ingress": [{"ip": "2.2.2.2"}, {"hostname": "1.example"}]}},
            },
        ),
        ("node port", service.Service, {"spec": {"type": "NodePort", "externalIPs": ["8.8.8.8"]}}),
        ("of no known type", service.Service, {"spec": {"type": ""}}),
    ],
    "endpoints": [
        ("none", endpoints.Endpoints, {}),
        (
            "many",
            endpoints.Endpoints,
            {
                "subsets": [
                    {
                        "addresses": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
                        "ports": [{"port": 80}, {"port": 81}],
                    },
                    {"addresses": [{"ip": "10.0.0.9"}]},
                ]
            },
        ),
    ],
    "discovery.k8s.io/endpointslices": [
        ("empty", discovery.EndpointSlice, {"addressType": "IPv4"}),
        (
            "many",
            discovery.EndpointSlice,
            {
                "addressType": "IPv4",
                "ports": [{"port": 80}, {"name": "web"}, {}, {"port": 4}],
                "endpoints": [{"addresses": [f"10.0.0.{each}"]} for each in range(5)],
            },
        ),
    ],
    "configmaps": [("both", config.ConfigMap, {"data": {"a": "1"}, "binaryData": {"b": "AA=="}})],
    "secrets": [("opaque", config.Secret, {"type": "Opaque", "data": {"a": "AA==", "b": ""}})],
    "serviceaccounts": [("plain", ServiceAccount, {"secrets": [{"name": "s"}]})],
    "podtemplates": [("plain", pod.PodTemplate, {"template": TEMPLATE})],
    "apps/deployments": [
        ("new", apps.Deployment, {"spec": {"replicas": 2, "selector": SELECTOR, "template": TEMPLATE}}),
        (
            "going on",
            apps.Deployment,
            {
                "spec": {"replicas": 3, "selector": {}, "template": TEMPLATE},
                "status": {"replicas": 4, "readyReplicas": 2, "updatedReplicas": 1, "availableReplicas": 2},
            },
        ),
    ],
    "apps/replicasets": [
        (
            "plain",
            apps.ReplicaSet,
            {
                "spec": {"replicas": 3, "selector": SELECTOR, "template": TEMPLATE},
                "status": {"replicas": 2, "readyReplicas": 1},
            },
        ),
        ("no selector", apps.ReplicaSet, {"spec": {"replicas": 0, "selector": {}, "template": TEMPLATE}}),
    ],
    "persistentvolumes": [
        (
            "bound",
            persistent_volumes.PersistentVolume,
            {
                "spec": {
                    "capacity": {"storage": "1Gi"},
                    "accessModes": ["ReadWriteMany", "ReadWriteOnce"],
                    "persistentVolumeReclaimPolicy": "Retain",
                    "claimRef": {"namespace": "n", "name": "c"},
                    "storageClassName": "fast",
                    "volumeMode": "Filesystem",
                },
                "status": {"phase": "Bound", "reason": ""},
            },
        ),
        (
            "going",
            persistent_volumes.PersistentVolume,
            {
                "metadata": {
                    "annotations": {"volume.beta.kubernetes.io/storage-class": "old"},
                    **some.DELETED,
                },
                "status": {"phase": "Released"},
            },
        ),
    ],
    "persistentvolumeclaims": [
        ("pending", persistent_volumes.PersistentVolumeClaim, {"status": {"phase": "Pending"}}),
        (
            "bound",
            persistent_volumes.PersistentVolumeClaim,
            {
                "spec": {"volumeName": "v", "storageClassName": "fast", "volumeMode": "Block"},
                "status": {"phase": "Bound", "accessModes": ["ReadWriteOncePod"], "capacity": {"storage": "2Gi"}},
            },
        ),
    ],
    "storage.k8s.io/storageclasses": [
        ("plain", storage.StorageClass, {"provisioner": "p"}),
        (
            "default",
            storage.StorageClass,
            {
                "metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
                "provisioner": "p",
                "reclaimPolicy": "Retain",
                "volumeBindingMode": "WaitForFirstConsumer",
                "allowVolumeExpansion": True,
            },
        ),
    ],
    "scheduling.k8s.io/priorityclasses": [
        (
            "plain",
            scheduling.PriorityClass,
            {"value": -5, "globalDefault": True, "preemptionPolicy": "Never"},
        )
    ],
    "coordination.k8s.io/leases": [
        ("held", coordination.Lease, {"spec": {"holderIdentity": "n1"}}),
        ("free", coordination.Lease, {}),
    ],
    "events": [
        (
            "counted",
            event.Event,
            {
                "involvedObject": TARGET,
                "type": "Warning",
                "reason": "BackOff",
                "message": " it fails\n",
                "source": {"component": "agent", "host": "n1"},
                "firstTimestamp": some.CREATED,
                "lastTimestamp": some.ENDED,
                "count": 4,
            },
        ),
        (
            "of the new form",
            event.Event,
            {
                "involvedObject": {"kind": "Node"},
                "eventTime": "2025-12-31T23:58:00.000000Z",
                "reportingComponent": "scheduler",
                "reportingInstance": "s1",
            },
        ),
        (
            "in a series",
            event.Event,
            {
                "involvedObject": TARGET,
                "eventTime": "2025-12-31T23:58:00.000000Z",
                "series": {"count": 9, "lastObservedTime": "2025-12-31T23:59:00.000000Z"},
            },
        ),
    ],
    "events.k8s.io/events": [
        (
            "plain",
            events.Event,
            {
                "regarding": TARGET,
                "type": "Normal",
                "reason": "Scheduled",
                "note": "went to n1",
                "eventTime": "2025-12-31T23:58:00.000000Z",
                "reportingController": "scheduler",
            },
        )
    ],
    "rbac.authorization.k8s.io/roles": [("plain", rbac.Role, {})],
    "rbac.authorization.k8s.io/rolebindings": [
        (
            "plain",
            rbac.RoleBinding,
            {
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
                "subjects": [
                    {"kind": "User", "name": "u1"},
                    {"kind": "User", "name": "u2"},
                    {"kind": "Group", "name": "g"},
                    {"kind": "ServiceAccount", "name": "s", "namespace": "n"},
                ],
            },
        )
    ],
    "certificates.k8s.io/certificatesigningrequests": [
        ("pending", certificates.CertificateSigningRequest, {"spec": {"signerName": "x/y", "username": "u"}}),
        (
            "issued",
            certificates.CertificateSigningRequest,
            {
                "spec": {"signerName": "x/y", "username": "u", "expirationSeconds": 3600},
                "status": {"conditions": [some.condition("Approved")], "certificate": "AA=="},
            },
        ),
        (
            "denied after approval",
            certificates.CertificateSigningRequest,
            {
                "status": {
                    "conditions": [some.condition("Approved"), some.condition("Denied"), some.condition("Failed")]
                }
            },
        ),
    ],
    "metrics.k8s.io/nodes": [
        ("busy", metrics.NodeMetrics, {"window": "10.5s", "usage": {"cpu": "1500000001n", "memory": "2048Ki"}}),
    ],
    "metrics.k8s.io/pods": [
        (
            "two containers",
            metrics.PodMetrics,
            {
                "window": "10.5s",
                "containers": [
                    {"name": "a", "usage": {"cpu": "1500000n", "memory": "2Mi"}},
                    {"name": "b", "usage": {"cpu": "500000n", "memory": "1Mi"}},
                ],
            },
        ),
    ],
}


def made(type_: type, fields: dict[str, Any]) -> Any:
    meta = some.metadata(**fields.get("metadata", {}))
    return msgspec.convert({**fields, "metadata": meta}, type_)


def test_every_kind_looks_as_users_know_it() -> None:
    lines = []
    for key, objects in KINDS.items():
        columns = COLUMNS[key]
        lines.append(f"{key} | " + " | ".join(each.name.upper() for each in columns))
        for name, type_, fields in objects:
            obj = made(type_, fields)
            lines.append(f"  {name} | " + " | ".join(str(each.cell(obj, some.NOW_S)) for each in columns))
    golden.check_golden(GOLDEN, "\n".join(lines) + "\n")


def test_columns_and_rows_know_each_other() -> None:
    rows = [row for row in table().rows if "list" in row.verbs]
    assert set(COLUMNS) <= {row.key for row in rows}
    assert {row.key for row in rows if not (row.columns or COLUMNS.get(row.stored_as or row.key))} == set()


def test_no_columns_are_left_out_of_the_golden_file() -> None:
    shown = {COLUMNS[key] for key in KINDS} | {COLUMNS["pods"]}
    assert {key for key, columns in COLUMNS.items() if columns not in shown} == set()


@pytest.mark.parametrize("key", sorted(COLUMNS))
def test_an_object_without_anything_has_cells_all_the_same(key: str) -> None:
    types = {name: objects[0][1] for name, objects in KINDS.items()} | {
        "pods": pod.Pod,
        "rbac.authorization.k8s.io/clusterroles": rbac.ClusterRole,
        "rbac.authorization.k8s.io/clusterrolebindings": rbac.ClusterRoleBinding,
    }
    obj = types[key]()
    row = [each.cell(obj, some.NOW_S) for each in COLUMNS[key]]
    assert all(isinstance(cell, str | int | bool | None) for cell in row)
    msgspec.json.encode(row)


@pytest.mark.parametrize("columns", [*COLUMNS.values(), DEFAULT])
def test_columns_are_ones_clients_can_print(columns: tuple[Any, ...]) -> None:
    assert {each.type for each in columns} <= {"string", "integer", "number", "boolean", "date"}
    assert [each.name for each in columns].count("Name") == 1
    assert all(each.description.endswith(".") for each in columns)
    assert {each.priority for each in columns} <= {0, 1}


def test_times_that_are_none_do_not_break_a_list() -> None:
    assert cells.since(None, 0.0) == "<unknown>"
    assert cells.since("", 0.0) == "<unknown>"
    assert cells.since("yesterday", 0.0) == "<unknown>"


def test_a_selector_that_cannot_be_read_says_so() -> None:
    wrong = msgspec.convert({"matchExpressions": [{"key": "a", "operator": "Near"}]}, LabelSelector)
    assert cells.selector(wrong) == "<invalid>"
    assert cells.selector(None) == ""
