"""Flags, environment and configuration file; exit codes; one line on stderr (docs/contract.md)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from kmini import cli, options
from kmini.errors import CommandError, NotReady


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.run(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A command `probe` that keeps what it was given, or raises it."""
    seen: dict[str, Any] = {}

    @options.command("probe")
    @options.data_dir_option
    @options.option("--peer-port", type=int, default=2380)
    @options.option("--tls-san", multiple=True)
    def probe_command(**given: Any) -> None:
        seen.update(given)
        if "raise" in seen:
            raise seen["raise"]

    known = cli.COMMANDS | {"probe": ("", "", "")}
    find = cli.LazyGroup.get_command

    def get_command(group: cli.LazyGroup, context: click.Context, name: str) -> click.Command | None:
        return probe_command if name == "probe" else find(group, context, name)

    monkeypatch.setattr(cli, "COMMANDS", known)
    monkeypatch.setattr(cli.LazyGroup, "get_command", get_command)
    return seen


def config(tmp_path: Path, text: str) -> str:
    path = tmp_path / "kmini.yaml"
    path.write_text(text)
    return str(path)


def test_version_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "version", "-o", "json")
    assert (code, err) == (0, "")
    assert set(json.loads(out)) == {"version", "python", "machine"}


def test_every_command_listed_can_be_imported_and_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    for name in cli.COMMANDS:
        code, out, _err = run(capsys, name, "-h")
        assert code == 0
        assert "Usage: kmini" in out


def test_version_pays_for_nothing_it_does_not_need() -> None:
    """It answers in under 100 ms only as long as the store and gRPC stay unimported."""
    program = "import sys; from kmini import cli; cli.run(['version']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=child())
    assert not {"raftstore", "grpc", "cryptography", "lmdb", "uvloop", "asyncio"} & set(done.stdout.split())


def child() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": ":".join(sys.path)}


def test_no_command_shows_the_help_and_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    code, _out, err = run(capsys)
    assert code == 2
    assert "Commands:" in err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["nonsense"], "nonsense"),
        (["version", "--nonsense"], "--nonsense"),
        (["version", "-o", "xml"], "xml"),
        (["version", "--config", "/does/not/exist"], "/does/not/exist"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], word: str
) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert word in err


def test_flag_beats_environment_beats_file_beats_default(
    capsys: pytest.CaptureFixture[str], probe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = config(tmp_path, "peer-port: 3\n")
    assert run(capsys, "probe")[0] == 0
    assert probe["peer_port"] == 2380
    run(capsys, "probe", "--config", path)
    assert probe["peer_port"] == 3
    monkeypatch.setenv("KMINI_PEER_PORT", "4")
    run(capsys, "probe", "--config", path)
    assert probe["peer_port"] == 4
    run(capsys, "probe", "--peer-port", "5", "--config", path)
    assert probe["peer_port"] == 5


def test_the_file_can_come_from_the_environment_and_hold_lists(
    capsys: pytest.CaptureFixture[str], probe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KMINI_CONFIG", config(tmp_path, "tls_san: [a.example, b.example]\ndata-dir: /x\n"))
    assert run(capsys, "probe")[0] == 0
    assert probe["tls_san"] == ("a.example", "b.example")
    assert probe["data_dir"] == Path("/x")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("per-port: 3\n", "per-port"),
        ("peer-port: [1\n", "kmini.yaml"),
        ("- 1\n", "mapping"),
        ("peer-port: {a: 1}\n", "peer-port"),
        ("peer-port: many\n", "many"),
        ("data-dir: !!python/object/apply:os.getcwd []\n", "python/object"),
    ],
)
def test_a_bad_file_is_refused_by_name(
    capsys: pytest.CaptureFixture[str], probe: dict[str, Any], tmp_path: Path, text: str, word: str
) -> None:
    code, _out, err = run(capsys, "probe", "--config", config(tmp_path, text))
    assert code == 2
    assert word in err
    assert err.count("\n") == 1
    assert probe == {}


def test_a_key_of_another_command_is_no_error(
    capsys: pytest.CaptureFixture[str], probe: dict[str, Any], tmp_path: Path
) -> None:
    assert run(capsys, "probe", "--config", config(tmp_path, "initial-cluster: n1=127.0.0.1:1\n"))[0] == 0


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (CommandError("the disk\nis gone"), 1, "error: the disk is gone\n"),
        (NotReady("no leader"), 3, "error: no leader\n"),
        (ValueError("odd"), 1, "error: ValueError: odd\n"),
        (ExceptionGroup("tasks", [ExceptionGroup("more", [NotReady("no leader")])]), 3, "error: no leader\n"),
    ],
)
def test_a_failure_is_one_line_without_a_traceback(
    capsys: pytest.CaptureFixture[str], probe: dict[str, Any], error: Exception, code: int, line: str
) -> None:
    probe["raise"] = error
    assert run(capsys, "probe") == (code, "", line)


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str], probe: dict[str, Any]) -> None:
    probe["raise"] = ValueError("odd")
    code, _out, err = run(capsys, "probe", "--debug")
    assert code == 1
    assert "Traceback" in err


def test_pki_init_and_client(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    shared = str(tmp_path / "ca")
    assert run(capsys, "pki", "init", "--ca-dir", shared)[0] == 0
    first = (tmp_path / "ca" / "ca.crt").read_bytes()
    assert run(capsys, "pki", "init", "--ca-dir", shared)[0] == 0
    assert (tmp_path / "ca" / "ca.crt").read_bytes() == first
    arguments = ["--ca-dir", shared, "--user", "app", "--group", "kmini:etcd", "--out-dir", str(tmp_path)]
    assert run(capsys, "pki", "client", *arguments)[0] == 0
    assert (tmp_path / "app.key").stat().st_mode & 0o777 == 0o600


def test_pki_refuses_a_folder_without_an_authority(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, _out, err = run(capsys, "pki", "client", "--ca-dir", str(tmp_path), "--user", "app")
    assert code == 1
    assert "ca.crt" in err


@pytest.mark.parametrize(
    ("flag", "given", "said"),
    [
        ("--cluster-cidr", "10.0.0.0/25", "cannot be cut into networks of /24 for nodes"),
        ("--cluster-cidr", "10.0.0.1/16", "has host bits set"),
        ("--service-cidr", "ten", "does not appear to be an IPv4 or IPv6 network"),
    ],
)
def test_ranges_that_controllers_cannot_work_with_are_refused_at_the_start(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, flag: str, given: str, said: str
) -> None:
    config = tmp_path / "config"
    config.write_text("apiVersion: v1\nkind: Config\n")
    for command in (
        ("controllers", "--kubeconfig", str(config)),
        ("server", "--name", "n", "--data-dir", str(tmp_path)),
    ):
        code, _, err = run(capsys, *command, flag, given)
        assert code != 0
        assert f"{flag}: " in err
        assert said in err
        assert len(err.splitlines()) == 1
