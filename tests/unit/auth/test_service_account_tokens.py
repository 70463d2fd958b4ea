"""ServiceAccount tokens: what they say, who accepts them, and everything that makes one worthless."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from two_views import Clock, TwoViews

from apiserver.api.core.config import Secret
from apiserver.api.core.node import Node
from apiserver.api.core.pod import Pod
from apiserver.api.core.service_account import ServiceAccount
from apiserver.api.errors import Unauthorized
from apiserver.api.meta import ObjectMeta
from apiserver.api.times import now_text
from apiserver.auth import pki
from apiserver.auth.keyring import PkiError
from apiserver.auth.service_account_keys import (
    ServiceAccountKeys,
    discovery_document,
    jwks_document,
    key_set,
    load_keys,
)
from apiserver.auth.service_accounts import (
    LEEWAY_S,
    RECHECK_AFTER_S,
    Reference,
    ServiceAccountTokens,
    VerifiedToken,
    split_service_account,
)

ISSUER = "https://kubernetes.default.svc.cluster.local"
KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_KEY = ec.generate_private_key(ec.SECP256R1())
POD = Reference(name="web-1", uid="pod-uid")


def meta(name: str, uid: str, namespace: str = "shop") -> ObjectMeta:
    return ObjectMeta(name=name, namespace=namespace, uid=uid)


class World:
    def __init__(self, keys: ServiceAccountKeys | None = None, **settings: Any) -> None:
        self.clock = Clock()
        self.interval = Clock(0.0)
        self.objects = TwoViews()
        self.account = ServiceAccount(metadata=meta("web", "account-uid"))
        self.pod = Pod(metadata=meta("web-1", "pod-uid"))
        self.objects.put("serviceaccounts", self.account)
        self.objects.put("pods", self.pod)
        self.tokens = ServiceAccountTokens(
            keys or key_set(KEY),
            self.objects,
            issuers=[ISSUER],
            clock=self.clock,
            monotonic=self.interval,
            **settings,
        )

    def issue(self, **settings: Any) -> str:
        return self.tokens.issue(self.account, **settings).token

    def verify(self, token: str, *audiences: str) -> VerifiedToken:
        return asyncio.run(self.tokens.verify(token, audiences))

    def refused(self, token: str, *audiences: str) -> str:
        with pytest.raises(Unauthorized) as caught:
            self.verify(token, *audiences)
        assert token not in caught.value.message
        return caught.value.message


def base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def claims_of(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def test_claims_are_those_of_kubernetes() -> None:
    world = World()
    token = world.issue(pod=POD, node=Reference(name="n1", uid="node-uid"))
    claims = claims_of(token)
    now_s = int(world.clock())
    assert claims.pop("jti")
    assert claims == {
        "iss": ISSUER,
        "sub": "system:serviceaccount:shop:web",
        "aud": [ISSUER],
        "exp": now_s + 3600,
        "iat": now_s,
        "nbf": now_s,
        "kubernetes.io": {
            "namespace": "shop",
            "serviceaccount": {"name": "web", "uid": "account-uid"},
            "node": {"name": "n1", "uid": "node-uid"},
            "pod": {"name": "web-1", "uid": "pod-uid"},
        },
    }
    header = jwt.get_unverified_header(token)
    assert header == {"alg": "ES256", "kid": key_set(KEY).signing_id}


def test_a_token_names_the_account_and_tells_where_it_is_used() -> None:
    world = World()
    token = world.issue(pod=POD, node=Reference(name="n1", uid="node-uid"))
    verified = world.verify(token)
    user = verified.user
    assert user.name == "system:serviceaccount:shop:web"
    assert user.uid == "account-uid"
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated")
    assert user.extra["authentication.kubernetes.io/pod-name"] == ("web-1",)
    assert user.extra["authentication.kubernetes.io/pod-uid"] == ("pod-uid",)
    assert user.extra["authentication.kubernetes.io/node-name"] == ("n1",)
    assert user.extra["authentication.kubernetes.io/credential-id"] == (f"JTI={claims_of(token)['jti']}",)
    assert verified.audiences == [ISSUER]


def test_any_library_can_verify_with_the_published_keys() -> None:
    world = World()
    published = json.loads(jwks_document(world.tokens.keys))
    (entry,) = published["keys"]
    assert entry["kid"] == jwt.get_unverified_header(world.issue())["kid"]
    key = jwt.PyJWK(entry).key
    options: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
    claims = jwt.decode(world.issue(), key, algorithms=["ES256"], audience=ISSUER, issuer=ISSUER, options=options)
    assert claims["sub"] == "system:serviceaccount:shop:web"


def test_the_discovery_document() -> None:
    found = json.loads(discovery_document(ISSUER, "https://10.0.0.1:6443/openid/v1/jwks"))
    assert found["issuer"] == ISSUER
    assert found["jwks_uri"].endswith("/openid/v1/jwks")
    assert found["id_token_signing_alg_values_supported"] == ["ES256"]


# --- forgeries ------------------------------------------------------------------------------------------------


def forged(change: Callable[[dict[str, Any]], Any] = lambda claims: None, **header: Any) -> tuple[World, str]:
    """A token signed by our own key, with other claims or another header."""
    world = World()
    claims = claims_of(world.issue())
    change(claims)
    headers = {"kid": world.tokens.keys.signing_id, **header}
    return world, jwt.encode(claims, KEY, algorithm="ES256", headers=headers)


def test_no_signature_is_no_signature() -> None:
    world = World()
    claims = claims_of(world.issue())
    for headers in ({}, {"kid": world.tokens.keys.signing_id}):
        token = jwt.encode(claims, "", algorithm="none", headers=headers)
        assert "signed with ES256" in world.refused(token)


def test_the_public_key_is_no_shared_secret() -> None:
    """The old confusion of algorithms: HMAC with the published key."""
    world = World()
    public = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    header = json.dumps({"alg": "HS256", "kid": world.tokens.keys.signing_id}).encode()
    signed = base64url(header) + "." + world.issue().split(".")[1]
    token = signed + "." + base64url(hmac.digest(public, signed.encode(), "sha256"))
    assert "signed with ES256" in world.refused(token)


def test_another_key_under_our_key_id() -> None:
    world = World()
    headers = {"kid": world.tokens.keys.signing_id}
    token = jwt.encode(claims_of(world.issue()), OTHER_KEY, algorithm="ES256", headers=headers)
    assert "signature is wrong" in world.refused(token)


def test_a_key_nobody_knows() -> None:
    world = World()
    token = World(key_set(OTHER_KEY)).issue()
    assert "key that this cluster does not know" in world.refused(token)


@pytest.mark.parametrize("part", [0, 1, 2])
def test_one_changed_character(part: int) -> None:
    world = World()
    parts = world.issue().split(".")
    middle = len(parts[part]) // 2
    letter = "A" if parts[part][middle] != "A" else "B"
    parts[part] = parts[part][:middle] + letter + parts[part][middle + 1 :]
    assert world.refused(".".join(parts))


@pytest.mark.parametrize("token", ["", "..", "a.b.c", "é.é.é", "x" * 20_000, "eyJhbGciOiJFUzI1NiIsImtpZCI6W119.e30.AA"])
def test_what_is_no_token(token: str) -> None:
    with pytest.raises(Unauthorized):
        World().verify(token)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda claims: claims.update(iss="https://elsewhere"), "another issuer"),
        (lambda claims: claims.update(sub="system:serviceaccount:kube-system:web"), "subject is not"),
        (lambda claims: claims.pop("kubernetes.io"), "no service account token"),
        (lambda claims: claims.pop("exp"), "no service account token"),
        (lambda claims: claims.update(exp="never"), "no service account token"),
        (lambda claims: claims.update(aud=ISSUER), "no service account token"),
        (lambda claims: claims["kubernetes.io"].pop("serviceaccount"), "no service account token"),
    ],
)
def test_claims_that_do_not_hold_together(change: Callable[[dict[str, Any]], Any], why: str) -> None:
    world, token = forged(change)
    assert why in world.refused(token)


# --- time and audience ----------------------------------------------------------------------------------------


def test_a_token_ends_on_time_even_when_remembered() -> None:
    world = World()
    token = world.issue(lifetime_s=600)
    world.clock.now_s += 600 + LEEWAY_S - 1
    world.verify(token)
    world.clock.now_s += 2
    assert world.refused(token) == "service account token has expired"


def test_a_token_from_the_future_asks_for_the_clocks() -> None:
    world = World()
    token = world.issue()
    world.clock.now_s -= LEEWAY_S + 1
    assert "not valid yet: check the clocks" in world.refused(token)


def test_a_token_is_good_for_its_audiences_only() -> None:
    world = World()
    token = world.issue(audiences=["vault", "backup"])
    assert world.verify(token, "other", "backup").audiences == ["backup"]
    assert "none of ['other']" in world.refused(token, "other")
    assert "are for none of" in world.refused(token)  # not for the API server, though it is remembered as good


def test_lifetimes_have_bounds() -> None:
    world = World(lifetime_max_s=7200)
    assert world.tokens.issue(world.account, lifetime_s=10**6).expires_at_s == int(world.clock()) + 7200
    with pytest.raises(ValueError, match="less than 10 minutes"):
        world.issue(lifetime_s=599)


# --- rotation -------------------------------------------------------------------------------------------------


def test_keys_rotate_without_breaking_a_token() -> None:
    world = World()
    old_token = world.issue()
    world.tokens.keys = key_set(KEY, [OTHER_KEY.public_key()])  # the next key reaches every replica
    world.verify(old_token)
    world.tokens.keys = key_set(OTHER_KEY, [KEY.public_key()])  # then signs
    new_token = world.issue()
    world.verify(old_token)
    world.verify(new_token)
    world.tokens.keys = key_set(OTHER_KEY)  # then the old one goes, and its tokens end at once
    world.verify(new_token)
    assert "does not know" in world.refused(old_token)


def test_keys_come_from_the_folder_of_the_pki(tmp_path: Path) -> None:
    pki.write_file(tmp_path / "sa.key", pki.private_key_pem(KEY), secret=True)
    public = OTHER_KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (tmp_path / "sa-next.pub").write_bytes(public)
    keys = load_keys(tmp_path)
    assert keys.signing_id == key_set(KEY).signing_id
    assert set(keys.verifying) == {key_set(KEY).signing_id, key_set(OTHER_KEY).signing_id}
    assert "PrivateKey" not in repr(keys)
    (tmp_path / "sa-bad.pub").write_bytes(b"nonsense")
    with pytest.raises(PkiError, match=r"sa-bad\.pub is no public key"):
        load_keys(tmp_path)


def test_only_the_curve_of_the_algorithm_will_do() -> None:
    with pytest.raises(PkiError, match="P-256"):
        key_set(KEY, [ec.generate_private_key(ec.SECP384R1()).public_key()])


# --- revocation -----------------------------------------------------------------------------------------------


def test_a_deleted_account_ends_its_tokens_within_seconds() -> None:
    world = World()
    token = world.issue()
    world.verify(token)
    world.objects.lose("serviceaccounts", world.account)
    world.interval.now_s += RECHECK_AFTER_S + 0.1
    assert "service account web has been deleted" in world.refused(token)


def test_an_account_of_the_same_name_is_not_the_same() -> None:
    world = World()
    token = world.issue()
    world.objects.put("serviceaccounts", ServiceAccount(metadata=meta("web", "another-uid")))
    assert "has been deleted" in world.refused(token)


def test_an_account_that_is_being_deleted_counts_for_a_minute() -> None:
    world = World()
    token = world.issue()
    world.account.metadata.deletion_timestamp = now_text(world.clock)
    world.verify(token)
    world.clock.now_s += LEEWAY_S + 1
    world.interval.now_s += RECHECK_AFTER_S + 1
    assert "has been deleted" in world.refused(token)


@pytest.mark.parametrize(("key", "name", "bound"), [("pods", "web-1", "pod"), ("secrets", "s", "secret")])
def test_a_token_dies_with_what_it_is_bound_to(key: str, name: str, bound: str) -> None:
    world = World()
    obj: Any = world.pod if key == "pods" else Secret(metadata=meta("s", "secret-uid"))
    world.objects.put(key, obj)
    arguments: dict[str, Any] = {bound: Reference(name=name, uid=obj.metadata.uid)}
    token = world.issue(**arguments)
    world.verify(token)
    world.objects.lose(key, obj)
    world.interval.now_s += RECHECK_AFTER_S + 1
    assert f"its {bound} {name} has been deleted" in world.refused(token)


def test_a_node_counts_only_when_no_pod_stands_between() -> None:
    world = World()
    node = Node(metadata=meta("n1", "node-uid", ""))
    reference = Reference(name="n1", uid="node-uid")
    of_pod, of_node = world.issue(pod=POD, node=reference), world.issue(node=reference)
    world.verify(of_pod)
    assert "its node n1 has been deleted" in world.refused(of_node)
    world.objects.put("nodes", node)
    world.verify(world.issue(node=reference))


def test_a_refusal_for_something_missing_is_never_this_replicas_lag() -> None:
    world = World()
    world.objects.local.clear()  # nothing is applied here yet
    world.verify(world.issue(pod=POD))
    assert world.objects.asked["linearizable"] == 2


def test_a_good_token_costs_no_read_for_a_while_and_a_dead_one_none_ever_again() -> None:
    world = World()
    token = world.issue()
    world.verify(token)
    before = dict(world.objects.asked)
    world.verify(token)
    assert world.objects.asked == before
    world.objects.lose("serviceaccounts", world.account)
    world.interval.now_s += RECHECK_AFTER_S + 1
    world.refused(token)
    before = dict(world.objects.asked)
    world.refused(token)
    assert world.objects.asked == before


def test_user_names_of_accounts() -> None:
    assert split_service_account("system:serviceaccount:shop:web") == ("shop", "web")
    for name in ("jane", "system:serviceaccount:", "system:serviceaccount:shop:", "system:serviceaccount:a:b:c"):
        assert split_service_account(name) is None
