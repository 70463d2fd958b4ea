"""Encryption at rest as an operator meets it: no plaintext on disk, rotation online, joining, and the restore drill."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kmini.api import api_request
from kmini.layout import Layout
from kmini_process import Server, kmini, running

SECRETS = "/api/v1/namespaces/default/secrets"
PASSWORD = "never-on-any-disk"
PLAIN = "seen-on-every-disk"
PASSPHRASE = "correct horse battery"
COUNT = 120  # more than a page


def ask(server: Server, method: str, path: str, body: object = None) -> dict[str, Any]:
    return api_request(Layout(server.data_dir), method, path, body)


def data_of(text: str) -> dict[str, str]:
    return {"password": base64.b64encode(text.encode()).decode()}


def write_secrets(server: Server) -> None:
    for number in range(COUNT):
        ask(server, "POST", SECRETS, {"metadata": {"name": f"s{number}"}, "data": data_of(f"{PASSWORD}-{number}")})
    ask(
        server,
        "POST",
        "/api/v1/namespaces/default/configmaps",
        {"metadata": {"name": "plain"}, "data": {"x": base64.b64encode(PLAIN.encode()).decode()}},
    )


def check_secrets(server: Server) -> None:
    found = ask(server, "GET", SECRETS)
    own = {item["metadata"]["name"]: item["data"] for item in found["items"] if item["metadata"]["name"][0] == "s"}
    assert own == {f"s{number}": data_of(f"{PASSWORD}-{number}") for number in range(COUNT)}


def keys_of(server: Server) -> dict[str, list[str]]:
    """Name → key ids of every replica, as one of them tells."""
    done = kmini("keys", "status", "--data-dir", server.data_dir, "-o", "json")
    assert done.returncode == 0, done.stderr
    return {each["name"]: each["keys"] for each in json.loads(done.stdout)["replicas"]}


def files_with(folder: Path, text: str) -> set[str]:
    """First parts of the paths of files in which the text lies, in base64 as JSON has it."""
    wanted = base64.b64encode(text.encode())[:16]
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).parts[0] for path in files if wanted in path.read_bytes()}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """One server with secrets, and one that joined it with a token."""
    folder = tmp_path_factory.mktemp("keys")
    first = Server("n1", folder / "n1")
    with running(first):
        write_secrets(first)
        through = ["--join", f"https://127.0.0.1:{first.api_port}", "--token-file"]
        second = Server("n2", folder / "n2", *through, first.data_dir / "server-token")
        with running(second):
            yield [first, second]


def test_a_joined_server_shares_the_keys_and_reads_what_is_encrypted(pair: list[Server]) -> None:
    first, second = pair
    for name in ("ca.key", "peer-ca.key", "sa.key", "encryption-keys.json"):
        assert (second.pki / name).read_bytes() == (first.pki / name).read_bytes()
        assert (second.pki / name).stat().st_mode & 0o777 == 0o600
    check_secrets(second)
    assert (second.data_dir / "server-token").read_text() != (first.data_dir / "server-token").read_text()


def test_no_file_holds_a_secret_in_plain(pair: list[Server]) -> None:
    first, second = pair
    backup = first.data_dir.parent / "plain.kmini"
    assert kmini("snapshot", "save", backup, "--data-dir", first.data_dir).returncode == 0
    for folder in (first.data_dir, second.data_dir):
        assert files_with(folder, PASSWORD) == set()
        assert files_with(folder, PLAIN) >= {"state"}  # the search finds what is there
    assert base64.b64encode(PASSWORD.encode())[:16] not in backup.read_bytes()
    assert base64.b64encode(PLAIN.encode())[:16] in backup.read_bytes()
    for server in pair:
        assert PASSWORD not in server.log


def test_a_rotation_reaches_both_and_everything_stays_readable(pair: list[Server]) -> None:
    first, second = pair
    before = keys_of(first)
    assert before["n1"] == before["n2"]
    done = kmini("keys", "rotate", "--data-dir", second.data_dir)
    assert done.returncode == 0, done.stderr
    after = keys_of(first)
    assert after["n1"] == after["n2"] != before["n1"]
    assert len(after["n1"]) == 1
    check_secrets(first)
    check_secrets(second)
    old = before["n1"][0]
    for server in pair:
        assert old not in (server.pki / "encryption-keys.json").read_text()


def test_a_joined_server_starts_again_as_it_was_started(pair: list[Server]) -> None:
    _first, second = pair
    assert second.terminate() == 0
    second.start()
    second.wait_ready()
    check_secrets(second)


def test_who_may_not_join(pair: list[Server], tmp_path: Path) -> None:
    first, _second = pair
    joiner = Server("n3", tmp_path / "n3")
    url = f"https://127.0.0.1:{first.api_port}"
    revoked = kmini("token", "create", "--role", "server", "--data-dir", first.data_dir).stdout.strip()
    assert kmini("token", "revoke", revoked.split(".")[1], "--data-dir", first.data_dir).returncode == 0
    (tmp_path / "revoked").write_text(revoked)
    agent = first.data_dir / "token"
    for file, words in ((agent, "role server"), (tmp_path / "revoked", "token is unknown")):
        done = kmini("server", *joiner.arguments, "--join", url, "--token-file", file)
        assert done.returncode == 1
        assert words in done.stderr
        assert not (joiner.pki / "ca.key").exists()


def test_the_restore_drill_brings_secrets_back(pair: list[Server], tmp_path: Path) -> None:
    first, _second = pair
    backup, keys = tmp_path / "backup.kmini", tmp_path / "keys.json"
    save = ["snapshot", "save", backup, "--with-keys", keys, "--data-dir", first.data_dir]
    assert kmini(*save, KMINI_KEYS_PASSPHRASE=PASSPHRASE).returncode == 0
    assert files_with(tmp_path, PASSWORD) == set()
    server = Server("n1", tmp_path / "restored", "--advertise-address", "127.0.0.1")
    place = ["--data-dir", server.data_dir, "--name", "n1", "--advertise-address", "127.0.0.1"]
    restore = ["snapshot", "restore", backup, *place, "--peer-port", server.peer_port, "--keys", keys]
    done = kmini(*restore, KMINI_KEYS_PASSPHRASE=PASSPHRASE)
    assert done.returncode == 0, done.stderr
    with running(server):
        check_secrets(server)
