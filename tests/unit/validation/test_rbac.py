"""Roles and bindings: what they must say, and that a binding keeps its role."""

from __future__ import annotations

from typing import Any

import pytest
from rule_tables import broken, broken_by_update, changed, created, row_of

GROUP = "rbac.authorization.k8s.io"
RULE = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}
PATHS = {"verbs": ["get"], "nonResourceURLs": ["/healthz"]}


def of_kind(kind: str, **fields: Any) -> dict[str, Any]:
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": {"name": "system:reader"}, **fields}


ROLE = of_kind("Role", rules=[RULE])
CLUSTER_ROLE = of_kind("ClusterRole", rules=[RULE, PATHS])
AGGREGATED = of_kind("ClusterRole", aggregationRule={"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]})
REF = {"kind": "ClusterRole", "name": "view"}
SUBJECTS = [{"kind": "User", "name": "anna"}, {"kind": "ServiceAccount", "name": "robot", "namespace": "default"}]
BINDING = of_kind("RoleBinding", roleRef=REF, subjects=SUBJECTS)
CLUSTER_BINDING = of_kind("ClusterRoleBinding", roleRef=REF, subjects=SUBJECTS)


def test_defaults() -> None:
    for document in (BINDING, CLUSTER_BINDING):
        obj = created(document)
        assert obj.role_ref.api_group == GROUP
        assert [each.api_group for each in obj.subjects] == [GROUP, ""]


@pytest.mark.parametrize("document", [ROLE, CLUSTER_ROLE, AGGREGATED, BINDING, CLUSTER_BINDING])
def test_good_ones_break_no_rule(document: dict[str, Any]) -> None:
    assert broken(document) == []


BAD: list[tuple[dict[str, Any], str, Any, str, str]] = [
    (ROLE, "rules.0.verbs", [], "Required", "rules[0].verbs"),
    (ROLE, "rules.0.apiGroups", [], "Required", "rules[0].apiGroups"),
    (ROLE, "rules.0.resources", [], "Required", "rules[0].resources"),
    (ROLE, "rules.0", PATHS, "Invalid", "rules[0].nonResourceURLs"),
    (CLUSTER_ROLE, "rules.0.nonResourceURLs", ["/x"], "Invalid", "rules[0].nonResourceURLs"),
    (AGGREGATED, "aggregationRule", {}, "Required", "aggregationRule.clusterRoleSelectors"),
    (
        AGGREGATED,
        "aggregationRule.clusterRoleSelectors.0.matchLabels",
        {"a b": ""},
        "Invalid",
        "aggregationRule.clusterRoleSelectors[0].matchLabels",
    ),
    (BINDING, "roleRef.apiGroup", "other", "NotSupported", "roleRef.apiGroup"),
    (BINDING, "roleRef.kind", "User", "NotSupported", "roleRef.kind"),
    (BINDING, "roleRef.name", "", "Required", "roleRef.name"),
    (BINDING, "roleRef.name", "a/b", "Invalid", "roleRef.name"),
    (CLUSTER_BINDING, "roleRef.kind", "Role", "NotSupported", "roleRef.kind"),
    (BINDING, "subjects.0.name", "", "Required", "subjects[0].name"),
    (BINDING, "subjects.0.kind", "Robot", "NotSupported", "subjects[0].kind"),
    (BINDING, "subjects.0.apiGroup", "other", "NotSupported", "subjects[0].apiGroup"),
    (BINDING, "subjects.1.apiGroup", GROUP, "NotSupported", "subjects[1].apiGroup"),
    (BINDING, "subjects.1.name", "A", "Invalid", "subjects[1].name"),
    (CLUSTER_BINDING, "subjects.1.namespace", "", "Required", "subjects[1].namespace"),
]


@pytest.mark.parametrize(("document", "path", "value", "reason", "field"), BAD)
def test_rules(document: dict[str, Any], path: str, value: Any, reason: str, field: str) -> None:
    assert broken(changed(document, (path, value))) == [(reason, field)]


@pytest.mark.parametrize("document", [BINDING, CLUSTER_BINDING])
def test_a_binding_keeps_its_role(document: dict[str, Any]) -> None:
    assert broken_by_update(changed(document, ("roleRef.name", "admin")), document) == [("Invalid", "roleRef")]
    assert broken_by_update(changed(document, ("subjects", [])), document) == []


def test_names_may_hold_what_a_path_can() -> None:
    rule = row_of(ROLE).strategy.name_rule
    assert rule("system:node-proxier") == []
    assert rule("a/b") != []
    assert rule("..") != []
