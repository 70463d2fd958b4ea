"""Reviews of authorization.k8s.io: the answer is what a request would meet; wrong questions are named."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from rbac_objects import binding, cluster_binding, cluster_role, rule, user

from apiserver.api.authorization import SelfSubjectAccessReviewSpec, SubjectAccessReviewSpec, SubjectAccessReviewStatus
from apiserver.api.errors import Invalid
from apiserver.auth.authorizer import PUBLIC_PATHS, Authorizer
from apiserver.auth.node_authorizer import NodeAuthorizer
from apiserver.auth.node_graph import NodeGraph
from apiserver.auth.rbac import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, Rbac
from apiserver.auth.reviews import access_review, rules_review, self_access_review
from apiserver.auth.user import User

JANE = user("jane", ["dev"])


async def _applied() -> None:
    """Everything is."""


def world() -> Authorizer:
    rbac = Rbac()
    rbac.upsert(CLUSTER_ROLES, cluster_role("r", rule("list", "pods", names="a"), rule("get", paths="/metrics")))
    rbac.upsert(CLUSTER_ROLE_BINDINGS, cluster_binding("b", "r", "user:jane"))
    rbac.upsert(ROLE_BINDINGS, binding("b", "gone", "user:jane"))
    return Authorizer(rbac, NodeAuthorizer(NodeGraph(), _applied))


def self_review(spec: dict[str, Any], who: User = JANE) -> SubjectAccessReviewStatus:
    return asyncio.run(self_access_review(world(), who, msgspec.convert(spec, SelfSubjectAccessReviewSpec)))


def review(spec: dict[str, Any], namespace: str | None = None) -> SubjectAccessReviewStatus:
    return asyncio.run(access_review(world(), msgspec.convert(spec, SubjectAccessReviewSpec), namespace=namespace))


def pods(**more: Any) -> dict[str, Any]:
    return {"resourceAttributes": {"verb": "list", "resource": "pods", "namespace": "shop", **more}}


def test_may_i() -> None:
    answer = self_review(pods(name="a"))
    assert answer.allowed
    assert answer.reason.startswith("RBAC: allowed by")
    assert not self_review(pods()).allowed
    assert not self_review(pods(name="a"), user("joe")).allowed
    assert self_review({"nonResourceAttributes": {"verb": "get", "path": "/metrics"}}).allowed
    assert self_review(pods(verb="*", resource="*", group="*"), user("root", ["system:masters"])).allowed


def test_selectors_count_only_where_they_demand_something() -> None:
    by_text = pods(fieldSelector={"rawSelector": "metadata.name=a"})
    by_parts = pods(fieldSelector={"requirements": [{"key": "metadata.name", "operator": "In", "values": ["a"]}]})
    assert self_review(by_text).allowed
    assert self_review(by_parts).allowed
    for requirement in (
        {"key": "metadata.name", "operator": "In", "values": ["a", "b"]},
        {"key": "metadata.name", "operator": "NotIn", "values": ["a"]},
        {"key": "metadata.name", "operator": "In", "values": ["b,metadata.name=a"]},
    ):
        assert not self_review(pods(fieldSelector={"requirements": [requirement]})).allowed


def test_an_empty_resource_is_no_path() -> None:
    by = world()
    by.rbac.upsert(CLUSTER_ROLES, cluster_role("r", rule("get", paths="*")))
    spec = msgspec.convert({"resourceAttributes": {"verb": "get"}}, SelfSubjectAccessReviewSpec)
    assert not asyncio.run(self_access_review(by, JANE, spec)).allowed


def test_may_somebody() -> None:
    assert review({"user": "jane", **pods(name="a")}).allowed
    assert review({"user": "jane", **pods(name="a")}, "shop").allowed
    assert not review({"groups": ["dev"], **pods(name="a")}).allowed
    assert review({"user": "x", "groups": ["system:masters"], **pods()}).allowed


@pytest.mark.parametrize(
    ("spec", "namespace", "field"),
    [
        ({"user": "jane"}, None, "spec.resourceAttributes"),
        ({"user": "jane", **pods(), "nonResourceAttributes": {"path": "/"}}, None, "spec.resourceAttributes"),
        (pods(), None, "spec.user"),
        ({"user": "jane", **pods()}, "other", "spec.resourceAttributes.namespace"),
        ({"user": "jane", "nonResourceAttributes": {"path": "/"}}, "shop", "spec.nonResourceAttributes"),
    ],
)
def test_questions_that_make_no_sense(spec: dict[str, Any], namespace: str | None, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        review(spec, namespace)
    assert [cause.field for cause in caught.value.causes] == [field]


def test_a_self_review_needs_a_question() -> None:
    with pytest.raises(Invalid):
        self_review({})


def test_all_one_may_do() -> None:
    answer = rules_review(world(), JANE, "shop")
    assert [(each.verbs, each.resources, each.resource_names) for each in answer.resource_rules] == [
        (["list"], ["pods"], ["a"])
    ]
    assert [each.non_resource_urls for each in answer.non_resource_rules] == [["/metrics"], sorted(PUBLIC_PATHS)]
    assert answer.incomplete
    assert answer.evaluation_error == 'clusterrole.rbac.authorization.k8s.io "gone" not found'
    assert not rules_review(world(), user("joe"), "shop").incomplete


def test_rules_of_masters_and_nodes() -> None:
    (everything,) = rules_review(world(), user("root", ["system:masters"]), "shop").resource_rules
    assert (everything.verbs, everything.api_groups, everything.resources) == (["*"], ["*"], ["*"])
    answer = rules_review(world(), user("system:node:n1", ["system:nodes"]), "shop")
    assert answer.incomplete
    assert "node authorizer" in answer.evaluation_error
