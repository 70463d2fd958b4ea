"""The file of static tokens: its form, and that nothing shows a token."""

from __future__ import annotations

from pathlib import Path

import pytest

from apiserver.auth import static_tokens
from apiserver.auth.keyring import PkiError


def written(tmp_path: Path, text: str, mode: int = 0o600) -> Path:
    path = tmp_path / "tokens.csv"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_lines_name_users(tmp_path: Path) -> None:
    tokens = static_tokens.load(written(tmp_path, 'abc,jane,u1,"dev,ops"\n\ndef, joe, u2\n'))
    jane = tokens.user("abc")
    assert jane is not None
    assert (jane.name, jane.uid, jane.groups) == ("jane", "u1", ("dev", "ops", "system:authenticated"))
    joe = tokens.user("def")
    assert joe is not None
    assert (joe.name, joe.groups) == ("joe", ("system:authenticated",))
    assert tokens.user("ghi") is None
    assert tokens.warnings == ()
    assert repr(tokens) == "StaticTokens(2 tokens)"


def test_a_file_others_can_read_is_warned_of(tmp_path: Path) -> None:
    (warning,) = static_tokens.load(written(tmp_path, "abc,jane,u1\n", 0o644)).warnings
    assert "chmod 600" in warning


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("abc,jane\n", "line 1: needs at least token, user name and uid, has 2"),
        ("abc,jane,1\n,joe,2\n", "line 2: token and user name must not be empty"),
        ("abc,jane,1\nabc,joe,2\n", "line 2: its token is there twice"),
        ('abc,jane,1,"dev\n', "line 1: unexpected end of data"),
        ("x" * (static_tokens.FILE_BYTES_MAX + 1), "larger than"),
    ],
)
def test_wrong_lines_are_named_without_the_token(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(PkiError, match=what) as caught:
        static_tokens.load(written(tmp_path, text))
    assert "abc" not in str(caught.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(PkiError, match=r"nothing\.csv is no token file"):
        static_tokens.load(tmp_path / "nothing.csv")
