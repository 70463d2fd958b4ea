"""Bootstrap tokens: whom they name, and every way one is refused, always with the same words."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping

import pytest
from two_views import Clock, TwoViews

from apiserver.api.core.config import Secret
from apiserver.api.errors import Unauthorized
from apiserver.api.meta import ObjectMeta
from apiserver.api.times import now_text
from apiserver.auth.bootstrap_tokens import BootstrapTokens, extra_groups, secret_data
from apiserver.auth.join_token import ROLE_GROUPS, SECRET_NAMESPACE, SECRET_TYPE, BootstrapToken
from apiserver.auth.user import User

TOKEN = BootstrapToken("abcdef", "0123456789abcdef")
AGENTS = ROLE_GROUPS["agent"]


def secret(changes: Mapping[str, str | None] | None = None, *, kind: str = SECRET_TYPE) -> Secret:
    data = secret_data(TOKEN, groups=[AGENTS])
    for key, text in (changes or {}).items():
        data.pop(key, None)
        if text is not None:
            data[key] = base64.b64encode(text.encode()).decode()
    meta = ObjectMeta(name=TOKEN.secret_name, namespace=SECRET_NAMESPACE)
    return Secret(metadata=meta, type=kind, data=data)


def ask(objects: TwoViews, token: BootstrapToken = TOKEN, clock: Clock | None = None) -> User:
    return asyncio.run(BootstrapTokens(objects, clock=clock or Clock()).user(token))


def test_a_token_names_its_user_and_groups() -> None:
    objects = TwoViews()
    objects.put("secrets", secret())
    user = ask(objects)
    assert user.name == "system:bootstrap:abcdef"
    assert user.groups == ("system:bootstrappers", AGENTS, "system:authenticated")
    assert objects.asked["linearizable"] == 0


def test_a_token_made_on_another_replica_counts_at_once() -> None:
    objects = TwoViews()
    objects.commit("secrets", secret())
    assert ask(objects).name == "system:bootstrap:abcdef"


@pytest.mark.parametrize(
    "changes",
    [
        {"token-secret": "0123456789abcdeg"},
        {"token-secret": ""},
        {"token-secret": None},
        {"token-id": "abcdeg"},
        {"token-id": None},
        {"usage-bootstrap-authentication": "false"},
        {"usage-bootstrap-authentication": None},
        {"usage-bootstrap-authentication": "True"},
        {"auth-extra-groups": "system:masters"},
        {"auth-extra-groups": f"{AGENTS},system:nodes"},
        {"expiration": "yesterday"},
        {"expiration": "2000-01-01T00:00:00Z"},
    ],
)
def test_what_makes_a_token_no_good(changes: dict[str, str | None]) -> None:
    objects = TwoViews()
    objects.put("secrets", secret(changes))
    with pytest.raises(Unauthorized, match="unknown, expired or not for authentication"):
        ask(objects)


def test_no_secret_no_token() -> None:
    with pytest.raises(Unauthorized, match="unknown, expired or not for authentication"):
        ask(TwoViews())


def test_a_secret_of_another_type_or_one_that_is_going_is_none() -> None:
    going = secret()
    going.metadata.deletion_timestamp = "2030-01-01T00:00:00Z"
    for bad in (secret(kind="Opaque"), going):
        objects = TwoViews()
        objects.put("secrets", bad)
        with pytest.raises(Unauthorized):
            ask(objects)


def test_a_token_ends_on_time() -> None:
    clock, objects = Clock(), TwoViews()
    objects.put("secrets", secret({"expiration": now_text(lambda: clock.now_s + 60)}))
    assert ask(objects, clock=clock).name
    clock.now_s += 60
    with pytest.raises(Unauthorized):
        ask(objects, clock=clock)


def test_data_that_is_no_base64_is_no_token() -> None:
    broken = secret()
    broken.data["token-secret"] = "%%%"
    objects = TwoViews()
    objects.put("secrets", broken)
    with pytest.raises(Unauthorized):
        ask(objects)


def test_extra_groups_are_a_set_with_a_bound() -> None:
    assert extra_groups("") == []
    assert extra_groups(f" {AGENTS} ,{AGENTS},") == [AGENTS]
    assert extra_groups(",".join(f"system:bootstrappers:g{number}" for number in range(65))) is None
