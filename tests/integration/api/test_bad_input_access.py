"""Who may not: wrong credentials, missing rights, rights nobody may hand out, other identities, fences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from api_thread import ThreadedApi, api_on_thread
from wrong_requests import (
    ACCOUNTS,
    MAPS,
    NODES,
    PODS,
    RBAC,
    SECRETS,
    Wrong,
    binding,
    check_wrong,
    config_map,
    pod,
    prepare,
    role,
    to_node,
    with_metadata,
)

NO_ONE, MAY_NOT, BAD = (401, "Unauthorized"), (403, "Forbidden"), (400, "BadRequest")
NODE: dict[str, Any] = {"user": "system:node:n2", "groups": ["system:nodes"]}
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJhIn0.c2ln"


def unknown(id: str, authorization: str, says: str = "") -> Wrong:
    return Wrong(f"401: {id}", "GET", MAPS, None, *NO_ONE, says, headers={"Authorization": authorization}, user="")


def forbidden(id: str, method: str, path: str, body: object, says: str, *, user: str = "alice") -> Wrong:
    return Wrong(f"403: {id}", method, path, body, *MAY_NOT, says, user=user)


def as_other(id: str, code_reason: tuple[int, str], says: str, *, user: str = "kmini-admin", **headers: str) -> Wrong:
    sent = {f"Impersonate-{name.replace('_', '-')}": value for name, value in headers.items()}
    return Wrong(f"impersonation: {id}", "GET", MAPS, None, *code_reason, says, headers=sent, user=user)


def fenced(id: str, header: str, code_reason: tuple[int, str], says: str) -> Wrong:
    headers = {"X-Kmini-Fence": header}
    return Wrong(f"fence: {id}", "POST", MAPS, config_map(), *code_reason, says, headers=headers)


CREDENTIALS: list[Wrong] = [
    unknown("another way", "Basic YTpi", "the Authorization header must be `Bearer <token>`"),
    unknown("no token", "Bearer", ""),
    unknown("a token that is none", "Bearer a"),
    unknown("a token with spaces", "Bearer a b"),
    unknown("a token of nobody", "Bearer a.b.c"),
    unknown("a token of another issuer", f"Bearer {TOKEN}"),
    unknown("a token without an algorithm", "Bearer eyJhbGciOiJub25lIn0.e30."),
    unknown("a bootstrap token of nobody", "Bearer abcdef.0123456789abcdef"),
    unknown("a long token", f"Bearer {'a' * 20_000}"),
]

RIGHTS: list[Wrong] = [
    Wrong("403: nobody", "GET", MAPS, None, *MAY_NOT, user="",
          says='configmaps is forbidden: User "system:anonymous" cannot list resource "configmaps" in API group "" in '
               'the namespace "default"'),
    Wrong("403: nobody, a page", "GET", "/metrics", None, *MAY_NOT,
          'forbidden: User "system:anonymous" cannot get path "/metrics"', user=""),
    forbidden("read one", "GET", f"{SECRETS}/there", None,
              'secrets "there" is forbidden: User "alice" cannot get resource "secrets" in API group "" in the '
              'namespace "default"'),
    forbidden("list all namespaces", "GET", "/api/v1/pods", None,
              'pods is forbidden: User "alice" cannot list resource "pods" in API group "" at the cluster scope'),
    forbidden("watch", "GET", "/api/v1/nodes?watch=1", None, 'User "alice" cannot watch resource "nodes"'),
    forbidden("create", "POST", MAPS, config_map(), 'User "alice" cannot create resource "configmaps"'),
    forbidden("another namespace", "POST", "/api/v1/namespaces/other/pods", pod(), 'in the namespace "other"'),
    forbidden("native, another namespace", "POST", "/api/v1alpha1/pods", {"metadata": {"namespace": "other"}},
              'cannot create resource "pods"'),
    forbidden("update", "PUT", f"{NODES}/n1", {}, 'User "alice" cannot update resource "nodes"'),
    forbidden("patch", "PATCH", f"{NODES}/n1", {}, 'User "alice" cannot patch resource "nodes"'),
    forbidden("delete", "DELETE", f"{NODES}/n1", None, 'User "alice" cannot delete resource "nodes"'),
    forbidden("delete all", "DELETE", MAPS, None, 'User "alice" cannot deletecollection resource "configmaps"'),
    forbidden("a subresource", "PUT", f"{PODS}/there/status", {}, 'cannot update resource "pods/status"', user="bob"),
    forbidden("bind", "POST", f"{PODS}/there/binding", to_node("n1"), 'resource "pods/binding"', user="bob"),
    forbidden("a token", "POST", f"{ACCOUNTS}/default/token", {}, 'cannot create resource "serviceaccounts/token"'),
    forbidden("a group", "GET", "/apis/apps/v1/namespaces/default/deployments/x", None,
              'deployments.apps "x" is forbidden: User "alice" cannot get resource "deployments" in API group "apps"'),
]  # fmt: skip

ROLES, BINDINGS = f"{RBAC}/namespaces/default/roles", f"{RBAC}/namespaces/default/rolebindings"
_SECRETS = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
ESCALATION: list[Wrong] = [
    forbidden("escalation: a role", "POST", ROLES, role("new", _SECRETS),
              'user "bob" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held',
              user="bob"),
    forbidden("escalation: a larger role", "PUT", f"{ROLES}/pods", role("pods", _SECRETS),
              "is attempting to grant RBAC permissions not currently held", user="bob"),
    forbidden("escalation: a binding", "POST", BINDINGS, binding("new", "ClusterRole", "cluster-admin", "bob"),
              "is attempting to grant RBAC permissions not currently held", user="bob"),
    Wrong("escalation: another role in a binding", "PUT", f"{BINDINGS}/alice",
          binding("alice", "Role", "roles", "alice"), 422, "Invalid", "cannot change roleRef", ["roleRef"]),
    Wrong("binding: to a role that is not", "POST", BINDINGS, binding("new", "Role", "missing", "x"), 404, "NotFound",
          'roles.rbac.authorization.k8s.io "missing" not found', user="bob"),
]  # fmt: skip

OTHERS: list[Wrong] = [
    as_other("without the right", MAY_NOT,
             'users "bob" is forbidden: User "alice" cannot impersonate resource "users" in API group "" at the '
             "cluster scope", user="alice", User="bob"),
    as_other("a group without the right", MAY_NOT, "cannot impersonate", user="alice", User="alice",
             Group="system:masters"),
    as_other("somebody who may not", MAY_NOT, 'User "carol" cannot list resource "configmaps"', User="carol"),
    as_other("a group alone", BAD, "need an Impersonate-User", Group="system:masters"),
    as_other("an empty user", BAD, "is empty", User=""),
    as_other("a header nobody knows", BAD, "is unknown: nothing would be done with it", User="a", Other="b"),
    as_other("a long name", BAD, "at most 128 Impersonate headers of 1024 characters", User="a" * 1_100),
]  # fmt: skip

FENCES: list[Wrong] = [
    fenced("in words", "me", BAD, "X-Kmini-Fence: must be [<namespace>/]<lease>/<transitions>"),
    fenced("without a number", "default/office/now", BAD, "X-Kmini-Fence: must be"),
    fenced("with a number below nothing", "default/office/-1", BAD, "X-Kmini-Fence: must be"),
    fenced("with too many parts", "a/b/c/1", BAD, "X-Kmini-Fence: must be"),
    fenced("too long", f"default/{'a' * 600}/1", BAD, "X-Kmini-Fence: must be"),
    fenced("of another election", "default/office/7", (409, "Fenced"),
           "fenced: lease default/office has moved on from transition 7: it is at 0"),
    fenced("of no election", "default/missing/0", (409, "Fenced"), "nobody holds it"),
]  # fmt: skip

NODES_WRONG: list[Wrong] = [
    Wrong("node: another's status", "PUT", f"{NODES}/n1/status", {"metadata": {"name": "n1"}}, *MAY_NOT,
          'a node can change its own Node only', **NODE),
    Wrong("node: a pod that is no mirror", "POST", PODS, pod(nodeName="n2"), *MAY_NOT,
          "can only read pods, delete them, and update their status", **NODE),
    Wrong("node: a pod of another", "PUT", f"{PODS}/bound/status", pod("bound"), *MAY_NOT,
          "no relationship found between node 'n2' and this object", **NODE),
    Wrong("node: a secret nobody of its uses", "GET", f"{SECRETS}/there", None, *MAY_NOT, "no relationship found",
          **NODE),
    Wrong("node: all secrets", "GET", SECRETS, None, *MAY_NOT, 'cannot list resource "secrets"', **NODE),
    Wrong("node: a token for nobody", "POST", f"{ACCOUNTS}/default/token", {"spec": {}}, *MAY_NOT, "", **NODE),
]  # fmt: skip

WRONG = [*CREDENTIALS, *RIGHTS, *ESCALATION, *OTHERS, *FENCES, *NODES_WRONG]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadedApi]:
    with api_on_thread(tmp_path_factory.mktemp("api")) as served:
        prepare(served)
        yield served


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.id)
def test_who_may_not_is_told_what(api: ThreadedApi, wrong: Wrong) -> None:
    check_wrong(api, wrong)


def test_a_refused_identity_is_asked_for_a_token(api: ThreadedApi) -> None:
    answer = api.json("GET", MAPS, headers={"Authorization": "Bearer a"}, user="")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_token_of_an_account_that_is_gone_is_refused(api: ThreadedApi) -> None:
    api.create(ACCOUNTS, {"metadata": {"name": "short"}})
    token = api.json("POST", f"{ACCOUNTS}/short/token", {"spec": {}}).body["status"]["token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert api.json("DELETE", f"{ACCOUNTS}/short").code == 200
    answer = api.json("GET", MAPS, headers=headers, user="")
    assert (answer.code, answer.body["reason"]) == (401, "Unauthorized")


def test_no_header_that_is_no_text_gets_through(api: ThreadedApi) -> None:
    for header in (b"X-Kmini-Fence: \xff/\xfe/1", b"Impersonate-User: \xff\xfe", b"Impersonate-User: a\xffb"):
        body = b'{"metadata":{"name":"new"}}'
        head = b"POST %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n%s\r\n\r\n"
        answer = api.raw(head % (MAPS.encode(), len(body), header) + body)
        assert (answer.code, answer.status["reason"]) == (400, "BadRequest"), header
    assert api.json("POST", MAPS, with_metadata(config_map("unfenced"))).code == 201
