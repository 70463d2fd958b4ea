"""hostPath is what the pod says it is, in Kubernetes' words when not."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from nodeagent.volumes.failures import CannotMount
from nodeagent.volumes.host_path import host_path


@pytest.fixture
def things(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "socket"))
    return {
        "Directory": tmp_path / "folder",
        "File": tmp_path / "file",
        "Socket": tmp_path / "socket",
        "CharDevice": Path("/dev/null"),
    }


WORDS = {
    "Directory": "a directory",
    "File": "a file",
    "Socket": "a socket file",
    "CharDevice": "a character device",
    "BlockDevice": "a block device",
    "DirectoryOrCreate": "a directory",
    "FileOrCreate": "a file",
}


@pytest.mark.parametrize("type_", WORDS)
def test_each_type_takes_its_own_sort_alone(things: dict[str, Path], type_: str) -> None:
    own = type_.removesuffix("OrCreate")
    for sort, path in things.items():
        if sort == own:
            assert host_path(str(path), type_) == path
        else:
            with pytest.raises(CannotMount) as caught:
                host_path(str(path), type_)
            assert str(caught.value) == f"hostPath type check failed: {path} is not {WORDS[type_]}"


@pytest.mark.parametrize("type_", ["Directory", "File", "Socket", "CharDevice", "BlockDevice"])
def test_what_is_not_there_is_not_made_by_types_that_do_not_say_so(tmp_path: Path, type_: str) -> None:
    for path in (tmp_path / "x", tmp_path / "x/y"):
        with pytest.raises(CannotMount, match="hostPath type check failed"):
            host_path(str(path), type_)
    assert list(tmp_path.iterdir()) == []


def test_what_is_to_be_made_is_made(tmp_path: Path) -> None:
    assert host_path(str(tmp_path / "a/b"), "DirectoryOrCreate").is_dir()
    assert (tmp_path / "a/b").stat().st_mode & 0o777 == 0o755
    assert host_path(str(tmp_path / "a/f"), "FileOrCreate").is_file()
    assert (tmp_path / "a/f").stat().st_mode & 0o777 == 0o644
    with pytest.raises(OSError, match="No such file"):
        host_path(str(tmp_path / "no/f"), "FileOrCreate")


def test_a_file_is_not_made_through_a_link(tmp_path: Path) -> None:
    os.symlink(tmp_path / "target", tmp_path / "link")
    with pytest.raises(CannotMount):
        host_path(str(tmp_path / "link"), "FileOrCreate")
    assert not (tmp_path / "target").exists()


def test_without_a_type_nothing_is_checked(tmp_path: Path) -> None:
    assert host_path(str(tmp_path / "x"), "") == tmp_path / "x"
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("path", ["", "relative", "/a/../b", "/a\0b"])
def test_paths_that_are_none_are_refused(path: str) -> None:
    with pytest.raises(CannotMount, match="not an absolute path"):
        host_path(path, "DirectoryOrCreate")


def test_a_type_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotMount, match="Pipe is not a type"):
        host_path(str(tmp_path), "Pipe")
