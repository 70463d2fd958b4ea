"""subPath: whatever is put into a volume, also while we look, what is opened is inside it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from open_files import open_files

from nodeagent.volumes.failures import CannotMount
from nodeagent.volumes.inside import opened_inside


def where(volume: Path, path: str, *, make: bool = False) -> str:
    with opened_inside(volume, path, make=make) as found:
        return os.readlink(f"/proc/self/fd/{found}")


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    folder = tmp_path / "volume"
    (folder / "a/b").mkdir(parents=True)
    (folder / "a/file").write_text("inside")
    (tmp_path / "secret").write_text("outside")
    return folder


def test_paths_lead_where_they_say(volume: Path) -> None:
    assert where(volume, "a/b") == str(volume / "a/b")
    assert where(volume, "a/file") == str(volume / "a/file")
    assert where(volume, "./a//b/../file") == str(volume / "a/file")


def test_links_inside_are_followed(volume: Path) -> None:
    """The files of a ConfigMap are such links."""
    (volume / "..data").symlink_to("..2026")
    (volume / "..2026").mkdir()
    (volume / "..2026/key").write_text("")
    (volume / "key").symlink_to("..data/key")
    assert where(volume, "key") == str(volume / "..2026/key")


@pytest.mark.parametrize("target", ["/etc", "../secret", "a/../../secret", "/", "..", "a/b/../../../secret"])
def test_links_that_lead_out_are_refused(volume: Path, target: str) -> None:
    (volume / "link").symlink_to(target)
    for path in ("link", "link/x", "a/../link"):
        with pytest.raises(CannotMount, match="not within volume path"):
            where(volume, path, make=True)


def test_links_without_end_are_refused(volume: Path) -> None:
    (volume / "one").symlink_to("two")
    (volume / "two").symlink_to("one")
    with pytest.raises(CannotMount, match="too many links"):
        where(volume, "one")
    (volume / "long").symlink_to("/".join(["."] * 1500) + "/a")
    with pytest.raises(CannotMount, match="too many steps"):
        where(volume, "long")


def test_depth_is_bounded(volume: Path) -> None:
    with pytest.raises(CannotMount, match="too deep"):
        where(volume, "/".join(["d"] * 300), make=True)


def test_what_is_missing_is_made_like_the_volume(volume: Path) -> None:
    volume.chmod(0o2775)
    with pytest.raises(FileNotFoundError):
        where(volume, "new/folder")
    assert where(volume, "new/folder", make=True) == str(volume / "new/folder")
    for each in ("new", "new/folder"):
        assert (volume / each).stat().st_mode & 0o7777 == 0o2775


def test_a_link_where_a_folder_is_made_changes_nothing_outside(volume: Path, tmp_path: Path) -> None:
    """Before it has its name a new folder has one that a container may know."""
    outside = tmp_path / "outside"
    outside.mkdir(0o700)
    (volume / ".kmini-new").symlink_to(outside)
    volume.chmod(0o777)
    with pytest.raises(OSError, match="kmini-new"):
        where(volume, "new", make=True)
    assert outside.stat().st_mode & 0o777 == 0o700


def test_nothing_is_made_through_a_link_that_leads_out(volume: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (volume / "link").symlink_to("../outside")
    with pytest.raises(CannotMount):
        where(volume, "link/made/there", make=True)
    assert list((tmp_path / "outside").iterdir()) == []


def test_no_descriptor_is_left(volume: Path) -> None:
    before = open_files(volume)
    (volume / "link").symlink_to("/etc")
    for path in ("a/b", "link", "a/nothing"):
        try:
            where(volume, path)
        except (CannotMount, FileNotFoundError):
            continue
    assert open_files(volume) == before


NAMES = st.sampled_from(["a", "b", "c"])
STEPS = st.lists(st.sampled_from(["a", "b", "c", ".", "..", ""]), max_size=6).map("/".join)
TARGETS = st.one_of(STEPS.filter(bool), STEPS.map(lambda path: f"/{path}"))


@given(links=st.dictionaries(st.tuples(st.sampled_from(["", "a", "b", "a/b"]), NAMES), TARGETS, max_size=5), path=STEPS)
@settings(max_examples=300)
def test_any_tree_of_links_is_resolved_as_linux_does_or_refused(
    tmp_path_factory: pytest.TempPathFactory, links: dict[tuple[str, str], str], path: str
) -> None:
    volume = tmp_path_factory.mktemp("top") / "volume"
    for each in ("a/b", "b/a", "a/c"):
        (volume / each).mkdir(parents=True)
    for (folder, name), target in links.items():
        place = volume / folder / name
        if not os.path.lexists(place):
            place.symlink_to(target)
    try:
        found = where(volume, path)
    except (CannotMount, OSError):
        return
    assert Path(found).is_relative_to(volume)
    assert found == os.path.realpath(f"{volume}/{path}")


def test_a_container_that_swaps_folders_for_links_gets_nothing_outside(
    volume: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before each step of ours it has just put a link there, or a folder."""
    outside = tmp_path / "outside"
    (outside / "b").mkdir(parents=True)
    real, swaps = os.open, 0

    def swapping(name: str, flags: int, *args: int, **more: int) -> int:
        nonlocal swaps
        if name in ("a", "b") and "dir_fd" in more:
            place = volume / "a" if name == "a" else volume / "a/b"
            with_link = swaps % 2 == 0
            swaps += 1
            if with_link and not place.is_symlink():
                place.rename(tmp_path / f"aside-{swaps}")
                place.symlink_to(outside)
        return real(name, flags, *args, **more)

    monkeypatch.setattr(os, "open", swapping)
    for _ in range(10):
        try:
            with opened_inside(volume, "a/b", make=True) as found:
                at = os.readlink(f"/proc/self/fd/{found}")
                assert not at.startswith(str(outside)), at
        except (CannotMount, OSError):
            continue
    assert swaps > 0


def test_a_race_in_earnest_never_opens_anything_outside(volume: Path, tmp_path: Path) -> None:
    """The folder `a` and a link to the outside change places all the time."""
    outside = tmp_path / "outside"
    (outside / "b").mkdir(parents=True)
    (volume / "link").symlink_to(outside)
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            (volume / "a").rename(volume / "aside")
            (volume / "link").rename(volume / "a")
            (volume / "a").rename(volume / "link")
            (volume / "aside").rename(volume / "a")

    secret = os.stat(outside / "b").st_ino
    attacker = threading.Thread(target=swap)
    attacker.start()
    opened = 0
    try:
        for _ in range(3000):
            try:
                with opened_inside(volume, "a/b", make=False) as found:
                    assert os.fstat(found).st_ino != secret
                    opened += 1
            except (CannotMount, OSError):
                continue
    finally:
        over.set()
        attacker.join()
    assert opened > 0
