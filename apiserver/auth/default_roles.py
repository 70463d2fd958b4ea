"""The roles and bindings every cluster has, as objects, and how they are kept up without undoing what people did.

Reconciling only adds: rules and subjects that are missing come back, what somebody added stays, and an object with
annotation `rbac.authorization.kubernetes.io/autoupdate: "false"` is left alone (Kubernetes' auto-reconciliation).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from apiserver.api.meta import LabelSelector, ObjectMeta
from apiserver.api.rbac import (
    AggregationRule,
    ClusterRole,
    ClusterRoleBinding,
    PolicyRule,
    Role,
    RoleBinding,
    RoleRef,
    Subject,
)

from . import default_role_tables as tables
from .rbac import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, GROUP, ROLE_BINDINGS, ROLES, Rbac
from .rbac_rules import uncovered

API_VERSION = f"{GROUP}/v1"
AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
CONTROLLER_PREFIX = "system:controller:"
CONTROLLER_NAMESPACE = "kube-system"

_AGGREGATE_LABEL = f"{GROUP}/aggregate-to-"


def default_objects() -> dict[str, list[Any]]:
    """By kind (rbac.KEYS), roles before bindings; new objects at each call."""
    return {
        CLUSTER_ROLES: _cluster_roles(),
        ROLES: [
            Role(api_version=API_VERSION, kind="Role", metadata=_meta(name, namespace), rules=_rules(rows))
            for namespace, roles in tables.ROLES.items()
            for name, rows in roles.items()
        ],
        CLUSTER_ROLE_BINDINGS: list(_cluster_role_bindings()),
        ROLE_BINDINGS: [
            RoleBinding(
                api_version=API_VERSION,
                kind="RoleBinding",
                metadata=_meta(name, namespace),
                subjects=[_subject(text) for text in subjects],
                role_ref=RoleRef(api_group=GROUP, kind="Role", name=role),
            )
            for namespace, bindings in tables.ROLE_BINDINGS.items()
            for name, (role, subjects) in bindings.items()
        ],
    }


def reconcile(existing: Any, wanted: Any) -> Any | None:
    """The object to store instead of `existing`, or None when nothing is missing.

    A binding to another role cannot be changed into the wanted one: what comes back then is `wanted` itself, without a
    uid, and takes the place of the old one (delete, create).
    """
    if existing.metadata.annotations.get(AUTOUPDATE) == "false":
        return None
    changes: dict[str, Any] = {}
    for field in ("labels", "annotations"):
        held = getattr(existing.metadata, field)
        merged = {**getattr(wanted.metadata, field), **held}
        if merged != held:
            changes[field] = merged
    fields: dict[str, Any] = {}
    if isinstance(wanted, RoleBinding | ClusterRoleBinding):
        if existing.role_ref != wanted.role_ref:
            return wanted
        missing = [subject for subject in wanted.subjects if subject not in existing.subjects]
        if missing:
            fields["subjects"] = [*existing.subjects, *missing]
    else:
        fields = _missing_of_role(existing, wanted)
    if not changes and not fields:
        return None
    if changes:
        fields["metadata"] = msgspec.structs.replace(existing.metadata, **changes)
    return msgspec.structs.replace(existing, **fields)


def _missing_of_role(existing: Any, wanted: Any) -> dict[str, Any]:
    rule = getattr(wanted, "aggregation_rule", None)
    if rule is None:
        missing = [each for each in wanted.rules if uncovered(existing.rules, [each])]
        return {"rules": [*existing.rules, *missing]} if missing else {}
    held = existing.aggregation_rule.cluster_role_selectors if existing.aggregation_rule else []
    selectors = [each for each in rule.cluster_role_selectors if each not in held]
    return {"aggregation_rule": AggregationRule(cluster_role_selectors=[*held, *selectors])} if selectors else {}


# --- from tables to objects -----------------------------------------------------------------------------------


def _cluster_roles() -> list[ClusterRole]:
    roles = [_cluster_role(name, rows) for name, rows in tables.CLUSTER_ROLES.items()]
    roles += [_cluster_role(CONTROLLER_PREFIX + name, rows) for name, rows in tables.CONTROLLERS.items()]
    roles += [_aggregating_role(name, *labels) for name, labels in tables.AGGREGATING_ROLES.items()]
    rbac = Rbac()
    rbac.replace(CLUSTER_ROLES, roles)
    for role in roles:
        role.rules = rbac.aggregated_rules(role)
    return sorted(roles, key=lambda role: role.metadata.name)


def _cluster_role(name: str, rows: tables.Rows) -> ClusterRole:
    meta = _meta(name)
    if name in tables.AGGREGATED_TO:
        meta.labels[_AGGREGATE_LABEL + tables.AGGREGATED_TO[name]] = "true"
    return ClusterRole(api_version=API_VERSION, kind="ClusterRole", metadata=meta, rules=_rules(rows))


def _aggregating_role(name: str, collects: str, collected_by: str) -> ClusterRole:
    meta = _meta(name)
    if collected_by:
        meta.labels[_AGGREGATE_LABEL + collected_by] = "true"
    selector = LabelSelector(match_labels={_AGGREGATE_LABEL + collects: "true"})
    return ClusterRole(
        api_version=API_VERSION,
        kind="ClusterRole",
        metadata=meta,
        aggregation_rule=AggregationRule(cluster_role_selectors=[selector]),
    )


def _cluster_role_bindings() -> Iterator[ClusterRoleBinding]:
    bindings = dict(tables.CLUSTER_ROLE_BINDINGS)
    for controller in tables.CONTROLLERS:
        name = CONTROLLER_PREFIX + controller
        bindings[name] = (name, (f"account:{CONTROLLER_NAMESPACE}/{controller}",))
    for name, (role, subjects) in sorted(bindings.items()):
        yield ClusterRoleBinding(
            api_version=API_VERSION,
            kind="ClusterRoleBinding",
            metadata=_meta(name),
            subjects=[_subject(text) for text in subjects],
            role_ref=RoleRef(api_group=GROUP, kind="ClusterRole", name=role),
        )


def _meta(name: str, namespace: str = "") -> ObjectMeta:
    return ObjectMeta(name=name, namespace=namespace, labels=dict(LABELS), annotations={AUTOUPDATE: "true"})


def _rules(rows: tables.Rows) -> list[PolicyRule]:
    return [_rule(*row) for row in rows]


def _rule(verbs: str, groups: str, resources: str, names: str = "") -> PolicyRule:
    """Words sorted, as Kubernetes' own builder does, so that one rule has one form."""
    if groups == tables.PATHS:
        return PolicyRule(verbs=_words(verbs), non_resource_urls=_words(resources))
    return PolicyRule(
        verbs=_words(verbs),
        api_groups=sorted("" if group == "core" else group for group in groups.split()),
        resources=_words(resources),
        resource_names=_words(names),
    )


def _words(text: str) -> list[str]:
    return sorted(text.split())


def _subject(text: str) -> Subject:
    kind, _, name = text.partition(":")
    if kind == "account":
        namespace, _, name = name.partition("/")
        return Subject(kind="ServiceAccount", namespace=namespace, name=name)
    return Subject(kind={"user": "User", "group": "Group"}[kind], api_group=GROUP, name=name)
