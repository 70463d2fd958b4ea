"""Where the passphrase of a file of keys comes from: a file, the environment, a person; never the arguments."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from kmini import passphrase
from kmini.commands.snapshot import snapshot
from kmini.errors import CommandError


def test_the_first_line_of_a_file_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(passphrase.ENVIRONMENT, "from the environment")
    file = tmp_path / "passphrase"
    file.write_text("from a file\nmore\n")
    assert passphrase.passphrase(file, new=True) == "from a file"
    assert passphrase.passphrase(None, new=True) == "from the environment"


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe"])
def test_a_file_without_one_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "passphrase"
    file.write_bytes(content)
    with pytest.raises(CommandError, match=r"passphrase from|no passphrase"):
        passphrase.passphrase(file, new=False)


def test_without_a_terminal_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(passphrase.ENVIRONMENT, raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(CommandError, match="--passphrase-file"):
        passphrase.passphrase(None, new=False)


def test_no_flag_takes_a_passphrase() -> None:
    flags = {flag for name in snapshot.commands for each in snapshot.commands[name].params for flag in each.opts}
    assert {flag for flag in flags if "pass" in flag} == {"--passphrase-file"}
