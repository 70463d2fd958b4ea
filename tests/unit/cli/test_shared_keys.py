"""The file of shared keys that goes beside a backup: sealed under a passphrase, bound to nothing else."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from kmini import shared_keys
from kmini.errors import CommandError

from apiserver.auth import pki

PASSPHRASE = "correct horse battery"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pki.init_shared(tmp_path / "pki")
    return tmp_path / "pki"


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """What scrypt costs is not what is tested here."""
    monkeypatch.setattr(shared_keys, "COST", 1 << 10)


def given() -> str:
    return PASSPHRASE


def never_asked() -> str:
    raise AssertionError("nobody should be asked")


def test_they_come_back_as_they_were(folder: Path, tmp_path: Path) -> None:
    file, back = tmp_path / "keys.json", tmp_path / "back"
    shared_keys.save(folder, file, PASSPHRASE)
    assert file.stat().st_mode & 0o777 == 0o600
    shared_keys.restore(file, back, given)
    shared_keys.restore(file, back, given)  # again: nothing differs
    for name in pki.SHARED_FILES:
        assert (back / name).read_bytes() == (folder / name).read_bytes()
        assert name.endswith(".crt") or (back / name).stat().st_mode & 0o777 == 0o600


def test_nothing_of_the_keys_can_be_read_in_the_file(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    shared_keys.save(folder, file, PASSPHRASE)
    content = file.read_bytes()
    assert PASSPHRASE.encode() not in content
    for name in pki.SHARED_FILES:
        plain = (folder / name).read_bytes()
        assert base64.b64encode(plain)[:40] not in content
        assert name.encode() not in content
    assert set(json.loads(content)) == {"format", "scrypt", "nonce", "sealed"}


def test_another_passphrase_opens_nothing(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    shared_keys.save(folder, file, PASSPHRASE)
    with pytest.raises(CommandError, match=r"keys\.json does not open"):
        shared_keys.restore(file, tmp_path / "back", lambda: PASSPHRASE + "!")
    assert not (tmp_path / "back").exists()


def test_a_changed_file_opens_nothing(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    shared_keys.save(folder, file, PASSPHRASE)
    content = json.loads(file.read_text())
    sealed = bytearray(base64.b64decode(content["sealed"]))
    sealed[10] ^= 1
    content["sealed"] = base64.b64encode(bytes(sealed)).decode()
    file.write_text(json.dumps(content))
    with pytest.raises(CommandError, match="does not open"):
        shared_keys.load(file, given)


def test_a_passphrase_that_protects_nothing_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="at least 8"):
        shared_keys.save(folder, tmp_path / "keys.json", "1234567")
    assert not (tmp_path / "keys.json").exists()


def test_a_file_may_not_make_us_spend_without_bound(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    shared_keys.save(folder, file, PASSPHRASE)
    for name, value in (("n", 1 << 30), ("r", 1 << 20), ("p", 1 << 20), ("n", 0), ("n", "x")):
        content = json.loads(file.read_text())
        content["scrypt"][name] = value
        (tmp_path / "greedy.json").write_text(json.dumps(content))
        with pytest.raises(CommandError, match=r"greedy\.json is no file"):
            shared_keys.load(tmp_path / "greedy.json", given)


def test_a_file_of_format_1_is_still_read(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    files = {name: base64.b64encode((folder / name).read_bytes()).decode() for name in pki.SHARED_FILES}
    file.write_text(json.dumps({"format": 1, "files": files}))
    assert shared_keys.load(file, never_asked)["ca.key"] == (folder / "ca.key").read_bytes()


def test_other_keys_are_not_overwritten(folder: Path, tmp_path: Path) -> None:
    shared_keys.save(folder, tmp_path / "keys.json", PASSPHRASE)
    pki.init_shared(tmp_path / "other")
    before = (tmp_path / "other" / "ca.key").read_bytes()
    with pytest.raises(CommandError, match="differs"):
        shared_keys.restore(tmp_path / "keys.json", tmp_path / "other", given)
    assert (tmp_path / "other" / "ca.key").read_bytes() == before


def test_a_folder_without_keys_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"ca\.crt"):
        shared_keys.save(tmp_path, tmp_path / "keys.json", PASSPHRASE)
    assert not (tmp_path / "keys.json").exists()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"format": 3, "files": {}}',
        '{"format": 1, "files": {"ca.crt": "*"}}',
        '{"format": 2}',
        '{"format": 2, "scrypt": {"n": 2, "r": 8, "p": 1, "salt": "*"}, "nonce": "", "sealed": ""}',
        '{"format": 2, "scrypt": {"n": 2, "r": 8, "p": 1, "salt": "AAAA"}, "nonce": "", "sealed": ""}',
        "[" * 100_000,
    ],
)
def test_what_is_no_file_of_keys_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "keys.json").write_text(content)
    with pytest.raises(CommandError, match=r"keys\.json"):
        shared_keys.load(tmp_path / "keys.json", given)


def test_nothing_but_the_shared_files_is_taken(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    files = {name: base64.b64encode((folder / name).read_bytes()).decode() for name in pki.SHARED_FILES}
    file.write_bytes(shared_keys.seal({**files, "../escaped": "AAAA"}, PASSPHRASE))
    shared_keys.restore(file, tmp_path / "back", given)
    assert sorted(path.name for path in (tmp_path / "back").iterdir()) == sorted(pki.SHARED_FILES)
    assert not (tmp_path / "escaped").exists()
