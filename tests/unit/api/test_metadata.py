"""The rules of metadata: one table of broken objects, one of forbidden changes, and what is shared by kinds."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from apiserver.api import validation
from apiserver.api.fields import Causes
from apiserver.api.meta import (
    Condition,
    LabelSelector,
    LabelSelectorRequirement,
    ManagedFieldsEntry,
    ObjectMeta,
    OwnerReference,
)
from apiserver.api.names import is_dns_label, is_dns_subdomain

OWNER: dict[str, Any] = {"api_version": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "1-2"}
NOW = "2026-01-31T12:00:00Z"
NAME_PART = "name part must consist of alphanumeric characters"


def metadata(**changes: Any) -> ObjectMeta:
    return msgspec.structs.replace(ObjectMeta(name="web", namespace="default"), **changes)


def found(meta: ObjectMeta, *, namespaced: bool = True) -> list[tuple[str, str, str]]:
    causes = Causes()
    validation.validate_metadata(meta, causes, namespaced=namespaced, name_rule=is_dns_subdomain)
    return [(each.reason, each.field, each.message) for each in causes.found]


GOOD = [
    metadata(),
    metadata(generate_name="web-", name="web-x7k2p"),
    metadata(labels={"app": "web", "example.com/tier": ""}, annotations={"Example.com/Any_Case": "any\ntext ä"}),
    metadata(annotations={"a": "x" * (256 * 1024 - 1)}),
    metadata(owner_references=[OwnerReference(**OWNER, controller=True), OwnerReference(**OWNER, controller=False)]),
    metadata(owner_references=[OwnerReference(**OWNER | {"api_version": "v1", "kind": "Pod"})]),
    metadata(finalizers=["kubernetes", "example.com/hold", "orphan"]),
    metadata(
        managed_fields=[ManagedFieldsEntry(operation="Update", manager="kubectl", fields_type="FieldsV1", time=NOW)]
    ),
]

BROKEN: list[tuple[ObjectMeta, str, str, str]] = [
    (metadata(name=""), "FieldValueRequired", "metadata.name", "Required value: name or generateName is required"),
    (
        metadata(name="Web"),
        "FieldValueInvalid",
        "metadata.name",
        'Invalid value: "Web": a lowercase RFC 1123 subdomain',
    ),
    (metadata(generate_name="-"), "FieldValueInvalid", "metadata.generateName", 'Invalid value: "-": a lowercase'),
    (metadata(namespace=""), "FieldValueRequired", "metadata.namespace", "Required value"),
    (
        metadata(namespace="a.b"),
        "FieldValueInvalid",
        "metadata.namespace",
        'Invalid value: "a.b": must not contain dots',
    ),
    (metadata(generation=-1), "FieldValueInvalid", "metadata.generation", "-1: must be greater than or equal to 0"),
    (metadata(labels={"$": "a"}), "FieldValueInvalid", "metadata.labels", f'Invalid value: "$": {NAME_PART}'),
    (metadata(labels={"a": "$"}), "FieldValueInvalid", "metadata.labels", 'Invalid value: "$": a valid label must be'),
    (metadata(annotations={"$": ""}), "FieldValueInvalid", "metadata.annotations", f'Invalid value: "$": {NAME_PART}'),
    (
        metadata(annotations={"a": "ä" * (128 * 1024)}),
        "FieldValueTooLong",
        "metadata.annotations",
        "Too long: may not be more than 262144 bytes",
    ),
    (
        metadata(owner_references=[OwnerReference(**OWNER | {"api_version": ""})]),
        "FieldValueRequired",
        "metadata.ownerReferences[0].apiVersion",
        "Required value: must not be empty",
    ),
    (
        metadata(owner_references=[OwnerReference(**OWNER | {"api_version": "a/b/c"})]),
        "FieldValueInvalid",
        "metadata.ownerReferences[0].apiVersion",
        'Invalid value: "a/b/c": must be <group>/<version> or <version>',
    ),
    *[
        (
            metadata(owner_references=[OwnerReference(**OWNER | {name: ""})]),
            "FieldValueRequired",
            f"metadata.ownerReferences[0].{name}",
            "Required value: must not be empty",
        )
        for name in ("kind", "name", "uid")
    ],
    (
        metadata(owner_references=[OwnerReference(**OWNER | {"api_version": "v1", "kind": "Event"})]),
        "FieldValueInvalid",
        "metadata.ownerReferences[0]",
        "/v1, Kind=Event is disallowed from being an owner",
    ),
    (
        metadata(owner_references=[OwnerReference(**OWNER, controller=True)] * 2),
        "FieldValueInvalid",
        "metadata.ownerReferences",
        "Only one reference can have Controller set to true. "
        'Found "true" in references for ReplicaSet/web and ReplicaSet/web',
    ),
    (
        metadata(finalizers=["b.io/a b"]),
        "FieldValueInvalid",
        "metadata.finalizers",
        f'Invalid value: "b.io/a b": {NAME_PART}',
    ),
    (
        metadata(finalizers=["orphan", "foregroundDeletion"]),
        "FieldValueInvalid",
        "metadata.finalizers",
        "finalizer orphan and foregroundDeletion cannot be both set",
    ),
    (
        metadata(managed_fields=[ManagedFieldsEntry(operation="Delete")]),
        "FieldValueInvalid",
        "metadata.managedFields[0].operation",
        'Invalid value: "Delete": must be `Apply` or `Update`',
    ),
    (
        metadata(managed_fields=[ManagedFieldsEntry(operation="Apply", fields_type="FieldsV2")]),
        "FieldValueInvalid",
        "metadata.managedFields[0].fieldsType",
        "must be `FieldsV1`",
    ),
    (
        metadata(managed_fields=[ManagedFieldsEntry(operation="Apply", manager="m" * 129)]),
        "FieldValueTooLong",
        "metadata.managedFields[0].manager",
        "Too long: may not be more than 128 bytes",
    ),
    (
        metadata(managed_fields=[ManagedFieldsEntry(operation="Apply", manager="a\nb")]),
        "FieldValueInvalid",
        "metadata.managedFields[0].manager",
        "should only contain printable characters",
    ),
    (
        metadata(managed_fields=[ManagedFieldsEntry(operation="Apply", subresource="s" * 257)]),
        "FieldValueTooLong",
        "metadata.managedFields[0].subresource",
        "Too long: may not be more than 256 bytes",
    ),
    (
        metadata(managed_fields=[ManagedFieldsEntry(operation="Apply", time="today")]),
        "FieldValueInvalid",
        "metadata.managedFields[0].time",
        "not a time of RFC 3339",
    ),
]


@pytest.mark.parametrize("meta", GOOD)
def test_good_metadata(meta: ObjectMeta) -> None:
    assert found(meta) == []


@pytest.mark.parametrize(("meta", "reason", "field", "message"), BROKEN, ids=[each[2] for each in BROKEN])
def test_broken_metadata(meta: ObjectMeta, reason: str, field: str, message: str) -> None:
    [(its_reason, its_field, its_message)] = found(meta)
    assert (its_reason, its_field) == (reason, field)
    assert message in its_message


def test_cluster_scope_has_no_namespace() -> None:
    assert found(metadata(namespace=""), namespaced=False) == []
    assert found(metadata(), namespaced=False) == [
        ("FieldValueForbidden", "metadata.namespace", "Forbidden: not allowed on this type")
    ]


def test_every_mistake_is_told_at_once_and_where() -> None:
    causes = Causes()
    meta = metadata(name="A", namespace="B", labels={"c": "$"})
    validation.validate_metadata(meta, causes, namespaced=True, name_rule=is_dns_label, path="spec.template.metadata")
    assert [each.field for each in causes.found] == [
        "spec.template.metadata.name",
        "spec.template.metadata.namespace",
        "spec.template.metadata.labels",
    ]


# --- changes ------------------------------------------------------------------------------------------

OLD = metadata(uid="u-1", resource_version="5", generation=3, creation_timestamp=NOW, finalizers=["example.com/hold"])
DELETED = msgspec.structs.replace(OLD, deletion_timestamp=NOW, deletion_grace_period_seconds=30)


def changed(new: ObjectMeta, old: ObjectMeta, *, version_required: bool = False) -> list[tuple[str, str]]:
    causes = Causes()
    validation.validate_metadata_update(new, old, causes, version_required=version_required)
    return [(each.field, each.message) for each in causes.found]


@pytest.mark.parametrize(
    ("change", "field", "shown"),
    [
        ({"name": "other"}, "name", '"other"'),
        ({"namespace": "other"}, "namespace", '"other"'),
        ({"uid": "u-2"}, "uid", '"u-2"'),
        ({"creation_timestamp": None}, "creationTimestamp", "null"),
        ({"deletion_timestamp": NOW}, "deletionTimestamp", f'"{NOW}"'),
        ({"deletion_grace_period_seconds": 1}, "deletionGracePeriodSeconds", "1"),
    ],
)
def test_what_never_changes(change: dict[str, Any], field: str, shown: str) -> None:
    new = msgspec.structs.replace(OLD, **change)
    assert changed(new, OLD) == [(f"metadata.{field}", f"Invalid value: {shown}: field is immutable")]


def test_a_deletion_cannot_be_taken_back() -> None:
    assert [field for field, _ in changed(OLD, DELETED)] == [
        "metadata.deletionTimestamp",
        "metadata.deletionGracePeriodSeconds",
    ]


def test_what_may_change() -> None:
    new = msgspec.structs.replace(
        OLD,
        labels={"a": "b"},
        annotations={"a": "b"},
        generation=4,
        finalizers=["example.com/more"],
        resource_version="",
    )
    assert changed(new, OLD) == []


def test_generation_does_not_go_back() -> None:
    new = msgspec.structs.replace(OLD, generation=2)
    assert changed(new, OLD) == [("metadata.generation", "Invalid value: 2: must not be decremented")]


def test_an_object_on_its_way_out_gets_no_new_finalizers() -> None:
    more = msgspec.structs.replace(DELETED, finalizers=["example.com/hold", "b.io/b", "a.io/a"])
    assert changed(more, DELETED) == [
        (
            "metadata.finalizers",
            "Forbidden: no new finalizers can be added if the object is being deleted, "
            'found new finalizers []string{"a.io/a", "b.io/b"}',
        )
    ]
    assert changed(msgspec.structs.replace(DELETED, finalizers=[]), DELETED) == []


def test_some_kinds_have_no_unconditional_update() -> None:
    new = msgspec.structs.replace(OLD, resource_version="")
    assert changed(new, OLD, version_required=True) == [
        ("metadata.resourceVersion", 'Invalid value: "": must be specified for an update')
    ]


# --- selectors and conditions -------------------------------------------------------------------------


def requirement(key: str, operator: str, *values: str) -> LabelSelector:
    return LabelSelector(match_expressions=[LabelSelectorRequirement(key=key, operator=operator, values=list(values))])


@pytest.mark.parametrize(
    ("selector", "field", "message"),
    [
        (
            requirement("a", "In"),
            "matchExpressions[0].values",
            "Required value: must be specified when `operator` is 'In' or 'NotIn'",
        ),
        (
            requirement("a", "Exists", "b"),
            "matchExpressions[0].values",
            "Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
        ),
        (
            requirement("a", "Near", "b"),
            "matchExpressions[0].operator",
            'Invalid value: "Near": not a valid selector operator',
        ),
        (requirement("$", "Exists"), "matchExpressions[0].key", f'Invalid value: "$": {NAME_PART}'),
        (requirement("a", "In", "b", "$"), "matchExpressions[0].values[1]", 'Invalid value: "$": a valid label'),
        (LabelSelector(match_labels={"a": "$"}), "matchLabels", 'Invalid value: "$": a valid label must be'),
    ],
)
def test_broken_selectors(selector: LabelSelector, field: str, message: str) -> None:
    causes = Causes()
    validation.validate_label_selector(selector, causes, "spec.selector")
    [cause] = causes.found
    assert cause.field == f"spec.selector.{field}"
    assert cause.message.startswith(message)


@pytest.mark.parametrize(
    "selector", [None, LabelSelector(), LabelSelector(match_labels={"a": "b"}), requirement("a", "NotIn", "b", "")]
)
def test_good_selectors(selector: LabelSelector | None) -> None:
    causes = Causes()
    validation.validate_label_selector(selector, causes, "spec.selector")
    assert not causes


def condition(**changes: Any) -> Condition:
    whole = Condition(type="Ready", status="True", reason="Fine", last_transition_time=NOW)
    return msgspec.structs.replace(whole, **changes)


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"type": ""}, "type", "FieldValueInvalid"),
        ({"status": "yes"}, "status", "FieldValueNotSupported"),
        ({"observed_generation": -1}, "observedGeneration", "FieldValueInvalid"),
        ({"last_transition_time": None}, "lastTransitionTime", "FieldValueRequired"),
        ({"last_transition_time": "x"}, "lastTransitionTime", "FieldValueInvalid"),
        ({"reason": ""}, "reason", "FieldValueRequired"),
        ({"reason": "not a word"}, "reason", "FieldValueInvalid"),
        ({"reason": "a" * 1025}, "reason", "FieldValueTooLong"),
        ({"message": "a" * 32_769}, "message", "FieldValueTooLong"),
    ],
)
def test_broken_conditions(change: dict[str, Any], field: str, reason: str) -> None:
    causes = Causes()
    validation.validate_conditions([condition(**change)], causes, "status.conditions")
    assert {(each.field, each.reason) for each in causes.found} == {(f"status.conditions[0].{field}", reason)}


def test_good_conditions() -> None:
    causes = Causes()
    validation.validate_conditions([condition(), condition(type="example.com/Other")], causes, "status.conditions")
    assert not causes


def test_a_condition_comes_once() -> None:
    causes = Causes()
    validation.validate_conditions([condition(), condition(status="False")], causes, "status.conditions")
    assert [(each.field, each.reason) for each in causes.found] == [
        ("status.conditions[1].type", "FieldValueDuplicate")
    ]
