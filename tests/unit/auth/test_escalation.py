"""Nobody hands out what they do not hold."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest
from rbac_objects import binding, cluster_binding, cluster_role, role, rule, user

from apiserver.api.errors import ApiError, Forbidden, NotFound
from apiserver.api.meta import OwnerReference
from apiserver.auth.escalation import EscalationCheck
from apiserver.auth.rbac import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, GROUP, ROLE_BINDINGS, ROLES, Rbac
from apiserver.auth.rbac_rules import COMPARISONS_MAX, PERMISSIONS_MAX, describe, uncovered
from apiserver.auth.user import Attributes, Decision, User

JANE = user("jane", ["dev"])


class World:
    """Jane may get and list pods everywhere, and delete those in namespace shop."""

    def __init__(self) -> None:
        self.rbac = Rbac()
        self.rbac.upsert(CLUSTER_ROLES, cluster_role("reader", rule("get list", "pods")))
        self.rbac.upsert(CLUSTER_ROLES, cluster_role("deleter", rule("delete", "pods")))
        self.rbac.upsert(CLUSTER_ROLE_BINDINGS, cluster_binding("b", "reader", "user:jane"))
        self.rbac.upsert(ROLE_BINDINGS, binding("b", "deleter", "user:jane"))

    def grant(self, *rules: Any) -> None:
        self.rbac.upsert(CLUSTER_ROLES, cluster_role("more", *rules))
        self.rbac.upsert(CLUSTER_ROLE_BINDINGS, cluster_binding("more", "more", "user:jane"))

    async def authorize(self, who: User, attributes: Attributes) -> Decision:
        return self.rbac.authorize(who, attributes)

    def write(self, obj: Any, old: Any = None, who: User = JANE) -> ApiError | None:
        check = EscalationCheck(self.rbac, self.authorize)
        write = check.check_role if hasattr(obj, "rules") else check.check_binding
        try:
            asyncio.run(write(who, obj, old))
        except ApiError as error:
            return error
        return None


def test_one_may_hand_out_what_one_holds() -> None:
    world = World()
    assert world.write(cluster_role("new", rule("get", "pods"))) is None
    assert world.write(role("new", rule("get delete", "pods"))) is None
    assert world.write(cluster_binding("new", "reader", "user:joe")) is None
    assert world.write(binding("new", "deleter", "user:joe")) is None


def test_the_refusal_lists_what_is_missing() -> None:
    error = World().write(cluster_role("new", rule("get delete watch", "pods services"), rule("get", paths="/metrics")))
    assert isinstance(error, Forbidden)
    assert error.message == (
        'clusterroles.rbac.authorization.k8s.io "new" is forbidden: user "jane" '
        '(groups=["dev" "system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n'
        '{APIGroups:[""], Resources:["pods"], Verbs:["delete" "watch"]}\n'
        '{APIGroups:[""], Resources:["services"], Verbs:["get" "delete" "watch"]}\n'
        '{NonResourceURLs:["/metrics"], Verbs:["get"]}'
    )
    assert (error.details.kind, error.details.group, error.details.name) == ("clusterroles", GROUP, "new")


@pytest.mark.parametrize(
    "obj",
    [
        role("new", rule("delete", "pods"), namespace="other"),
        cluster_role("new", rule("delete", "pods")),
        role("new", rule("*", "pods")),
        role("new", rule("get", "*")),
        role("new", rule("get", "pods", groups="*")),
        role("new", rule("get", "pods/log")),
        binding("new", "deleter", "user:joe", namespace="other"),
        cluster_binding("new", "deleter", "user:joe"),
    ],
)
def test_what_one_does_not_hold(obj: Any) -> None:
    assert isinstance(World().write(obj), Forbidden)


def test_names_narrow_and_never_widen() -> None:
    world = World()
    world.grant(rule("update", "pods", names="a b"))
    assert world.write(cluster_role("new", rule("update", "pods", names="b"))) is None
    assert world.write(cluster_role("new", rule("update", "pods", names="b c"))) is not None
    assert world.write(cluster_role("new", rule("update", "pods"))) is not None
    assert world.write(cluster_role("new", rule("get", "pods", names="x"))) is None


def test_masters_may_all() -> None:
    assert World().write(cluster_role("new", rule("*", "*", groups="*")), who=user("root", ["system:masters"])) is None


def test_the_verb_escalate_allows_to_write_any_role() -> None:
    world = World()
    world.grant(rule("escalate", "clusterroles", groups=GROUP, names="new"))
    assert world.write(cluster_role("new", rule("*", "*"))) is None
    assert world.write(cluster_role("other", rule("*", "*"))) is not None


def test_the_verb_bind_allows_to_bind_that_role() -> None:
    world = World()
    world.grant(rule("bind", "clusterroles", groups=GROUP, names="admin"))
    world.rbac.upsert(CLUSTER_ROLES, cluster_role("admin", rule("*", "*")))
    assert world.write(cluster_binding("new", "admin", "user:joe")) is None
    assert world.write(binding("new", "admin", "user:joe")) is None
    assert world.write(cluster_binding("new", "deleter", "user:joe")) is not None


def test_a_binding_to_a_role_that_is_not_there() -> None:
    error = World().write(binding("new", "gone", "user:joe", kind="Role"))
    assert isinstance(error, NotFound)
    assert error.message == 'roles.rbac.authorization.k8s.io "gone" not found'


def test_a_binding_hands_out_what_an_aggregating_role_collects() -> None:
    world = World()
    world.rbac.upsert(CLUSTER_ROLES, cluster_role("all", collects={"into": "all"}))
    assert world.write(cluster_binding("new", "all", "user:joe")) is None
    world.rbac.upsert(CLUSTER_ROLES, cluster_role("part", rule("delete", "nodes"), labels={"into": "all"}))
    assert world.write(cluster_binding("new", "all", "user:joe")) is not None


def test_a_label_can_hand_out_too() -> None:
    """A role that is fed to an aggregated one grants to everybody who is bound to that."""
    old = cluster_role("strong", rule("delete", "nodes"))
    labelled = cluster_role("strong", rule("delete", "nodes"), labels={"into": "all"})
    assert World().write(labelled, old) is not None


def test_owners_and_finalizers_of_a_strong_role_may_change() -> None:
    old = cluster_role("strong", rule("*", "*"))
    new = copy.deepcopy(old)
    new.metadata.finalizers = []
    new.metadata.owner_references = [OwnerReference(kind="X", name="x", uid="u")]
    new.metadata.resource_version = "7"
    assert World().write(new, old) is None
    new.rules[0].verbs.append("more")
    assert World().write(new, old) is not None


def test_only_who_may_all_may_aggregate() -> None:
    world = World()
    aggregating = cluster_role("new", collects={"into": "all"})
    error = world.write(aggregating)
    assert error is not None
    assert "must have cluster-admin privileges to use an aggregationRule" in error.message
    assert world.write(cluster_role("new"), aggregating) is not None  # to stop it, too
    world.grant(rule("*", "*", groups="*"), rule("*", paths="*"))
    assert world.write(aggregating) is None


def test_a_missing_role_of_the_asker_is_mentioned() -> None:
    world = World()
    world.rbac.upsert(ROLE_BINDINGS, binding("c", "lost", "user:jane", kind="Role"))
    error = world.write(role("new", rule("create", "pods")))
    assert error is not None
    assert error.message.endswith('; resolution errors: [role.rbac.authorization.k8s.io "lost" not found]')


def test_a_check_has_a_bound() -> None:
    many = rule("get", " ".join(f"r{number}" for number in range(PERMISSIONS_MAX + 1)))
    with pytest.raises(ValueError, match="more than 5000"):
        uncovered([], [many])
    error = World().write(cluster_role("new", many))
    assert error is not None
    assert "more than 5000 single permissions" in error.message


def test_many_rules_of_ones_own_do_not_make_a_check_long() -> None:
    own = [rule("get", "pods", names=f"own{number}") for number in range(PERMISSIONS_MAX)]
    others = [rule("get", "pods", names=f"other{number}") for number in range(COMPARISONS_MAX // PERMISSIONS_MAX + 1)]
    with pytest.raises(ValueError, match=f"more than {COMPARISONS_MAX} times"):
        uncovered(own, others)
    assert uncovered(own, others[:-1]) == others[:-1]
    assert uncovered([*own, *others], [*others, *own]) == [], "what is the same is not compared"


def test_rules_are_shown_as_kubernetes_shows_them() -> None:
    shown = describe(rule("get", "pods", names="a b"))
    assert shown == '{APIGroups:[""], Resources:["pods"], ResourceNames:["a" "b"], Verbs:["get"]}'


def test_a_role_of_the_same_name_in_another_namespace_is_another() -> None:
    world = World()
    world.rbac.upsert(ROLES, role("r", rule("delete", "pods")))
    assert world.write(binding("new", "r", "user:joe", kind="Role")) is None
    assert isinstance(world.write(binding("new", "r", "user:joe", kind="Role", namespace="other")), NotFound)
