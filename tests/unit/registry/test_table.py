"""The table of resources: what it finds, what it refuses, and that its rows say what Kubernetes says of its kinds."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from apiserver.api.core.event import Event
from apiserver.api.core.node import Node, NodeSpec
from apiserver.api.core.pod import Pod, PodIP, PodSpec, PodStatus
from apiserver.api.core.references import ObjectReference
from apiserver.api.core.service import Service
from apiserver.registry.resource import ALL_VERBS, Resource
from apiserver.registry.strategies.events import EventConversion
from apiserver.registry.table import Table, table

ROWS = table().rows
#: plural: short names, as `kubectl api-resources` of Kubernetes shows them.
SHORT_NAMES = {
    "configmaps": ("cm",),
    "endpoints": ("ep",),
    "events": ("ev",),
    "namespaces": ("ns",),
    "nodes": ("no",),
    "persistentvolumeclaims": ("pvc",),
    "persistentvolumes": ("pv",),
    "pods": ("po",),
    "serviceaccounts": ("sa",),
    "services": ("svc",),
    "deployments": ("deploy",),
    "replicasets": ("rs",),
    "certificatesigningrequests": ("csr",),
    "priorityclasses": ("pc",),
    "storageclasses": ("sc",),
}
SUBRESOURCES = {
    "pods": {
        "attach",
        "binding",
        "ephemeralcontainers",
        "eviction",
        "exec",
        "log",
        "portforward",
        "proxy",
        "status",
    },
    "services": {"proxy", "status"},
    "nodes": {"proxy", "status"},
    "namespaces": {"finalize", "status"},
    "persistentvolumes": {"status"},
    "persistentvolumeclaims": {"status"},
    "apps/deployments": {"scale", "status"},
    "apps/replicasets": {"scale", "status"},
    "serviceaccounts": {"token"},
    "certificates.k8s.io/certificatesigningrequests": {"approval", "status"},
}


def name_of(row: Resource) -> str:
    return f"{row.api_version}/{row.plural}"


def test_rows_are_found_in_every_way() -> None:
    for row in ROWS:
        assert table().find(row.group, row.version, row.plural) is row
        assert table().by_kind(row.api_version, row.kind) is row
        stored = table().stored(row)
        assert table().by_key(stored.key) is stored
    assert table().find("apps", "v1", "pods") is None
    assert table().by_kind("v1", "Deployment") is None
    assert table().by_key("deployments") is None


def test_groups_are_in_the_order_of_discovery() -> None:
    groups = table().groups()
    assert [group.name for group in groups] == [
        "",
        "apps",
        "events.k8s.io",
        "authentication.k8s.io",
        "authorization.k8s.io",
        "certificates.k8s.io",
        "rbac.authorization.k8s.io",
        "storage.k8s.io",
        "scheduling.k8s.io",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "metrics.k8s.io",
    ]
    assert groups[0].versions == ("v1", "v1alpha1")
    assert {group.preferred_version for group in groups[:-1]} == {"v1"}
    assert groups[-1].versions == ("v1beta1",)


def test_objects_of_both_events_are_the_same() -> None:
    newer = table().find("events.k8s.io", "v1", "events")
    assert newer is not None
    assert table().stored(newer) is table().by_key("events")


def test_short_names_and_categories() -> None:
    ours = {row.plural: row.short_names for row in ROWS if row.short_names}
    assert ours == SHORT_NAMES
    assert {row.key for row in ROWS if row.categories} == {"pods", "services", "apps/deployments", "apps/replicasets"}
    assert {row.singular_name for row in ROWS if row.plural == "endpoints"} == {"endpoints"}


def test_subresources() -> None:
    ours = {row.key: {sub.name for sub in row.subresources} for row in ROWS if row.subresources and not row.stored_as}
    assert ours == SUBRESOURCES


def test_bodies_of_other_groups_say_which() -> None:
    found = {
        (sub.name, sub.kind): f"{sub.group}/{sub.version}" for row in ROWS for sub in row.subresources if sub.group
    }
    assert found == {
        ("eviction", "Eviction"): "policy/v1",
        ("scale", "Scale"): "autoscaling/v1",
        ("token", "TokenRequest"): "authentication.k8s.io/v1",
    }


def test_questions_are_asked_and_never_stored() -> None:
    only_created = {row.plural for row in ROWS if row.verbs == ("create",)}
    assert only_created == {
        "bindings",
        "tokenreviews",
        "selfsubjectreviews",
        "subjectaccessreviews",
        "localsubjectaccessreviews",
        "selfsubjectaccessreviews",
        "selfsubjectrulesreviews",
    }
    others = {row.key for row in ROWS if row.verbs not in (ALL_VERBS, ("create",)) and not row.computed}
    assert others == {"namespaces"}


def test_what_is_made_when_it_is_asked_for() -> None:
    computed = {row.key: row.verbs for row in ROWS if row.computed}
    assert computed == dict.fromkeys(("metrics.k8s.io/nodes", "metrics.k8s.io/pods"), ("get", "list"))


def test_secrets_alone_are_encrypted() -> None:
    assert {row.key for row in ROWS if row.encrypted} == {"secrets"}


def test_kinds_with_a_generation() -> None:
    counted = {row.key for row in ROWS if row.strategy.has_generation}
    assert {"apps/deployments", "apps/replicasets", "discovery.k8s.io/endpointslices"} <= counted
    assert not counted & {"configmaps", "secrets", "nodes", "namespaces", "coordination.k8s.io/leases"}


@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_a_row_fits_its_type(row: Resource) -> None:
    assert row.type.__name__ == row.kind
    assert row.description.endswith(".")
    obj = row.type()
    assert msgspec.json.decode(msgspec.json.encode(obj), type=row.type) == obj
    has_status = any(sub.name == "status" for sub in row.subresources)
    assert not has_status or "status" in row.type.__struct_fields__


@pytest.mark.parametrize("row", [row for row in ROWS if not row.stored_as], ids=name_of)
def test_fields_to_select_by_are_there_in_an_empty_object(row: Resource) -> None:
    """A half-made object must not break the index."""
    obj = row.type()
    assert [type(read(obj)) for read in row.selectable.values()] == [str] * len(row.selectable)
    for column in row.columns:
        column.cell(obj, 0.0)


@pytest.mark.parametrize("row", [row for row in ROWS if row.verbs != ("create",)], ids=name_of)
def test_what_is_listed_has_columns(row: Resource) -> None:
    assert row.columns


def value_of(key: str, field: str, obj: Any) -> str:
    row = table().by_key(key)
    assert row is not None
    return row.selectable[field](obj)


def test_values_to_select_by() -> None:
    pod = Pod(
        spec=PodSpec(node_name="n1", host_network=True),
        status=PodStatus(phase="Running", pod_ips=[PodIP(ip="10.244.1.7"), PodIP(ip="fd00::7")]),
    )
    assert value_of("pods", "spec.nodeName", pod) == "n1"
    assert value_of("pods", "spec.hostNetwork", pod) == "true"
    assert value_of("pods", "status.podIPs", pod) == "10.244.1.7,fd00::7"
    assert value_of("nodes", "spec.unschedulable", Node(spec=NodeSpec(unschedulable=True))) == "true"
    assert value_of("nodes", "spec.unschedulable", Node()) == "false"
    assert value_of("services", "spec.clusterIP", Service()) == ""
    event = Event(involved_object=ObjectReference(kind="Pod", api_version="v1"), reporting_component="scheduler")
    assert value_of("events", "involvedObject.kind", event) == "Pod"
    assert value_of("events", "regarding.apiVersion", event) == "v1"
    assert value_of("events", "source", event) == "scheduler"


# --- what a table refuses -------------------------------------------------------------------------------


def row(**fields: Any) -> Resource:
    return Resource(**{"plural": "pods", "kind": "Pod", "type": Pod, **fields})


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row(), row(kind="Other")], "two rows for v1 pods"),
        ([row(), row(plural="others")], "two rows for v1 others"),
        ([row(), row(version="v2")], "two rows for v2 pods"),
        ([row(stored_as="things", conversion=EventConversion())], "is stored as things, which has no row"),
        ([row(), row(version="v2", stored_as="pods")], "a conversion needs"),
        ([row(conversion=EventConversion())], "a conversion needs"),
    ],
)
def test_rows_that_contradict_each_other(rows: list[Resource], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Table(rows)
