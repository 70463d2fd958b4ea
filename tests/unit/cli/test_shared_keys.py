"""The file of shared keys that goes beside a backup."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kmini import shared_keys
from kmini.errors import CommandError

from apiserver.auth import pki


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pki.init_shared(tmp_path / "pki")
    return tmp_path / "pki"


def test_they_come_back_as_they_were(folder: Path, tmp_path: Path) -> None:
    file, back = tmp_path / "keys.json", tmp_path / "back"
    shared_keys.save(folder, file)
    assert file.stat().st_mode & 0o777 == 0o600
    shared_keys.restore(file, back)
    shared_keys.restore(file, back)  # again: nothing differs
    for name in pki.SHARED_FILES:
        assert (back / name).read_bytes() == (folder / name).read_bytes()
        assert name.endswith(".crt") or (back / name).stat().st_mode & 0o777 == 0o600


def test_other_keys_are_not_overwritten(folder: Path, tmp_path: Path) -> None:
    shared_keys.save(folder, tmp_path / "keys.json")
    pki.init_shared(tmp_path / "other")
    before = (tmp_path / "other" / "ca.key").read_bytes()
    with pytest.raises(CommandError, match="differs"):
        shared_keys.restore(tmp_path / "keys.json", tmp_path / "other")
    assert (tmp_path / "other" / "ca.key").read_bytes() == before


def test_a_folder_without_keys_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"ca\.crt"):
        shared_keys.save(tmp_path, tmp_path / "keys.json")
    assert not (tmp_path / "keys.json").exists()


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"format": 2, "files": {}}', '{"format": 1, "files": {"ca.crt": "*"}}']
)
def test_what_is_no_file_of_keys_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "keys.json").write_text(content)
    with pytest.raises(CommandError, match=r"keys\.json"):
        shared_keys.load(tmp_path / "keys.json")


def test_nothing_but_the_shared_files_is_taken(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    shared_keys.save(folder, file)
    content = json.loads(file.read_text())
    content["files"]["../escaped"] = "AAAA"
    file.write_text(json.dumps(content))
    shared_keys.restore(file, tmp_path / "back")
    assert sorted(path.name for path in (tmp_path / "back").iterdir()) == sorted(pki.SHARED_FILES)
    assert not (tmp_path / "escaped").exists()
