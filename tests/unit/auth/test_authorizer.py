"""The order of authorizers, what the public may see, and the words of a refusal."""

from __future__ import annotations

import asyncio

import pytest
from rbac_objects import cluster_binding, cluster_role, rule, user

from apiserver.api.errors import Forbidden
from apiserver.auth.authn import ANONYMOUS_USER
from apiserver.auth.authorizer import Authorizer, forbidden
from apiserver.auth.node_authorizer import NodeAuthorizer
from apiserver.auth.node_graph import NodeGraph, PodUses
from apiserver.auth.rbac import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, Rbac
from apiserver.auth.user import Attributes, Decision, User

JANE = user("jane")
NODE = user("system:node:n1", ["system:nodes"])
LIST = Attributes("list", "", "v1", "pods", namespace="shop")


async def _applied() -> None:
    """Everything is."""


def authorizer(rbac: Rbac | None = None, graph: NodeGraph | None = None) -> Authorizer:
    return Authorizer(rbac or Rbac(), NodeAuthorizer(graph or NodeGraph(), _applied))


def ask(who: User, attributes: Attributes, by: Authorizer | None = None) -> Decision:
    return asyncio.run((by or authorizer()).authorize(who, attributes))


def granting(*rules: object) -> Authorizer:
    rbac = Rbac()
    rbac.upsert(CLUSTER_ROLES, cluster_role("r", *rules))  # type: ignore[arg-type]
    rbac.upsert(CLUSTER_ROLE_BINDINGS, cluster_binding("b", "r", "user:jane", "group:system:nodes"))
    return authorizer(rbac)


def test_masters_may_all() -> None:
    master = user("root", ["system:masters"])
    assert ask(master, LIST).allowed
    assert ask(master, Attributes("delete", path="/anything")).allowed


@pytest.mark.parametrize(
    ("path", "verb", "allowed"),
    [
        ("/healthz", "get", True),
        ("/livez", "get", True),
        ("/readyz", "head", True),
        ("/version", "get", True),
        ("/version", "post", False),
        ("/metrics", "get", False),
        ("/readyz/etcd", "get", False),
        ("/api", "get", False),
        ("/", "get", False),
    ],
)
def test_the_public_sees_health_and_version(path: str, verb: str, allowed: bool) -> None:
    assert ask(ANONYMOUS_USER, Attributes(verb=verb, path=path)).allowed is allowed


def test_a_resource_cannot_pass_for_a_public_path() -> None:
    assert not ask(ANONYMOUS_USER, LIST._replace(verb="get", path="/healthz")).allowed


def test_a_node_has_its_own_rules_and_those_of_rbac() -> None:
    graph = NodeGraph()
    graph.pod_changed("shop", "web-1", PodUses("n1", ("secrets/s",)))
    secret = Attributes("get", "", "v1", "secrets", "", "shop", "s")
    assert ask(NODE, secret, authorizer(graph=graph)).allowed
    assert not ask(JANE, secret, authorizer(graph=graph)).allowed
    refused = ask(NODE, secret)
    assert refused.reason == "no relationship found between node 'n1' and this object"
    assert ask(NODE, secret, granting(rule("get", "secrets"))).allowed


def test_a_list_by_name_asks_for_that_name_alone() -> None:
    by = granting(rule("list watch", "pods", names="a"))
    assert ask(JANE, LIST._replace(field_selector="metadata.name=a"), by).allowed
    assert not ask(JANE, LIST._replace(field_selector="metadata.name=b"), by).allowed
    assert not ask(JANE, LIST._replace(field_selector="metadata.name!=a"), by).allowed
    assert not ask(JANE, LIST._replace(field_selector="metadata.name"), by).allowed
    assert not ask(JANE, LIST, by).allowed
    by = granting(rule("*", "pods", names="a"))
    for verb, allowed in {"deletecollection": True, "create": False, "update": False}.items():
        assert ask(JANE, LIST._replace(verb=verb, field_selector="metadata.name=a"), by).allowed is allowed


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        (
            LIST,
            'pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "shop"',
        ),
        (
            Attributes("get", "apps", "v1", "deployments", "scale", "shop", "web"),
            'deployments.apps "web" is forbidden: User "jane" cannot get resource "deployments/scale" in API group '
            '"apps" in the namespace "shop"',
        ),
        (
            Attributes("watch", "", "v1", "nodes"),
            'nodes is forbidden: User "jane" cannot watch resource "nodes" in API group "" at the cluster scope',
        ),
        (Attributes("get", path="/metrics"), 'forbidden: User "jane" cannot get path "/metrics"'),
    ],
)
def test_a_refusal_is_told_as_kubernetes_tells_it(attributes: Attributes, message: str) -> None:
    error = forbidden(JANE, attributes)
    assert error.message == message
    assert (error.details.kind, error.details.group, error.details.name) == (
        attributes.resource,
        attributes.group,
        attributes.name,
    )
    assert forbidden(JANE, attributes, "because").message == f"{message}: because"


def test_require_refuses_the_first_that_is_not_allowed() -> None:
    by = granting(rule("list", "pods"))
    asyncio.run(by.require(JANE, LIST))
    with pytest.raises(Forbidden, match='cannot get resource "pods"'):
        asyncio.run(by.require_all(JANE, [LIST, LIST._replace(verb="get"), LIST._replace(verb="delete")]))


def test_names_are_escaped_in_messages() -> None:
    assert 'User "a\\"\\n" cannot' in forbidden(user('a"\n'), LIST).message
