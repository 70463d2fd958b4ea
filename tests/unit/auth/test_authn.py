"""Who asks: which way counts, what is refused, and what a TokenReview answers."""

from __future__ import annotations

import asyncio
import datetime
import hashlib

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from two_views import Clock, TwoViews

from apiserver.api.core.config import Secret
from apiserver.api.core.service_account import ServiceAccount
from apiserver.api.errors import BadRequest, Unauthorized
from apiserver.api.meta import ObjectMeta
from apiserver.auth import pki
from apiserver.auth.authn import (
    ANONYMOUS_USER,
    HEADER_CHARACTERS_MAX,
    REMEMBERED_MAX,
    REMEMBERED_S,
    TOKEN_CHARACTERS_MAX,
    Authenticator,
    bearer_token,
    self_review,
)
from apiserver.auth.bootstrap_tokens import BootstrapTokens, secret_data
from apiserver.auth.join_token import SECRET_NAMESPACE, SECRET_TYPE, BootstrapToken
from apiserver.auth.service_account_keys import key_set
from apiserver.auth.service_accounts import RECHECK_AFTER_S, ServiceAccountTokens
from apiserver.auth.static_tokens import StaticTokens
from apiserver.auth.user import User
from apiserver.auth.x509 import CertificateUsers

NOW = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
AUTHORITY = pki.make_authority("test CA", NOW)
GOOD = pki.issue_client(AUTHORITY, "jane", ["dev"], NOW).certificate.public_bytes(serialization.Encoding.DER)
BAD = pki.issue_serving(AUTHORITY, ["localhost"], NOW).certificate.public_bytes(serialization.Encoding.DER)
BOOTSTRAP = BootstrapToken("abcdef", "0123456789abcdef")
API = "https://kubernetes.default.svc.cluster.local"


class World:
    def __init__(self, *, anonymous: bool = True) -> None:
        clock, objects = Clock(NOW.timestamp()), TwoViews()
        self.objects, self.interval = objects, Clock(0.0)
        self.account = ServiceAccount(metadata=ObjectMeta(name="web", namespace="shop", uid="u"))
        objects.put("serviceaccounts", self.account)
        meta = ObjectMeta(name=BOOTSTRAP.secret_name, namespace=SECRET_NAMESPACE)
        self.secret = Secret(metadata=meta, type=SECRET_TYPE, data=secret_data(BOOTSTRAP, groups=[]))
        objects.put("secrets", self.secret)
        self.tokens = ServiceAccountTokens(
            key_set(ec.generate_private_key(ec.SECP256R1())),
            objects,
            issuers=[API],
            clock=clock,
            monotonic=self.interval,
        )
        joe = User(name="joe", groups=("system:authenticated",))
        self.authenticator = Authenticator(
            certificates=CertificateUsers(clock=clock),
            service_accounts=self.tokens,
            bootstrap=BootstrapTokens(objects, clock=clock),
            static=StaticTokens({hashlib.sha256(b"static-token").digest(): joe}),
            anonymous=anonymous,
            monotonic=self.interval,
        )

    def ask(self, certificate: bytes | None, authorization: str | None) -> str:
        return asyncio.run(self.authenticator.authenticate(certificate, authorization)).name


def test_every_way_in() -> None:
    world = World()
    token = world.tokens.issue(world.account).token
    assert world.ask(GOOD, None) == "jane"
    assert world.ask(None, f"Bearer {token}") == "system:serviceaccount:shop:web"
    assert world.ask(None, f"bearer   {BOOTSTRAP.text} ") == "system:bootstrap:abcdef"
    assert world.ask(None, "Bearer static-token") == "joe"


def test_nothing_shown_is_the_anonymous_user() -> None:
    for nothing in (None, ""):
        assert World().ask(None, nothing) == ANONYMOUS_USER.name
    assert ANONYMOUS_USER.groups == ("system:unauthenticated",)
    with pytest.raises(Unauthorized, match="anonymous requests are not allowed"):
        World(anonymous=False).ask(None, None)


def test_a_certificate_counts_before_a_token() -> None:
    assert World().ask(GOOD, "Bearer static-token") == "jane"
    assert World().ask(BAD, "Bearer static-token") == "joe"


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Bearer a.b.c",
        "Bearer abcdef.0123456789abcdeX",
        "Bearer zzzzzz.0123456789abcdef",
        "static-token",
    ],
)
def test_something_wrong_is_never_anonymous(authorization: str) -> None:
    for certificate in (None, BAD):
        with pytest.raises(Unauthorized) as caught:
            World().ask(certificate, authorization)
        assert caught.value.code == 401
        assert "static-token" not in caught.value.message


@pytest.mark.parametrize(
    ("authorization", "why"),
    [
        ("Bearer " + "x" * HEADER_CHARACTERS_MAX, "header is longer"),
        ("Bearer " + "x" * (TOKEN_CHARACTERS_MAX + 1), "token is longer"),
        ("Bearer static-token x", "characters that no token has"),
        ("Bearer stätic", "characters that no token has"),
        ("Bearer \x00", "characters that no token has"),
        ("Basic dXNlcjpwYXNz", "must be `Bearer <token>`"),
    ],
)
def test_what_is_wrong_in_form_is_refused_before_anything_is_looked_up(authorization: str, why: str) -> None:
    with pytest.raises(Unauthorized, match=why):
        World().ask(None, authorization)


def test_a_bad_certificate_alone_is_refused_in_its_own_words() -> None:
    with pytest.raises(Unauthorized, match="not for clients"):
        World().ask(BAD, None)


def test_a_revoked_token_is_good_for_seconds_at_most() -> None:
    world = World()
    of_account = world.tokens.issue(world.account).token
    for token in (BOOTSTRAP.text, of_account):
        world.ask(None, f"Bearer {token}")
    world.objects.lose("secrets", world.secret)
    world.objects.lose("serviceaccounts", world.account)
    world.interval.now_s += REMEMBERED_S + RECHECK_AFTER_S
    for token in (BOOTSTRAP.text, of_account):
        with pytest.raises(Unauthorized):
            world.ask(None, f"Bearer {token}")


def test_what_is_remembered_has_a_bound_and_refusals_are_not() -> None:
    world = World()
    for number in range(REMEMBERED_MAX + 10):
        world.ask(None, "Bearer" + " " * (number + 1) + "static-token")
    assert len(world.authenticator._recent) == REMEMBERED_MAX
    world = World()
    with pytest.raises(Unauthorized):
        world.ask(None, "Bearer wrong")
    assert not world.authenticator._recent


def test_ways_that_are_off_are_off() -> None:
    world = World()
    alone = Authenticator(certificates=CertificateUsers(clock=lambda: NOW.timestamp()))
    for token in (world.tokens.issue(world.account).token, BOOTSTRAP.text, "static-token"):
        with pytest.raises(Unauthorized, match="invalid bearer token"):
            asyncio.run(alone.authenticate(None, f"Bearer {token}"))


def test_the_scheme_is_told_apart_from_the_token() -> None:
    assert bearer_token("BEARER abc") == "abc"


# --- TokenReview ----------------------------------------------------------------------------------------------


def test_a_review_of_a_good_token() -> None:
    world = World()
    token = world.tokens.issue(world.account, audiences=["vault", API]).token
    answer = asyncio.run(world.authenticator.review(token, ["vault", "other"]))
    assert answer.authenticated
    assert answer.user.username == "system:serviceaccount:shop:web"
    assert answer.user.groups[-1] == "system:authenticated"
    assert answer.audiences == ["vault"]
    assert asyncio.run(world.authenticator.review(token)).audiences == [API]


@pytest.mark.parametrize("token", ["static-token", BOOTSTRAP.text])
def test_other_tokens_are_for_the_api_server_alone(token: str) -> None:
    world = World()
    assert asyncio.run(world.authenticator.review(token, [API])).authenticated
    answer = asyncio.run(world.authenticator.review(token, ["vault"]))
    assert not answer.authenticated
    assert "none of ['vault']" in answer.error


def test_a_bad_token_is_an_answer_and_none_is_a_bad_request() -> None:
    world = World()
    answer = asyncio.run(world.authenticator.review("wrong"))
    assert (answer.authenticated, answer.error, answer.user.username) == (False, "invalid bearer token", "")
    with pytest.raises(BadRequest, match="token is required"):
        asyncio.run(world.authenticator.review(""))


def test_a_review_of_oneself() -> None:
    user = User(name="jane", uid="1", groups=("dev",), extra={"k": ("v",)})
    info = self_review(user).user_info
    assert (info.username, info.uid, info.groups, info.extra) == ("jane", "1", ["dev"], {"k": ["v"]})
