"""Roles, bindings and users for tests of authorization, in few words."""

from __future__ import annotations

from collections.abc import Iterable

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
from apiserver.auth.rbac import GROUP
from apiserver.auth.user import GROUP_AUTHENTICATED, User


def rule(verbs: str, resources: str = "", *, groups: str = "core", names: str = "", paths: str = "") -> PolicyRule:
    """Words apart by spaces; `core` is the core group."""
    return PolicyRule(
        verbs=verbs.split(),
        api_groups=["" if group == "core" else group for group in groups.split()] if resources else [],
        resources=resources.split(),
        resource_names=names.split(),
        non_resource_urls=paths.split(),
    )


def role(name: str, *rules: PolicyRule, namespace: str = "shop") -> Role:
    return Role(metadata=ObjectMeta(name=name, namespace=namespace), rules=list(rules))


def cluster_role(
    name: str, *rules: PolicyRule, labels: dict[str, str] | None = None, collects: dict[str, str] | None = None
) -> ClusterRole:
    """`collects`: labels of the roles it aggregates."""
    aggregation = AggregationRule(cluster_role_selectors=[LabelSelector(match_labels=collects)]) if collects else None
    meta = ObjectMeta(name=name, labels=labels or {})
    return ClusterRole(metadata=meta, rules=list(rules), aggregation_rule=aggregation)


def subject(text: str) -> Subject:
    """`user:jane`, `group:dev`, `account:shop/web`, `account:web` (of the binding's namespace)."""
    kind, _, name = text.partition(":")
    if kind == "account":
        namespace, _, name = name.rpartition("/")
        return Subject(kind="ServiceAccount", namespace=namespace, name=name)
    return Subject(kind={"user": "User", "group": "Group"}[kind], api_group=GROUP, name=name)


def binding(
    name: str, role_name: str, *subjects: str, namespace: str = "shop", kind: str = "ClusterRole"
) -> RoleBinding:
    return RoleBinding(
        metadata=ObjectMeta(name=name, namespace=namespace),
        subjects=[subject(text) for text in subjects],
        role_ref=RoleRef(api_group=GROUP, kind=kind, name=role_name),
    )


def cluster_binding(name: str, role_name: str, *subjects: str) -> ClusterRoleBinding:
    return ClusterRoleBinding(
        metadata=ObjectMeta(name=name),
        subjects=[subject(text) for text in subjects],
        role_ref=RoleRef(api_group=GROUP, kind="ClusterRole", name=role_name),
    )


def user(name: str, groups: Iterable[str] = ()) -> User:
    return User(name=name, groups=(*groups, GROUP_AUTHENTICATED))
