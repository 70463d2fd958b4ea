"""What a kubeconfig says becomes an Access, and what it asks for in vain is named."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from apiserver.client import Client, kubeconfig
from apiserver.client.access import Material


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def config(**changes: Any) -> dict[str, Any]:
    cluster = {"server": "https://10.0.0.1:6443", "certificate-authority-data": b64("CA")} | changes.pop("cluster", {})
    user = {"client-certificate-data": b64("CERT"), "client-key": "keys/me.key"} | changes.pop("user", {})
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "web"}}],
        "current-context": "x",
    } | changes


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(content: Any, name: str = "config") -> Path:
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
        return path

    return write


def test_everything_of_the_current_context_is_taken(write: Any, tmp_path: Path) -> None:
    access = kubeconfig.load(write(config(cluster={"tls-server-name": "kubernetes"})))
    assert access.servers == ("https://10.0.0.1:6443",)
    assert access.namespace == "web"
    assert access.authority == Material(data=b"CA")
    assert access.certificate == Material(data=b"CERT")
    assert access.key == Material(file=tmp_path / "keys/me.key")
    assert access.server_name == "kubernetes"


def test_another_user_or_cluster_than_the_contexts_may_be_asked_for(write: Any) -> None:
    content = config()
    content["users"].append({"name": "robot", "user": {"token": "t"}})
    content["clusters"].append({"name": "other", "cluster": {"server": "https://10.0.0.2:6443"}})
    loaded = kubeconfig.KubeConfig()
    loaded.add(write(content))
    access = loaded.access(user="robot", cluster="other")
    assert (access.token.read(), access.servers, access.namespace) == (b"t", ("https://10.0.0.2:6443",), "web")
    with pytest.raises(ValueError, match="there is no 'nobody' in users"):
        loaded.access(user="nobody")


def test_no_secret_shows_in_a_repr(write: Any) -> None:
    user = {"token": "very-secret", "client-key-data": b64("SECRETKEY"), "client-key": ""}
    shown = repr(kubeconfig.load(write(config(user=user))))
    assert "very-secret" not in shown
    assert "SECRETKEY" not in shown


def test_a_token_file_wins_over_a_token(write: Any, tmp_path: Path) -> None:
    access = kubeconfig.load(write(config(user={"token": "old", "tokenFile": "token"})))
    assert access.token == Material(file=tmp_path / "token")


def test_files_of_kubeconfig_merge_and_the_first_to_name_something_wins(
    write: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    second = config(cluster={"server": "https://other:1"}, **{"current-context": "y"})
    second["contexts"].append({"name": "y", "context": {"cluster": "c", "user": "u"}})
    files = [write(config(), "one"), write(second, "two"), tmp_path / "absent"]
    monkeypatch.setenv("KUBECONFIG", ":".join(map(str, files)))
    assert kubeconfig.load().namespace == "web"
    chosen = kubeconfig.load(context="y")
    assert chosen.namespace == "default"
    assert chosen.servers == ("https://10.0.0.1:6443",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1, 2", "is no YAML"),
        ("just text", "holds no mapping"),
        ({"clusters": "x"}, "clusters must be a list of mappings"),
        ({"clusters": [{"cluster": {}}]}, "an entry of clusters has no name"),
        (config(**{"current-context": ""}), "no current-context is set"),
        (config(**{"current-context": "z"}), r"there is no 'z' in contexts \(there is: x\)"),
        (config(users=[]), r"there is no 'u' in users \(there is: none\)"),
        (config(cluster={"server": ""}), "names no server"),
        (config(cluster={"proxy-url": "http://p"}), "proxy-url is not supported"),
        (config(cluster={"certificate-authority-data": "%%"}), "certificate-authority-data is no base64"),
        (config(user={"exec": {"command": "aws"}}), "exec is not supported"),
        (config(user={"auth-provider": {"name": "gcp"}}), "auth-provider is not supported"),
        (config(user={"username": "me", "password": "x"}), "username is not supported"),
    ],
)
def test_what_is_wrong_or_cannot_be_done_is_named(write: Any, content: Any, message: str) -> None:
    path = write(content)
    with pytest.raises(ValueError, match=message) as caught:
        kubeconfig.load(path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_no_kubeconfig_by_its_size_is_not_read(write: Any) -> None:
    with pytest.raises(ValueError, match="larger than"):
        kubeconfig.load(write("#" * ((1 << 20) + 1)))


def test_where_was_looked_in_vain_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    with pytest.raises(FileNotFoundError, match="KUBECONFIG names no file that is there"):
        kubeconfig.load()
    monkeypatch.delenv("KUBECONFIG")
    monkeypatch.setattr(kubeconfig, "DEFAULT_FILES", (str(tmp_path / "absent"),))
    with pytest.raises(FileNotFoundError, match="KUBECONFIG is not set, and none of"):
        kubeconfig.load()


def test_a_pod_finds_its_own_account(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    (tmp_path / "namespace").write_text("web\n")
    environment = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    access = kubeconfig.in_cluster(environment, tmp_path)
    assert access.servers == ("https://[fd00::1]:443",)
    assert access.namespace == "web"
    assert access.token == Material(file=tmp_path / "token")
    with pytest.raises(ValueError, match="this is no pod"):
        kubeconfig.in_cluster({}, tmp_path)


def test_a_client_asks_further_servers_first(write: Any) -> None:
    client = Client.from_kubeconfig(
        write(config(user={"client-key-data": b64("KEY")})), servers=["https://10.0.0.2:6443/"]
    )
    assert client.caller.servers.all == ["https://10.0.0.2:6443", "https://10.0.0.1:6443"]
    assert client.namespace == "web"
