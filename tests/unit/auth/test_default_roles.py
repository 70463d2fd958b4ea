"""The roles every cluster has: that they are Kubernetes', what each lets people do, and how they are kept up."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest
from rbac_objects import cluster_binding, rule, subject, user

from apiserver.api.rbac import ClusterRole, ClusterRoleBinding, RoleRef
from apiserver.auth.default_roles import AUTOUPDATE, default_objects, reconcile
from apiserver.auth.rbac import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, GROUP, KEYS, ROLE_BINDINGS, Rbac
from apiserver.auth.user import ANONYMOUS, GROUP_UNAUTHENTICATED, Attributes, User

RBAC = Rbac()
for _key, _objects in default_objects().items():
    RBAC.replace(_key, _objects)
for _role in ("admin", "edit", "view"):
    RBAC.upsert(CLUSTER_ROLE_BINDINGS, cluster_binding(f"test-{_role}", _role, f"user:{_role}"))


def found(key: str, name: str) -> Any:
    (obj,) = [obj for obj in default_objects()[key] if obj.metadata.name == name]
    return obj


def may(who: str | User, verb: str, resource: str, group: str = "", namespace: str = "shop", name: str = "") -> bool:
    if resource.startswith("/"):
        attributes = Attributes(verb=verb, path=resource)
    else:
        plural, _, subresource = resource.partition("/")
        attributes = Attributes(verb, group, "v1", plural, subresource, namespace, name)
    return RBAC.authorize(user(who) if isinstance(who, str) else who, attributes).allowed


@pytest.mark.parametrize("name", ["admin", "edit", "view"])
def test_the_users_roles_build_on_each_other(name: str) -> None:
    allowed = {
        ("view", "get", "pods"): "view edit admin",
        ("view", "get", "pods/log"): "view edit admin",
        ("view", "get", "secrets"): "edit admin",
        ("edit", "create", "pods"): "edit admin",
        ("edit", "create", "pods/exec"): "edit admin",
        ("edit", "create", "serviceaccounts/token"): "edit admin",
        ("edit", "update", "pods/status"): "",
        ("edit", "update", "namespaces"): "",
        ("edit", "get", "nodes"): "",
    }
    for (_, verb, resource), holders in allowed.items():
        assert may(name, verb, resource) is (name in holders.split()), (verb, resource)
    assert may(name, "create", "rolebindings", GROUP) is (name == "admin")
    assert may(name, "update", "deployments/scale", "apps") is (name != "view")


def test_stored_rules_of_aggregating_roles_are_filled_in() -> None:
    for name in ("admin", "edit", "view"):
        role = found(CLUSTER_ROLES, name)
        assert role.rules == RBAC.role_rules("ClusterRole", "", name)
        assert role.rules


def test_the_anonymous_see_health_and_version_only() -> None:
    nobody = User(name=ANONYMOUS, groups=(GROUP_UNAUTHENTICATED,))
    for path in ("/healthz", "/livez", "/readyz", "/version"):
        assert may(nobody, "get", path)
    for path in ("/api", "/apis/apps/v1", "/openapi/v2", "/metrics", "/debug/boot", "/"):
        assert not may(nobody, "get", path)
    assert not may(nobody, "create", "selfsubjectaccessreviews", "authorization.k8s.io", "")


def test_everybody_known_discovers_and_asks_about_themselves() -> None:
    for path in ("/api", "/api/v1", "/apis", "/apis/apps/v1", "/openapi/v3", "/version"):
        assert may("jane", "get", path)
    assert may("jane", "create", "selfsubjectaccessreviews", "authorization.k8s.io", "")
    assert may("jane", "create", "selfsubjectreviews", "authentication.k8s.io", "")
    assert not may("jane", "get", "/metrics")
    assert not may("jane", "get", "pods")


def test_components_have_their_roles() -> None:
    assert may("system:kube-scheduler", "create", "pods/binding")
    assert may("system:kube-scheduler", "update", "persistentvolumeclaims")
    assert may("system:kube-scheduler", "update", "leases", "coordination.k8s.io", "kube-system", "kube-scheduler")
    assert may("system:kube-controller-manager", "list", "anything", "any.group")
    assert not may("system:kube-controller-manager", "delete", "pods")
    assert may("system:serviceaccount:kube-system:deployment-controller", "create", "replicasets", "apps")
    assert not may("system:serviceaccount:shop:deployment-controller", "create", "replicasets", "apps")
    assert may("system:serviceaccount:kube-system:token-cleaner", "delete", "secrets", namespace="kube-system")
    assert not may("system:serviceaccount:kube-system:token-cleaner", "delete", "secrets")


def test_tokens_of_agents_and_of_servers_are_good_for_different_things() -> None:
    agent = user("system:bootstrap:abcdef", ["system:bootstrappers", "system:bootstrappers:kmini:agents"])
    server = user("system:bootstrap:abcdef", ["system:bootstrappers", "system:bootstrappers:kmini:servers"])
    for resource in ("certificatesigningrequests", "certificatesigningrequests/nodeclient"):
        assert may(agent, "create", resource, "certificates.k8s.io", "")
        assert not may(server, "create", resource, "certificates.k8s.io", "")


def test_the_role_of_nodes_is_bound_to_nobody() -> None:
    bindings = [*default_objects()[CLUSTER_ROLE_BINDINGS], *default_objects()[ROLE_BINDINGS]]
    assert "system:node" not in {each.role_ref.name for each in bindings}
    assert found(CLUSTER_ROLES, "system:node").rules


def test_every_object_is_marked_and_every_binding_finds_its_role() -> None:
    for key in KEYS:
        for obj in default_objects()[key]:
            assert obj.metadata.labels["kubernetes.io/bootstrapping"] == "rbac-defaults"
            assert obj.metadata.annotations[AUTOUPDATE] == "true"
            assert obj.api_version == f"{GROUP}/v1"
            assert obj.kind == type(obj).__name__
    for key in (CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS):
        for each in default_objects()[key]:
            assert RBAC.role_rules(each.role_ref.kind, each.metadata.namespace, each.role_ref.name) is not None
            assert each.subjects


def test_rules_are_in_one_form() -> None:
    rules = [each for role in default_objects()[CLUSTER_ROLES] for each in role.rules]
    for each in rules:
        for words in (each.verbs, each.api_groups, each.resources, each.resource_names, each.non_resource_urls):
            assert words == sorted(set(words)), each
        assert bool(each.non_resource_urls) != bool(each.resources)


# --- reconciling ----------------------------------------------------------------------------------------------


def test_nothing_is_done_to_what_is_as_it_should_be() -> None:
    for objects in default_objects().values():
        for obj in objects:
            stored = copy.deepcopy(obj)
            stored.metadata.uid = "u"
            assert reconcile(stored, obj) is None


def changed_role() -> ClusterRole:
    role: ClusterRole = copy.deepcopy(found(CLUSTER_ROLES, "system:discovery"))
    role.metadata.uid = "u"
    role.rules = [rule("get", "pods")]
    return role


def test_missing_rules_come_back_and_others_stay() -> None:
    mended = reconcile(changed_role(), found(CLUSTER_ROLES, "system:discovery"))
    assert mended is not None
    assert mended.metadata.uid == "u"
    assert mended.rules == [rule("get", "pods"), *found(CLUSTER_ROLES, "system:discovery").rules]


def test_a_wider_rule_is_enough() -> None:
    role = changed_role()
    role.rules = [rule("*", paths="*")]
    assert reconcile(role, found(CLUSTER_ROLES, "system:discovery")) is None


def test_an_object_can_be_left_alone() -> None:
    role = changed_role()
    role.metadata.annotations[AUTOUPDATE] = "false"
    assert reconcile(role, found(CLUSTER_ROLES, "system:discovery")) is None


def test_labels_come_back_and_what_people_set_wins() -> None:
    wanted = found(CLUSTER_ROLES, "edit")
    stored = copy.deepcopy(wanted)
    stored.metadata.labels = {"mine": "yes", "kubernetes.io/bootstrapping": "changed"}
    mended = reconcile(stored, wanted)
    assert mended is not None
    assert mended.metadata.labels == {
        "mine": "yes",
        "kubernetes.io/bootstrapping": "changed",
        f"{GROUP}/aggregate-to-admin": "true",
    }
    assert stored.metadata.labels.keys() == {"mine", "kubernetes.io/bootstrapping"}  # shared objects stay as they are


def test_missing_selectors_come_back() -> None:
    wanted = found(CLUSTER_ROLES, "view")
    stored = copy.deepcopy(wanted)
    stored.aggregation_rule = None
    mended = reconcile(stored, wanted)
    assert mended is not None
    assert mended.aggregation_rule == wanted.aggregation_rule
    stored = copy.deepcopy(wanted)
    stored.rules = [rule("get", "pods")]  # not its own: they are collected
    assert reconcile(stored, wanted) is None


def test_missing_subjects_come_back_and_another_role_is_replaced() -> None:
    wanted: ClusterRoleBinding = found(CLUSTER_ROLE_BINDINGS, "cluster-admin")
    stored = copy.deepcopy(wanted)
    stored.subjects = [subject("user:jane")]
    mended = reconcile(stored, wanted)
    assert mended is not None
    assert mended.subjects == [subject("user:jane"), *wanted.subjects]
    stored = msgspec.structs.replace(stored, role_ref=RoleRef(api_group=GROUP, kind="ClusterRole", name="view"))
    assert reconcile(stored, wanted) is wanted
