"""Join tokens: their form, what a wrong one is told, and that no repr shows a secret."""

from __future__ import annotations

import hashlib

import pytest

from apiserver.auth import join_token
from apiserver.auth.join_token import BootstrapToken, JoinToken, is_extra_group, parse_bootstrap_token, parse_join_token

HASH = hashlib.sha256(b"a certificate").hexdigest()


def test_what_is_made_can_be_read() -> None:
    token = JoinToken(join_token.ca_hash(b"a certificate"), join_token.new_bootstrap_token())
    assert parse_join_token(f" {token.text}\n") == token
    assert parse_bootstrap_token(token.bootstrap.text) == token.bootstrap
    assert token.bootstrap.secret_name == f"bootstrap-token-{token.bootstrap.id}"


def test_two_new_tokens_differ() -> None:
    assert len({join_token.new_bootstrap_token() for _ in range(50)}) == 50


@pytest.mark.parametrize(
    "text",
    [
        "",
        "K1",
        f"K2{HASH}.abcdef.0123456789abcdef",
        f"K1{HASH[:-1]}.abcdef.0123456789abcdef",
        f"K1{HASH.upper()}.abcdef.0123456789abcdef",
        f"K1{HASH}.abcde.0123456789abcdef",
        f"K1{HASH}.abcdef.0123456789abcdeF",
        f"K1{HASH}.abcdef.0123456789abcdef.x",
        f"K1{HASH}.abcdef.٠123456789abcdef",
    ],
)
def test_other_forms_are_refused_without_showing_them(text: str) -> None:
    with pytest.raises(ValueError, match="not a join token") as caught:
        parse_join_token(text)
    assert "0123456789abcde" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "abcdef", "abcdef.", "abcdef.0123456789abcde", "abcdef.0123456789abcdef\n"])
def test_no_bootstrap_token(text: str) -> None:
    assert parse_bootstrap_token(text) is None


def test_no_repr_shows_the_secret() -> None:
    token = JoinToken(HASH, BootstrapToken("abcdef", "0123456789abcdef"))
    assert "0123456789abcdef" not in repr(token)
    assert "abcdef" in repr(token)


def test_extra_groups_lie_below_the_bootstrappers() -> None:
    assert is_extra_group("system:bootstrappers:kmini:agents")
    for group in ("system:masters", "system:bootstrappers", "system:bootstrappers:", "system:bootstrappers:A", "x"):
        assert not is_extra_group(group)
