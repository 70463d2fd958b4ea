"""TokenRequests: lifetimes, audiences, and what a token may be bound to."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from two_views import Clock, TwoViews

from apiserver.api.authentication import TokenRequest
from apiserver.api.core.config import Secret
from apiserver.api.core.node import Node
from apiserver.api.core.pod import Pod
from apiserver.api.core.service_account import ServiceAccount
from apiserver.api.errors import ApiError, BadRequest, Conflict, Invalid, NotFound
from apiserver.api.meta import ObjectMeta
from apiserver.auth.service_account_keys import key_set
from apiserver.auth.service_accounts import ServiceAccountTokens
from apiserver.auth.token_requests import answer_token_request

ISSUER = "https://kubernetes.default.svc.cluster.local"
KEYS = key_set(ec.generate_private_key(ec.SECP256R1()))


def meta(name: str, uid: str, namespace: str = "shop") -> ObjectMeta:
    return ObjectMeta(name=name, namespace=namespace, uid=uid)


class World:
    def __init__(self) -> None:
        self.objects = TwoViews()
        self.account = ServiceAccount(metadata=meta("web", "account-uid"))
        self.objects.put("serviceaccounts", self.account)
        self.pod = Pod(metadata=meta("web-1", "pod-uid"))
        self.pod.spec.service_account_name, self.pod.spec.node_name = "web", "n1"
        self.objects.put("pods", self.pod)
        self.objects.put("secrets", Secret(metadata=meta("s", "secret-uid")))
        self.objects.put("nodes", Node(metadata=meta("n1", "node-uid", "")))
        self.warnings: list[str] = []
        self.tokens = ServiceAccountTokens(
            KEYS, self.objects, issuers=[ISSUER], lifetime_max_s=7200, clock=Clock(), monotonic=Clock(0.0)
        )

    def ask(self, **spec: Any) -> TokenRequest:
        request = msgspec.convert({"spec": spec}, TokenRequest)
        answer = answer_token_request(self.tokens, self.objects, self.account, request, self.warnings.append)
        return asyncio.run(answer)

    def extra(self, answer: TokenRequest) -> dict[str, tuple[str, ...]]:
        user = asyncio.run(self.tokens.verify(answer.status.token, answer.spec.audiences)).user
        return {key.removeprefix("authentication.kubernetes.io/"): value for key, value in user.extra.items()}


def bound(kind: str, name: str, uid: str = "", version: str = "v1") -> dict[str, Any]:
    return {"boundObjectRef": {"kind": kind, "apiVersion": version, "name": name, "uid": uid}}


def test_nothing_said_is_an_hour_for_the_api_server() -> None:
    answer = World().ask()
    assert answer.spec.expiration_seconds == 3600
    assert answer.spec.audiences == [ISSUER]
    assert answer.status.expiration_timestamp == "2030-03-17T18:46:40Z"
    assert answer.status.token.count(".") == 2
    assert answer.status.token not in repr(answer)


def test_what_is_asked_for_is_given_up_to_the_longest() -> None:
    world = World()
    assert world.ask(expirationSeconds=600, audiences=["vault"]).spec.audiences == ["vault"]
    assert world.ask(expirationSeconds=86400).spec.expiration_seconds == 7200
    assert world.warnings == ["requested expiration of 86400 seconds shortened to 7200 seconds"]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"expirationSeconds": 599}, "spec.expirationSeconds"),
        ({"expirationSeconds": 2**32 + 1}, "spec.expirationSeconds"),
        ({"expirationSeconds": -1}, "spec.expirationSeconds"),
        ({"audiences": ["a"] * 65}, "spec.audiences"),
        ({"audiences": ["a" * 1025]}, "spec.audiences[0]"),
        (bound("Pod", ""), "spec.boundObjectRef.name"),
    ],
)
def test_wrong_requests(spec: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        World().ask(**spec)
    assert [cause.field for cause in caught.value.causes] == [field]


def test_a_token_bound_to_a_pod_tells_pod_and_node() -> None:
    world = World()
    extra = world.extra(world.ask(**bound("Pod", "web-1", "pod-uid")))
    extra.pop("credential-id")
    assert extra == {
        "pod-name": ("web-1",),
        "pod-uid": ("pod-uid",),
        "node-name": ("n1",),
        "node-uid": ("node-uid",),
    }


def test_a_pod_on_no_node_yet() -> None:
    world = World()
    world.pod.spec.node_name = ""
    assert "node-name" not in world.extra(world.ask(**bound("Pod", "web-1")))


def test_secrets_and_nodes() -> None:
    world = World()
    assert world.extra(world.ask(**bound("Secret", "s"))).keys() == {"credential-id"}
    assert world.extra(world.ask(**bound("Node", "n1")))["node-uid"] == ("node-uid",)


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        (bound("Pod", "web-2"), NotFound),
        (bound("Pod", "web-1", "another-uid"), Conflict),
        (bound("ConfigMap", "c"), BadRequest),
        (bound("Pod", "web-1", version="apps/v1"), BadRequest),
        (bound("Secret", "gone"), NotFound),
    ],
)
def test_what_a_token_cannot_be_bound_to(spec: dict[str, Any], error: type[ApiError]) -> None:
    with pytest.raises(error):
        World().ask(**spec)


def test_a_pod_of_another_account_cannot_lend_itself() -> None:
    world = World()
    world.pod.spec.service_account_name = "admin"
    with pytest.raises(BadRequest, match='serviceaccount "web" to a pod that runs as "admin"'):
        world.ask(**bound("Pod", "web-1"))


def test_a_pod_made_on_another_replica_is_found() -> None:
    world = World()
    world.objects.local.clear()
    assert world.extra(world.ask(**bound("Pod", "web-1", "pod-uid")))["pod-uid"] == ("pod-uid",)
