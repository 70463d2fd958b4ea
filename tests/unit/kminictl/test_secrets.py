"""What is secret is not shown, and files with keys in them are their owner's alone."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import yaml
from kminictl.cli import root
from kminictl.cluster.discovery import Resource
from kminictl.cluster.selecting import Target
from kminictl.command import ending
from kminictl.verbs.diff import masked, write_versions
from kminictl.verbs.edit import written

from apiserver.api.kinds import Kind

CONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "c", "cluster": {"server": "https://10.0.0.1:6443", "certificate-authority-data": "Q0E="}}],
    "users": [{"name": "u", "user": {"client-key-data": "S0VZ", "token": "TOKEN", "password": "WORD"}}],
    "contexts": [
        {"name": "x", "context": {"cluster": "c", "user": "u"}},
        {"name": "y", "context": {"cluster": "c", "user": "u", "namespace": "web"}},
    ],
    "current-context": "x",
}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    monkeypatch.setenv("KUBECONFIG", str(path))
    return path


def kminictl(*words: str) -> int:
    return ending(lambda: root.main(list(words), prog_name="kminictl", standalone_mode=False))


def test_keys_of_a_kubeconfig_are_shown_only_when_asked_for(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert kminictl("config", "view") == 0
    shown = capsys.readouterr().out
    assert "server: https://10.0.0.1:6443" in shown
    for secret in ("S0VZ", "TOKEN", "WORD", "Q0E="):
        assert secret not in shown
    assert kminictl("config", "view", "--raw") == 0
    assert "S0VZ" in capsys.readouterr().out


def test_a_kubeconfig_that_is_changed_is_its_owners_alone(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.chmod(0o644)
    assert kminictl("config", "use-context", "y") == 0
    assert capsys.readouterr().out == 'Switched to context "y".\n'
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    found = yaml.safe_load(config.read_text(encoding="utf-8"))
    assert found == CONFIG | {"current-context": "y"}
    assert [each.name for each in config.parent.iterdir()] == ["config"]


def test_contexts_users_and_clusters_are_set_renamed_and_taken_out(config: Path) -> None:
    for words in (
        ["set-context", "z", "--cluster", "c", "--namespace", "ns"],
        ["set-context", "--current", "--namespace=other"],
        ["set-credentials", "robot", "--token=T"],
        ["set-cluster", "d", "--server=https://d:1"],
        ["rename-context", "y", "why"],
        ["delete-user", "u"],
    ):
        assert kminictl("config", *words) == 0, words
    found = yaml.safe_load(config.read_text(encoding="utf-8"))
    assert [each["name"] for each in found["contexts"]] == ["why", "x", "z"]
    assert found["contexts"][1]["context"]["namespace"] == "other"
    assert found["users"] == [{"name": "robot", "user": {"token": "T"}}]
    assert [each["name"] for each in found["clusters"]] == ["c", "d"]
    for words in (["use-context", "nope"], ["delete-user", "nope"], ["rename-context", "nope", "a"], ["set-context"]):
        assert kminictl("config", *words) == 1


def test_a_difference_of_secrets_shows_which_keys_and_not_what() -> None:
    now = {"kind": "Secret", "data": {"same": "QQ==", "other": "Qg==", "gone": "Qw=="}}
    then = {"kind": "Secret", "data": {"same": "QQ==", "other": "WA==", "new": "WQ=="}}
    before, after = masked(now, then)
    assert before is not None
    assert before["data"] == {"same": "***", "other": "*** (before)", "gone": "***"}
    assert after["data"] == {"same": "***", "other": "*** (after)", "new": "***"}
    assert masked(None, then)[1]["data"] == {"same": "***", "other": "***", "new": "***"}


def test_secrets_are_masked_before_they_are_written_down(tmp_path: Path) -> None:
    resource = Resource(kind=Kind("Secret", "", "v1", "secrets"), singular="secret")
    live, merged = tmp_path / "live", tmp_path / "merged"
    live.mkdir()
    merged.mkdir()
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"k": "S0VZ"}}
    write_versions(live, merged, Target(resource=resource, name="s", namespace="ns"), None, secret)
    (path,) = merged.iterdir()
    assert path.name == "v1.Secret.ns.s"
    assert "S0VZ" not in path.read_text(encoding="utf-8")
    assert list(live.iterdir()) == []


def test_what_is_edited_is_the_users_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = written("secret: x\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.parent == tmp_path
