"""RBAC: what a rule allows, whom a binding names, what changes do, and what a refusal says."""

from __future__ import annotations

import pytest
from rbac_objects import binding, cluster_binding, cluster_role, role, rule, user

from apiserver.api.rbac import PolicyRule
from apiserver.auth.rbac import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    ROLE_BINDINGS,
    ROLES,
    Rbac,
)
from apiserver.auth.user import Attributes, User

JANE = user("jane", ["dev"])
WEB = user("system:serviceaccount:shop:web")


def asked(verb: str, resource: str = "pods", name: str = "", *, group: str = "", namespace: str = "shop") -> Attributes:
    """`pods/log` is a subresource; a resource that begins with / is a path."""
    if resource.startswith("/"):
        return Attributes(verb=verb, path=resource)
    resource, _, subresource = resource.partition("/")
    return Attributes(verb, group, "v1", resource, subresource, namespace, name)


def with_rule(*rules: PolicyRule) -> Rbac:
    rbac = Rbac()
    rbac.upsert(CLUSTER_ROLES, cluster_role("r", *rules))
    rbac.upsert(CLUSTER_ROLE_BINDINGS, cluster_binding("b", "r", "user:jane"))
    return rbac


def allows(rbac: Rbac, attributes: Attributes, who: User = JANE) -> bool:
    decision = rbac.authorize(who, attributes)
    assert rbac.authorize(who, attributes) == decision  # as it is remembered
    return decision.allowed


@pytest.mark.parametrize(
    ("given", "attributes", "expected"),
    [
        (rule("get", "pods"), asked("get"), True),
        (rule("get", "pods"), asked("list"), False),
        (rule("get", "pods"), asked("get", group="apps"), False),
        (rule("get", "pods"), asked("get", "services"), False),
        (rule("get", "pods"), asked("get", "pods/log"), False),
        (rule("*", "pods"), asked("anything"), True),
        (rule("get", "*"), asked("get", "pods/log"), True),
        (rule("get", "*"), asked("get", "deployments", group="apps"), False),
        (rule("get", "*", groups="*"), asked("get", "deployments", group="apps"), True),
        (rule("get", "pods/log"), asked("get", "pods/log"), True),
        (rule("get", "pods/log"), asked("get", "pods"), False),
        (rule("get", "*/scale", groups="apps"), asked("get", "deployments/scale", group="apps"), True),
        (rule("get", "*/scale", groups="apps"), asked("get", "deployments", group="apps"), False),
        (rule("get", "*/scale", groups="apps"), asked("get", "deployments/status", group="apps"), False),
        (rule("get", "pods/*"), asked("get", "pods/log"), False),  # no such wildcard in Kubernetes
        (rule("get", "pods", names="a b"), asked("get", name="b"), True),
        (rule("get", "pods", names="a b"), asked("get", name="c"), False),
        (rule("*", "pods", names="a"), asked("create"), False),
        (rule("*", "pods", names="a"), asked("list"), False),
        (rule("*", "pods", names="a"), asked("deletecollection"), False),
        (rule("*", "pods", names="a"), asked("list", name="a"), True),  # by metadata.name
        (rule("get", paths="/metrics"), asked("get", "/metrics"), True),
        (rule("get", paths="/metrics"), asked("get", "/metrics/slis"), False),
        (rule("get", paths="/openapi/*"), asked("get", "/openapi/v2"), True),
        (rule("get", paths="/openapi/*"), asked("get", "/openapi"), False),
        (rule("get", paths="/x*"), asked("get", "/xyz"), True),
        (rule("get", paths="*"), asked("get", "/anything"), True),
        (rule("get", paths="*"), asked("post", "/anything"), False),
        (rule("*", "*", groups="*"), asked("get", "/metrics"), False),
        (rule("get", paths="*"), asked("get", "pods"), False),
    ],
)
def test_what_a_rule_allows(given: PolicyRule, attributes: Attributes, expected: bool) -> None:
    assert allows(with_rule(given), attributes) is expected


def test_names_of_several_rules_add_up() -> None:
    rbac = with_rule(rule("get", "pods", names="a"), rule("get", "pods", names="b"), rule("list", "pods"))
    assert [allows(rbac, asked("get", name=name)) for name in ("a", "b", "c", "")] == [True, True, False, False]


# --- whom a binding names -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "who", "expected"),
    [
        ("user:jane", JANE, True),
        ("user:dev", JANE, False),
        ("group:dev", JANE, True),
        ("group:jane", JANE, False),
        ("group:system:authenticated", JANE, True),
        ("user:system:serviceaccount:shop:web", WEB, True),
        ("account:shop/web", WEB, True),
        ("account:other/web", WEB, False),
        ("account:web", WEB, False),  # of no namespace: a ClusterRoleBinding has none to lend
    ],
)
def test_subjects_of_a_cluster_binding(named: str, who: User, expected: bool) -> None:
    rbac = Rbac()
    rbac.upsert(CLUSTER_ROLES, cluster_role("r", rule("get", "pods")))
    rbac.upsert(CLUSTER_ROLE_BINDINGS, cluster_binding("b", "r", named))
    assert allows(rbac, asked("get"), who) is expected


def test_a_role_binding_reaches_its_own_namespace_only() -> None:
    rbac = Rbac()
    rbac.upsert(ROLES, role("r", rule("get", "pods")))
    rbac.upsert(ROLES, role("r", rule("*", "*"), namespace="other"))
    rbac.upsert(ROLE_BINDINGS, binding("b", "r", "user:jane", "account:web", kind="Role"))
    assert allows(rbac, asked("get"))
    assert allows(rbac, asked("get"), WEB)
    assert not allows(rbac, asked("delete"))
    assert not allows(rbac, asked("get", namespace="other"))
    assert not allows(rbac, asked("get", namespace=""))


def test_a_role_binding_narrows_a_cluster_role_to_its_namespace() -> None:
    rbac = Rbac()
    rbac.upsert(CLUSTER_ROLES, cluster_role("r", rule("get", "pods"), rule("get", paths="/metrics")))
    rbac.upsert(ROLE_BINDINGS, binding("b", "r", "user:jane"))
    assert allows(rbac, asked("get"))
    assert not allows(rbac, asked("get", namespace=""))
    assert not allows(rbac, asked("get", "/metrics"))


def test_a_cluster_binding_cannot_refer_to_a_role() -> None:
    rbac = Rbac()
    rbac.upsert(ROLES, role("r", rule("get", "pods")))
    wrong = cluster_binding("b", "r", "user:jane")
    wrong.role_ref.kind = "Role"
    rbac.upsert(CLUSTER_ROLE_BINDINGS, wrong)
    assert not allows(rbac, asked("get"))


# --- changes --------------------------------------------------------------------------------------------------


def test_every_change_counts_for_the_next_decision() -> None:
    rbac = Rbac()
    assert not allows(rbac, asked("get"))
    rbac.upsert(CLUSTER_ROLE_BINDINGS, cluster_binding("b", "r", "user:jane"))
    assert not allows(rbac, asked("get"))
    rbac.upsert(CLUSTER_ROLES, cluster_role("r", rule("get", "pods")))
    assert allows(rbac, asked("get"))
    rbac.upsert(CLUSTER_ROLES, cluster_role("r", rule("list", "pods")))
    assert not allows(rbac, asked("get"))
    assert allows(rbac, asked("list"))
    rbac.upsert(CLUSTER_ROLE_BINDINGS, cluster_binding("b", "r", "user:joe"))
    assert not allows(rbac, asked("list"))
    rbac.upsert(CLUSTER_ROLE_BINDINGS, cluster_binding("b", "r", "group:dev", "group:dev", "user:jane"))
    assert allows(rbac, asked("list"))
    rbac.remove(CLUSTER_ROLE_BINDINGS, "", "b")
    assert not allows(rbac, asked("list"))
    rbac.remove(CLUSTER_ROLE_BINDINGS, "", "b")
    assert (rbac._users, rbac._groups, rbac._subjects) == ({}, {}, {})  # nothing is left behind


def test_bindings_of_one_name_in_several_places_are_several() -> None:
    rbac = Rbac()
    rbac.upsert(CLUSTER_ROLES, cluster_role("r", rule("get", "pods")))
    rbac.upsert(CLUSTER_ROLE_BINDINGS, cluster_binding("b", "r", "user:jane"))
    rbac.upsert(ROLE_BINDINGS, binding("b", "r", "user:jane"))
    rbac.upsert(ROLE_BINDINGS, binding("b", "r", "user:jane", namespace="other"))
    rbac.remove(CLUSTER_ROLE_BINDINGS, "", "b")
    assert [allows(rbac, asked("get", namespace=place)) for place in ("shop", "other", "")] == [True, True, False]
    rbac.remove(ROLE_BINDINGS, "other", "b")
    assert [allows(rbac, asked("get", namespace=place)) for place in ("shop", "other", "")] == [True, False, False]


def test_a_full_list_replaces_all_of_its_kind() -> None:
    rbac = Rbac()
    rbac.replace(CLUSTER_ROLES, [cluster_role("r", rule("get", "pods"))])
    rbac.replace(CLUSTER_ROLE_BINDINGS, [cluster_binding("b", "r", "user:joe")])
    rbac.replace(ROLE_BINDINGS, [binding("b", "r", "user:jane")])
    rbac.replace(CLUSTER_ROLE_BINDINGS, [cluster_binding("c", "r", "group:ops")])
    assert not allows(rbac, asked("get"), user("joe"))
    assert allows(rbac, asked("get"), user("x", ["ops"]))
    assert allows(rbac, asked("get"))
    rbac.replace(ROLE_BINDINGS, [])
    assert not allows(rbac, asked("get"))
    rbac.replace(CLUSTER_ROLES, [])
    rbac.replace(ROLES, [])
    assert not allows(rbac, asked("get"), user("x", ["ops"]))


def test_a_mirror_can_feed_it() -> None:
    rbac = with_rule(rule("get", "pods"))
    changed = rbac.listener(CLUSTER_ROLES)
    changed("", "r", None)
    assert not allows(rbac, asked("get"))
    changed("", "r", cluster_role("r", rule("get", "pods")))
    assert allows(rbac, asked("get"))


def test_other_kinds_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="no kind of RBAC"):
        Rbac().upsert("pods", cluster_role("r"))


# --- aggregation ----------------------------------------------------------------------------------------------


def test_an_aggregating_role_has_the_rules_of_those_it_selects_at_once() -> None:
    rbac = Rbac()
    rbac.upsert(CLUSTER_ROLE_BINDINGS, cluster_binding("b", "all", "user:jane"))
    rbac.upsert(CLUSTER_ROLES, cluster_role("all", rule("delete", "pods"), collects={"into": "all"}))
    assert not allows(rbac, asked("delete"))  # its stored rules decide nothing
    rbac.upsert(CLUSTER_ROLES, cluster_role("part", rule("get", "pods"), labels={"into": "all"}))
    assert allows(rbac, asked("get"))
    rbac.upsert(CLUSTER_ROLES, cluster_role("part", rule("get", "pods")))
    assert not allows(rbac, asked("get"))


def test_aggregation_goes_on_through_aggregating_roles_and_ends_in_circles() -> None:
    rbac = Rbac()
    rbac.upsert(CLUSTER_ROLES, cluster_role("a", collects={"into": "a"}, labels={"into": "b"}))
    rbac.upsert(CLUSTER_ROLES, cluster_role("b", collects={"into": "b"}, labels={"into": "a"}))
    rbac.upsert(CLUSTER_ROLES, cluster_role("x", rule("get", "pods"), labels={"into": "a"}))
    rbac.upsert(CLUSTER_ROLES, cluster_role("y", rule("list", "pods"), labels={"into": "b"}))
    for name in ("a", "b"):
        assert rbac.role_rules("ClusterRole", "", name) is not None
        collected = rbac.aggregated_rules(cluster_role(name, collects={"into": name}))
        assert sorted(each.verbs[0] for each in collected) == ["get", "list"]
    assert rbac.aggregating_roles() == ["a", "b"]


def test_the_same_rule_is_collected_once() -> None:
    rbac = Rbac()
    for name in "xyz":
        rbac.upsert(CLUSTER_ROLES, cluster_role(name, rule("get", "pods"), labels={"into": "a"}))
    assert rbac.aggregated_rules(cluster_role("a", collects={"into": "a"})) == [rule("get", "pods")]


# --- words and bounds -----------------------------------------------------------------------------------------


def test_reasons_say_which_binding_allowed() -> None:
    rbac = with_rule(rule("get", "pods"))
    reason = rbac.authorize(JANE, asked("get")).reason
    assert reason == 'RBAC: allowed by ClusterRoleBinding "b" of ClusterRole "r" to User "jane"'
    rbac = Rbac()
    rbac.upsert(ROLES, role("r", rule("get", "pods")))
    rbac.upsert(ROLE_BINDINGS, binding("b", "r", "account:web", kind="Role"))
    reason = rbac.authorize(WEB, asked("get")).reason
    assert reason == 'RBAC: allowed by RoleBinding "b/shop" of Role "r" to ServiceAccount "web/shop"'


def test_a_refusal_names_roles_that_are_missing() -> None:
    rbac = Rbac()
    rbac.upsert(CLUSTER_ROLE_BINDINGS, cluster_binding("b", "gone", "user:jane"))
    reason = rbac.authorize(JANE, asked("get")).reason
    assert reason == 'RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found'
    for number in range(9):
        rbac.upsert(ROLE_BINDINGS, binding(f"b{number}", f"r{number}", "user:jane", kind="Role"))
    reason = rbac.authorize(JANE, asked("get")).reason
    assert reason.endswith("and 5 more]")
    assert rbac.authorize(user("joe"), asked("get")).reason == ""


def test_all_rules_of_a_user() -> None:
    rbac = with_rule(rule("get", "pods"))
    rbac.upsert(ROLES, role("local", rule("delete", "pods")))
    rbac.upsert(ROLE_BINDINGS, binding("b", "local", "group:dev", kind="Role"))
    rbac.upsert(ROLE_BINDINGS, binding("c", "gone", "group:dev", kind="Role"))
    assert rbac.rules_for(JANE).rules == [rule("get", "pods")]
    found = rbac.rules_for(JANE, "shop")
    assert found.rules == [rule("get", "pods"), rule("delete", "pods")]
    assert found.problems == ['role.rbac.authorization.k8s.io "gone" not found']


def test_what_is_remembered_has_a_bound() -> None:
    rbac = Rbac(decisions_max=10)
    for number in range(50):
        rbac.authorize(JANE, asked("get", f"/{number}"))
    assert len(rbac._decisions) == 10
    rbac.authorize(JANE, asked("get", "/" + "x" * 600))
    assert not any(len(key[-1]) > 600 for key in rbac._decisions._entries)
