"""The words of a command line: kubectl's ways of writing options, what is wrong, exit codes, and what is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from kminictl.cli import VERBS, root
from kminictl.command import Verb, after_dash, ending, loose, switch


def run(command: click.Command, *words: str) -> int:
    return ending(lambda: command.main(list(words), prog_name="kminictl", standalone_mode=False))


@pytest.fixture
def probe() -> tuple[click.Command, list[dict[str, Any]]]:
    seen: list[dict[str, Any]] = []

    @click.command("probe", cls=Verb)
    @click.argument("words", nargs=-1)
    @click.option("-o", "--output", default="")
    @switch("--wait", default=True)
    @switch("-w", "--watch")
    @loose("--dry-run", bare="unchanged", default="none")
    def command(**given: Any) -> None:
        seen.append({**given, "after": after_dash()})

    return command, seen


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["-o=json"], {"output": "json"}),
        (["-ojson"], {"output": "json"}),
        (["--output=jsonpath={.a=b}"], {"output": "jsonpath={.a=b}"}),
        (["--wait=false"], {"wait": False}),
        (["--wait=true"], {"wait": True}),
        (["--wait"], {"wait": True}),
        (["-w=false"], {"watch": False}),
        (["-w"], {"watch": True}),
        (["--dry-run", "pods"], {"dry_run": "unchanged", "words": ("pods",)}),
        (["--dry-run=server"], {"dry_run": "server"}),
        (["pods", "-w", "one"], {"words": ("pods", "one"), "watch": True}),
        (["one", "--", "ls", "-l", "--wait=false"], {"words": ("one", "ls", "-l", "--wait=false"), "after": 3}),
        (["one"], {"after": None}),
    ],
)
def test_options_are_written_as_for_kubectl(
    probe: tuple[click.Command, list[dict[str, Any]]], words: list[str], expected: dict[str, Any]
) -> None:
    command, seen = probe
    assert run(command, *words) == 0
    assert {key: seen[0][key] for key in expected} == expected


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["get", "--nope"], "error: unknown flag: --nope\nSee 'kminictl get --help' for usage.\n"),
        (["get", "-q"], "error: unknown shorthand flag: 'q' in -q\nSee 'kminictl get --help' for usage.\n"),
        (["nope"], 'error: unknown command "nope" for "kminictl"\n'),
        (
            ["get", "--watch=maybe", "pods"],
            'error: invalid argument "maybe" for "--watch" flag: strconv.ParseBool: parsing "maybe": invalid syntax\n',
        ),
    ],
)
def test_what_is_wrong_is_one_clear_word(capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    assert run(root, *words) == 1
    assert capsys.readouterr().err == said


def test_every_verb_is_there_and_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    for name in VERBS:
        assert run(root, name, "-h") == 0, name
    assert run(root, "-h") == 0
    told = capsys.readouterr().out
    assert all(says in told for _, _, says in VERBS.values() if len(says) < 50)


def test_global_options_may_stand_before_and_behind_the_verb(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    for words in (["--kubeconfig", "/nope", "get", "pods"], ["get", "pods", "--kubeconfig", "/nope"]):
        assert run(root, *words) == 1
        assert "/nope" in capsys.readouterr().err


def test_the_version_is_told_without_loading_a_client() -> None:
    """Start-up time is a feature."""
    program = (
        "import sys\nfrom kminictl.cli import root\n"
        "root.main(['version', '--client'], standalone_mode=False)\n"
        "print(sorted(name for name in sys.modules if name in ('aiohttp', 'grpc', 'yaml', 'asyncio', 'msgspec')))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Client Version: v")
    heavy = done.stdout.splitlines()[-1]
    assert "aiohttp" not in heavy
    assert "grpc" not in heavy
    assert "yaml" not in heavy


def test_shells_complete_verbs_and_options() -> None:
    environment = {**os.environ, "_KMINICTL_COMPLETE": "bash_complete", "COMP_CWORD": "2"}

    def completed(words: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", "from kminictl.cli import main; main()"],
            env=environment | {"COMP_WORDS": words},
            capture_output=True,
            text=True,
            check=True,
        )
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    assert completed("kminictl rollout st") == ["status"]
    assert "--field-selector" in completed("kminictl get --fi")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_code_for_a_shell(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    assert run(root, "completion", shell) == 0
    assert "_KMINICTL_COMPLETE" in capsys.readouterr().out
