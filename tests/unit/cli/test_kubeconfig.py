"""The admin's kubeconfig: which address it names, what it embeds, and who may read it."""

from __future__ import annotations

import base64
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml
from kmini import certificates, kubeconfig

from apiserver.auth import pki
from apiserver.client.kubeconfig import load


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    pki.init_shared(folder)
    certificates.issue_admin(folder)
    return folder


@pytest.mark.parametrize(
    ("advertise", "bind", "url"),
    [
        (None, "0.0.0.0", "https://127.0.0.1:6443"),
        (None, "::", "https://[::1]:6443"),
        (None, "192.0.2.7", "https://192.0.2.7:6443"),
        ("192.0.2.9", "0.0.0.0", "https://192.0.2.9:6443"),
        ("2001:db8::1", "192.0.2.7", "https://[2001:db8::1]:6443"),
    ],
)
def test_the_address_it_names(advertise: str | None, bind: str, url: str) -> None:
    assert kubeconfig.server_url(advertise_address=advertise, bind=bind, api_port=6443) == url


def test_it_embeds_what_the_admin_needs(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "DIR" / "kubeconfig"
    kubeconfig.write(path, {"n1": "https://127.0.0.1:6443"}, folder=folder)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    config: dict[str, Any] = yaml.safe_load(path.read_text())
    assert config["current-context"] == "n1"
    [cluster], [user] = config["clusters"], config["users"]
    assert cluster["cluster"]["server"] == "https://127.0.0.1:6443"
    assert base64.b64decode(cluster["cluster"]["certificate-authority-data"]) == (folder / "ca.crt").read_bytes()
    assert base64.b64decode(user["user"]["client-key-data"]) == (folder / "admin.key").read_bytes()
    assert base64.b64decode(user["user"]["client-certificate-data"]) == (folder / "admin.crt").read_bytes()


def test_our_own_client_reads_it(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    kubeconfig.write(path, {"n1": "https://127.0.0.1:6443"}, folder=folder)
    assert load(path) is not None


def test_one_context_for_each_server(folder: Path) -> None:
    servers = {"n1": "https://192.0.2.1:6443", "n2": "https://192.0.2.2:6443"}
    config = yaml.safe_load(kubeconfig.document(servers, folder=folder, current="n2"))
    assert [context["name"] for context in config["contexts"]] == ["n1", "n2"]
    assert [cluster["cluster"]["server"] for cluster in config["clusters"]] == list(servers.values())
    assert config["current-context"] == "n2"


def test_it_is_written_when_it_differs_and_no_more(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    servers = {"n1": "https://127.0.0.1:6443"}
    kubeconfig.write(path, servers, folder=folder)
    written = path.stat().st_ino
    kubeconfig.write(path, servers, folder=folder)
    assert path.stat().st_ino == written
    path.chmod(0o644)
    kubeconfig.write(path, servers, folder=folder)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    written = path.stat().st_ino
    pki.write_pair(folder, "admin", pki.issue_admin(pki.load_authority(folder, pki.CLUSTER_CA)))
    kubeconfig.write(path, servers, folder=folder)
    assert path.stat().st_ino != written
