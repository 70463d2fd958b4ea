"""What a container's tar may do here: put files below the destination, and nothing else."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from kminictl.failures import CommandError
from kminictl.verbs.cp import Place, place, unpack


def archive(*members: tuple[str, bytes | str]) -> io.BytesIO:
    """Files with bytes; with text, links to it; a name that ends in a slash is a folder."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name.rstrip("/"))
            if name.endswith("/"):
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(info)
            elif isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    out.seek(0)
    return out


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_file_and_a_folder(tmp_path: Path) -> None:
    assert unpack(archive(("etc/hosts", b"x")), "/etc/hosts", tmp_path / "hosts") == []
    folder = archive(("etc/", b""), ("etc/a", b"1"), ("etc/b/", b""), ("etc/b/c", b"2"))
    assert unpack(folder, "/etc", tmp_path / "copy") == []
    assert files(tmp_path) == {"hosts": b"x", "copy/a": b"1", "copy/b/c": b"2"}


def test_into_a_folder_that_is_there(tmp_path: Path) -> None:
    unpack(archive(("etc/hosts", b"x")), "/etc/hosts", tmp_path)
    assert files(tmp_path) == {"hosts": b"x"}


@pytest.mark.parametrize("name", ["../out", "etc/../../out", "/out", "etc/../etc/../out", "etcetera/out"])
def test_nothing_leaves_the_destination(tmp_path: Path, name: str) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (skipped,) = unpack(archive((name, b"x")), "/etc", inner / "copy")
    assert "it lies outside of /etc" in skipped
    assert files(tmp_path) == {}


def test_links_are_left_out_and_never_written_through(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (skipped,) = unpack(archive(("d/", b""), ("d/link", str(outside))), "d", tmp_path / "copy")
    assert unpack(archive(("d/", b""), ("d/again", b"x")), "d", tmp_path / "copy") == []
    assert files(tmp_path / "copy") == {"again": b"x"}
    assert skipped == "d/link: it is no file and no folder"
    (tmp_path / "copy" / "link").symlink_to(outside)
    with pytest.raises(CommandError, match="nothing is written through it"):
        unpack(archive(("d/", b""), ("d/link/", b""), ("d/link/file", b"x")), "d", tmp_path / "copy")
    (tmp_path / "copy" / "file").symlink_to(outside / "file")
    with pytest.raises(CommandError, match="nothing is written through it"):
        unpack(archive(("d/", b""), ("d/file", b"x")), "d", tmp_path / "copy")
    assert files(outside) == {}


def test_places() -> None:
    assert place("ns/pod:/etc/hosts") == Place("/etc/hosts", "pod", "ns")
    assert place("pod:x") == Place("x", "pod")
    assert place("./a:b") == Place("./a:b")
    assert place("/a:b") == Place("/a:b")
    for wrong in ("a/b/c:x", "pod:", ":x"):
        with pytest.raises(CommandError):
            place(wrong)
