"""Nodes, namespaces, classes and leases: defaults, every rule, updates and status."""

from __future__ import annotations

from typing import Any

import pytest
from rule_tables import broken, broken_by_status, broken_by_update, changed, created, updated

from apiserver.api.errors import BadRequest

NODE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "n1"},
    "spec": {"podCIDR": "10.244.1.0/24", "taints": [{"key": "example.com/gpu", "effect": "NoSchedule"}]},
}
NAMESPACE: dict[str, Any] = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}, "spec": {}}
ENDING = changed(NAMESPACE, ("metadata.deletionTimestamp", "2026-01-31T12:00:00Z"))
STORAGE: dict[str, Any] = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "fast"},
    "provisioner": "example.com/disks",
    "parameters": {"speed": "high"},
}
PRIORITY: dict[str, Any] = {
    "apiVersion": "scheduling.k8s.io/v1",
    "kind": "PriorityClass",
    "metadata": {"name": "high"},
    "value": 1000,
}
LEASE: dict[str, Any] = {
    "apiVersion": "coordination.k8s.io/v1",
    "kind": "Lease",
    "metadata": {"name": "n1", "namespace": "kube-node-lease"},
    "spec": {"holderIdentity": "n1", "leaseDurationSeconds": 40},
}


@pytest.mark.parametrize("document", [NODE, NAMESPACE, STORAGE, PRIORITY, LEASE], ids=lambda each: each["kind"])
def test_good_ones_break_no_rule(document: dict[str, Any]) -> None:
    assert broken(document) == []


TERM = {"matchLabelExpressions": [{"key": "zone", "values": ["a", "a"]}]}
BAD: list[tuple[dict[str, Any], str, Any, str, str]] = [
    (NODE, "spec.taints.0.key", "a b", "Invalid", "spec.taints[0].key"),
    (NODE, "spec.taints.0.value", "a b", "Invalid", "spec.taints[0].value"),
    (NODE, "spec.taints.0.effect", "", "Required", "spec.taints[0].effect"),
    (NODE, "spec.taints.0.effect", "Never", "NotSupported", "spec.taints[0].effect"),
    (NODE, "spec.taints.1", {"key": "example.com/gpu", "effect": "NoSchedule"}, "Duplicate", "spec.taints[1]"),
    (NODE, "spec.podCIDR", "10.244.1.0", "Invalid", "spec.podCIDRs[0]"),
    (NODE, "spec.podCIDRs", ["10.244.1.0/24", "10.244.2.0/24"], "Invalid", "spec.podCIDRs"),
    (NAMESPACE, "spec.finalizers", ["mine"], "Invalid", "spec.finalizers[0]"),
    (NAMESPACE, "spec.finalizers", ["a b/c"], "Invalid", "spec.finalizers[0]"),
    (STORAGE, "provisioner", "", "Required", "provisioner"),
    (STORAGE, "provisioner", "a b", "Invalid", "provisioner"),
    (STORAGE, "parameters", {"": "x"}, "Invalid", "parameters"),
    (STORAGE, "parameters", {str(number): "" for number in range(513)}, "TooMany", "parameters"),
    (STORAGE, "parameters", {"big": "x" * 262_144}, "TooLong", "parameters"),
    (STORAGE, "reclaimPolicy", "Burn", "NotSupported", "reclaimPolicy"),
    (STORAGE, "volumeBindingMode", "Someday", "NotSupported", "volumeBindingMode"),
    (STORAGE, "allowedTopologies", [{}], "Required", "allowedTopologies[0]"),
    (STORAGE, "allowedTopologies", [TERM], "Duplicate", "allowedTopologies[0].matchLabelExpressions[0].values[1]"),
    (PRIORITY, "value", 1_000_000_001, "Forbidden", "value"),
    (PRIORITY, "metadata.name", "system-mine", "Forbidden", "metadata.name"),
    (PRIORITY, "metadata.name", "system-node-critical", "Forbidden", "metadata.name"),
    (PRIORITY, "preemptionPolicy", "Always", "NotSupported", "preemptionPolicy"),
    (LEASE, "spec.leaseDurationSeconds", 0, "Invalid", "spec.leaseDurationSeconds"),
    (LEASE, "spec.leaseTransitions", -1, "Invalid", "spec.leaseTransitions"),
    (LEASE, "spec.preferredHolder", "n2", "Forbidden", "spec.preferredHolder"),
]


@pytest.mark.parametrize(("document", "path", "value", "reason", "field"), BAD)
def test_rules(document: dict[str, Any], path: str, value: Any, reason: str, field: str) -> None:
    assert broken(changed(document, (path, value))) == [(reason, field)]


UPDATES: list[tuple[dict[str, Any], str, Any, list[tuple[str, str]]]] = [
    (NODE, "spec.podCIDR", "10.244.2.0/24", [("Forbidden", "spec.podCIDRs")]),
    (NODE, "spec.unschedulable", True, []),
    (changed(NODE, ("spec.providerID", "a://1")), "spec.providerID", "a://2", [("Forbidden", "spec.providerID")]),
    (NODE, "spec.providerID", "a://2", []),
    (STORAGE, "provisioner", "example.com/other", [("Forbidden", "provisioner")]),
    (STORAGE, "parameters", {}, [("Forbidden", "parameters")]),
    (STORAGE, "reclaimPolicy", "Retain", [("Forbidden", "reclaimPolicy")]),
    (STORAGE, "volumeBindingMode", "WaitForFirstConsumer", [("Invalid", "volumeBindingMode")]),
    (STORAGE, "allowVolumeExpansion", True, []),
    (PRIORITY, "value", 5, [("Forbidden", "value")]),
    (PRIORITY, "preemptionPolicy", "Never", [("Invalid", "preemptionPolicy")]),
    (PRIORITY, "globalDefault", True, []),
]


@pytest.mark.parametrize(("document", "path", "value", "expected"), UPDATES)
def test_updates(document: dict[str, Any], path: str, value: Any, expected: list[tuple[str, str]]) -> None:
    assert broken_by_update(changed(document, (path, value)), document) == expected


def test_the_classes_of_the_system() -> None:
    for name, value in (("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)):
        document = changed(PRIORITY, ("metadata.name", name), ("value", value))
        assert broken(document) == []
        assert broken(changed(document, ("globalDefault", True))) == [("Forbidden", "metadata.name")]


# --- nodes ----------------------------------------------------------------------------------------------


def test_the_network_of_a_node_has_two_names() -> None:
    assert created(NODE).spec.pod_cidrs == ["10.244.1.0/24"]
    only_many = changed(NODE, ("spec", {"podCIDRs": ["10.244.1.0/24", "fd00::/64"]}))
    assert created(only_many).spec.pod_cidr == "10.244.1.0/24"
    assert broken(only_many) == []


def test_amounts_are_canonical_and_allocatable_is_all_unless_said() -> None:
    status = created(changed(NODE, ("status.capacity", {"cpu": "2000m", "memory": "1024Mi"}))).status
    assert status.capacity == {"cpu": "2", "memory": "1Gi"}
    assert status.allocatable == status.capacity
    with pytest.raises(BadRequest, match=r"status\.capacity\[cpu\]"):
        created(changed(NODE, ("status.capacity", {"cpu": "many"})))


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"capacity": {"cpu": "2"}, "addresses": [{"type": "Hostname", "address": "n1"}]}, []),
        ({"capacity": {"a b": "2"}, "allocatable": {"cpu": "1"}}, [("Invalid", "status.capacity[a b]")]),
        ({"capacity": {"cpu": "-2"}, "allocatable": {"cpu": "1"}}, [("Invalid", "status.capacity[cpu]")]),
        ({"addresses": [{"type": "Hostname", "address": "n1"}] * 2}, [("Duplicate", "status.addresses[1]")]),
    ],
)
def test_rules_of_a_nodes_status(status: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert broken_by_status(changed(NODE, ("status", status)), NODE) == expected
    assert broken(changed(NODE, ("status", status))) == expected, "a node registers with its status"


# --- namespaces -----------------------------------------------------------------------------------------


def test_a_namespace_waits_for_what_is_in_it_and_is_known_by_a_label() -> None:
    obj = created(changed(NAMESPACE, ("metadata.labels", {"kubernetes.io/metadata.name": "other"})))
    assert obj.spec.finalizers == ["kubernetes"]
    assert obj.metadata.labels == {"kubernetes.io/metadata.name": "team"}


def test_an_update_does_not_take_the_finalizer() -> None:
    assert updated(NAMESPACE, created(NAMESPACE)).spec.finalizers == ["kubernetes"]


@pytest.mark.parametrize(
    ("old", "phase", "expected"),
    [
        (NAMESPACE, "Active", []),
        (NAMESPACE, "Terminating", [("Invalid", "status.phase")]),
        (ENDING, "Terminating", []),
        (ENDING, "Active", [("Invalid", "status.phase")]),
    ],
)
def test_the_phase_follows_deletion(old: dict[str, Any], phase: str, expected: list[tuple[str, str]]) -> None:
    assert broken_by_status(changed(old, ("status.phase", phase)), old) == expected


def test_defaults_of_classes() -> None:
    storage = created(STORAGE)
    assert (storage.reclaim_policy, storage.volume_binding_mode) == ("Delete", "Immediate")
    assert created(PRIORITY).preemption_policy == "PreemptLowerPriority"
