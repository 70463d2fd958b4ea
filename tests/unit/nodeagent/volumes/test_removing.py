"""Folders of pods are removed whole, and nothing outside them, whatever containers left in them."""

from __future__ import annotations

import errno
import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from mounting_place import mounting_place

from nodeagent.volumes import mounting, removing
from nodeagent.volumes.folders import PodFolders
from nodeagent.volumes.removing import remove_tree


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    with mounting_place(tmp_path) as folder:
        yield folder


def tree(folder: Path) -> Path:
    (folder / "d/e").mkdir(parents=True)
    (folder / "d/f").write_text("x")
    return folder


def test_everything_inside_goes(tmp_path: Path) -> None:
    top = tree(tmp_path / "pod")
    os.mkfifo(top / "fifo")
    (top / "broken").symlink_to("nowhere")
    (top / "d/e").chmod(0)
    remove_tree(top)
    assert not top.exists()
    remove_tree(top)


def test_links_are_removed_and_not_followed(tmp_path: Path) -> None:
    outside = tree(tmp_path / "outside")
    top = tree(tmp_path / "pod")
    (top / "link").symlink_to(outside)
    (top / "d/file").symlink_to(outside / "d/f")
    remove_tree(top)
    assert (outside / "d/f").read_text() == "x"
    (tmp_path / "link").symlink_to(outside)
    remove_tree(tmp_path / "link")
    assert (outside / "d/f").exists()
    assert not (tmp_path / "link").exists()


def test_a_folder_that_becomes_a_link_meanwhile_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside, top = tree(tmp_path / "outside"), tree(tmp_path / "pod")
    real = os.open

    def swapping(path: str, flags: int, *args: int, **more: int) -> int:
        if path == "d" and not (top / "d").is_symlink():
            (top / "d").rename(tmp_path / "aside")
            (top / "d").symlink_to(outside)
        return real(path, flags, *args, **more)

    monkeypatch.setattr(os, "open", swapping)
    with pytest.raises(OSError, match="d"):
        remove_tree(top)
    assert (outside / "d/f").exists()
    monkeypatch.undo()
    remove_tree(top)
    assert (outside / "d/f").exists()
    assert not top.exists()


def test_what_is_deeper_than_any_path_goes_too(tmp_path: Path) -> None:
    top = tmp_path / "pod"
    top.mkdir()
    at = os.open(top, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("deep-0", dir_fd=at)
        below = os.open("deep-0", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    remove_tree(top)
    assert not top.exists()


def test_of_many_names_few_are_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may leave millions in one folder: all their names at once would be the agent's memory."""
    monkeypatch.setattr(removing, "NAMES_MAX", 50)
    count = 3_000
    for folder in (tmp_path / "pod", tmp_path / "pod/inside"):
        folder.mkdir()
        for number in range(count):
            (folder / f"{number:0100}").touch()
    tracemalloc.start()
    try:
        remove_tree(tmp_path / "pod")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < count * 100 / 2
    assert not (tmp_path / "pod").exists()


def test_a_mount_stops_it(place: Path) -> None:
    """Also a bind mount of the same file system, which looks like any folder."""
    data, top = tree(place / "data"), tree(place / "pod")
    (top / "d/mounted").mkdir()
    descriptor = os.open(data, os.O_PATH)
    mounting.bind(descriptor, top / "d/mounted")
    os.close(descriptor)
    with pytest.raises(OSError, match="mounted") as caught:
        remove_tree(top)
    assert caught.value.errno == errno.EXDEV
    assert (data / "d/f").read_text() == "x"
    mounting.unmount_under(top)
    remove_tree(top)
    assert not top.exists()
    assert (data / "d/f").read_text() == "x"


def test_a_mount_of_another_file_system_stops_it(place: Path) -> None:
    top = tree(place / "pod")
    mounting.mount_tmpfs(top / "d/e", size=65536)
    (top / "d/e/data").write_text("x")
    with pytest.raises(OSError, match="mounted"):
        remove_tree(top)
    assert (top / "d/e/data").read_text() == "x"


def test_a_pod_folder_is_unmounted_first(place: Path) -> None:
    data, folders = tree(place / "data"), PodFolders(place / "pods")
    folders.ensure_memory("uid")
    secret = folders.in_memory("uid", "v")
    secret.mkdir()
    target = folders.subpath("uid", "v", "c", 0)
    target.mkdir(parents=True)
    descriptor = os.open(data, os.O_PATH)
    mounting.bind(descriptor, target)
    mounting.bind(descriptor, target)  # twice, as after an agent that ended at a bad moment
    os.close(descriptor)
    folders.remove("uid")
    assert not folders.of("uid").exists()
    assert (data / "d/f").read_text() == "x"
    assert mounting.mounts_under(place / "pods") == []
    folders.remove("uid")


def test_a_pod_folder_goes_although_a_file_in_it_is_open(place: Path) -> None:
    folders = PodFolders(place / "pods")
    folders.ensure_memory("uid")
    with (folders.of("uid") / "memory/open").open("w"):
        folders.remove("uid")
    assert not folders.of("uid").exists()


def test_without_unmounting_nothing_is_deleted(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, folders = tree(place / "data"), PodFolders(place / "pods")
    target = folders.subpath("uid", "v", "c", 0)
    target.mkdir(parents=True)
    descriptor = os.open(data, os.O_PATH)
    mounting.bind(descriptor, target)
    os.close(descriptor)
    monkeypatch.setattr("nodeagent.volumes.folders.unmount_under", lambda folder: None)
    with pytest.raises(OSError, match="mounted"):
        folders.remove("uid")
    assert (data / "d/f").read_text() == "x"


@pytest.mark.parametrize("uid", ["", ".", "..", "a/b", "../x", "/etc", "a\0"])
def test_a_uid_is_one_step(tmp_path: Path, uid: str) -> None:
    from nodeagent.volumes.failures import CannotMount

    with pytest.raises(CannotMount):
        PodFolders(tmp_path).remove(uid)


def test_blanks_and_other_letters_in_paths_of_mounts(place: Path) -> None:
    odd = place / "blank \\ tab\t ä"
    odd.mkdir()
    mounting.mount_tmpfs(odd, size=4096)
    assert mounting.is_mounted(odd, "tmpfs")
    assert not mounting.is_mounted(odd, "ext4")
    mounting.unmount_under(place / "blank \\ tab\t ä")
    assert not mounting.is_mounted(odd)
