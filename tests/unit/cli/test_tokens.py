"""Join tokens: the Secrets that hold them, the files of a first start, and the commands."""

from __future__ import annotations

import asyncio
import base64
import datetime
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from kmini import certificates, cli, tokens
from kmini.layout import Layout, Running, owned
from tls_http import Asked, https_server

from apiserver.auth import pki
from apiserver.auth.join_token import is_extra_group, new_bootstrap_token, parse_join_token

EXPIRES = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "DIR")
    pki.init_shared(layout.pki)
    certificates.issue_admin(layout.pki)
    certificates.issue_serving(layout.pki, ["127.0.0.1"])
    return layout


@pytest.mark.parametrize("role", ["agent", "server"])
def test_the_secret_of_a_token(role: tokens.Role) -> None:
    token = new_bootstrap_token()
    secret = tokens.secret_of(token, role, expires=EXPIRES, description="for a test")
    assert secret["metadata"] == {"name": f"bootstrap-token-{token.id}", "namespace": "kube-system"}
    assert secret["type"] == "bootstrap.kubernetes.io/token"
    data = {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}
    assert (data["token-id"], data["token-secret"]) == (token.id, token.secret)
    assert data["expiration"] == "2030-01-01T00:00:00Z"
    assert data["usage-bootstrap-authentication"] == "true"
    assert all(is_extra_group(group) for group in data["auth-extra-groups"].split(","))
    assert tokens.role_of(secret) == role
    assert "expiration" not in tokens.secret_of(token, role, expires=None, description="")["data"]


def test_secrets_of_others_are_read_with_care() -> None:
    odd: list[dict[str, Any]] = [{}, {"data": {}}, *({"data": {"auth-extra-groups": text}} for text in ("*", "/w=="))]
    for secret in odd:
        assert tokens.role_of(secret) == "other"
        assert tokens.field_of(secret, "auth-extra-groups") == ""


def test_a_first_start_leaves_two_tokens_and_a_second_none(layout: Layout) -> None:
    stored: list[dict[str, Any]] = []

    async def create(secret: dict[str, Any]) -> None:
        assert not (layout.token if len(stored) == 0 else layout.server_token).exists()  # stored first
        stored.append(secret)

    asyncio.run(tokens.ensure_files(layout, create))
    asyncio.run(tokens.ensure_files(layout, create))
    assert [tokens.role_of(secret) for secret in stored] == ["agent", "server"]
    for path, secret in zip((layout.token, layout.server_token), stored, strict=True):
        assert path.stat().st_mode & 0o777 == 0o600
        joined = parse_join_token(path.read_text())
        assert joined.ca_hash == pki.certificate_hash((layout.pki / "ca.crt").read_bytes())
        assert joined.bootstrap.secret_name == secret["metadata"]["name"]


def test_a_token_that_was_not_stored_leaves_no_file(layout: Layout) -> None:
    async def create(_secret: dict[str, Any]) -> None:
        raise ConnectionError("no leader")

    with pytest.raises(ConnectionError):
        asyncio.run(tokens.ensure_files(layout, create))
    assert not layout.token.exists()
    assert not layout.server_token.exists()


# --- the commands --------------------------------------------------------------------------------------------


class Secrets:
    """What an API server does with the Secrets of tokens, over TLS that knows the admin."""

    def __init__(self, layout: Layout) -> None:
        self.kept: dict[str, dict[str, Any]] = {}
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(layout.pki / "server.crt", layout.pki / "server.key")
        self.context.load_verify_locations(layout.pki / "ca.crt")
        self.context.verify_mode = ssl.CERT_REQUIRED

    def answer(self, asked: Asked) -> tuple[int, bytes]:
        parts = urlsplit(asked.path)
        name = parts.path.removeprefix(tokens.SECRETS_PATH).strip("/")
        if asked.method == "POST":
            secret = json.loads(asked.body)
            self.kept[secret["metadata"]["name"]] = secret
            return 201, asked.body
        if asked.method == "GET":
            assert parse_qs(parts.query) == {"fieldSelector": ["type=bootstrap.kubernetes.io/token"]}
            return 200, json.dumps({"kind": "SecretList", "items": list(self.kept.values())}).encode()
        if self.kept.pop(name, None) is None:
            return 404, json.dumps({"kind": "Status", "message": f'secrets "{name}" not found'}).encode()
        return 200, b'{"kind":"Status","status":"Success"}'


@pytest.fixture
def secrets(layout: Layout) -> Iterator[Secrets]:
    secrets = Secrets(layout)
    with https_server(secrets.context, secrets.answer) as place, owned(layout) as file:
        port = int(place.address.rpartition(":")[2])
        file.announce(Running(pid=1, name="n1", bind="127.0.0.1", peer_port=1, etcd_port=0, api_port=port))
        yield secrets


def kmini(capsys: pytest.CaptureFixture[str], layout: Layout, *arguments: str) -> tuple[int, str, str]:
    code = cli.run([*arguments, "--data-dir", str(layout.data_dir)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_create_list_and_revoke(secrets: Secrets, layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = kmini(capsys, layout, "token", "create", "--role", "server", "--ttl", "2h")
    token = parse_join_token(out)
    assert code == 0
    [secret] = secrets.kept.values()
    assert tokens.field_of(secret, "token-secret") == token.bootstrap.secret
    left = datetime.datetime.fromisoformat(tokens.field_of(secret, "expiration")) - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(minutes=119) < left <= datetime.timedelta(hours=2)
    kmini(capsys, layout, "token", "create", "--role", "agent", "--ttl", "0")
    code, out, _ = kmini(capsys, layout, "token", "list")
    lines = out.splitlines()
    assert [line.split()[1] for line in lines[1:]] == ["server", "agent"]
    assert lines[2].split()[2] == "never"
    assert token.bootstrap.secret not in out
    code, out, _ = kmini(capsys, layout, "token", "revoke", token.bootstrap.id)
    assert (code, out) == (0, f"token {token.bootstrap.id} is revoked\n")
    assert token.bootstrap.secret_name not in secrets.kept
    code, _, err = kmini(capsys, layout, "token", "revoke", token.bootstrap.id)
    assert (code, "not found" in err) == (1, True)


def test_one_that_is_over_is_shown_so(secrets: Secrets, layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    secret = tokens.secret_of(new_bootstrap_token(), "agent", expires=past, description="old")
    secrets.kept["old"] = secret
    _, out, _ = kmini(capsys, layout, "token", "list")
    assert "2020-01-01T00:00:00Z (over)" in out


def test_a_whole_token_is_no_id(secrets: Secrets, layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = kmini(capsys, layout, "token", "revoke", new_bootstrap_token().text)
    assert (code, "never the token" in err) == (2, True)


def test_without_a_server(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = kmini(capsys, layout, "token", "create", "--role", "agent")
    assert (code, "nothing runs" in err) == (1, True)
