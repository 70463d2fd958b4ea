"""No reader of a volume's files ever sees half of an update, and no writer that ends in the middle leaves a mess."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodeagent.volumes.failures import CannotMount
from nodeagent.volumes.payload import File, Payload
from nodeagent.volumes.writing import write

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")


def files(mode: int = 0o644, **contents: str) -> Payload:
    return {path.replace("__", "/"): File(content=text.encode(), mode=mode) for path, text in contents.items()}


def shown(folder: Path) -> dict[str, str]:
    """As a reader sees it: by the names that do not begin with two dots."""
    found = {}
    for top in folder.iterdir():
        if top.name.startswith(".."):
            continue
        for path in [top] if top.is_file() else [each for each in top.rglob("*") if each.is_file()]:
            found[str(path.relative_to(folder))] = path.read_text()
    return found


def updates(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir() if each.name.startswith("..") and not each.is_symlink()]


def test_files_lie_behind_links_as_on_kubernetes(tmp_path: Path) -> None:
    folder = tmp_path / "v"
    assert write(folder, files(a="1", b__c="2"))
    assert shown(folder) == {"a": "1", "b/c": "2"}
    assert os.readlink(folder / "a") == "..data/a"
    assert os.readlink(folder / "b") == "..data/b"
    assert updates(folder) == [os.readlink(folder / "..data")]


def test_what_is_right_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path / "v", files(a="1"))
    before = os.readlink(tmp_path / "v" / "..data")
    assert not write(tmp_path / "v", files(a="1"))
    assert os.readlink(tmp_path / "v" / "..data") == before


@pytest.mark.parametrize(
    "new", [files(a="2"), files(), files(a="1", b="1"), files(a__x="1"), files(mode=0o400, a="1"), files(a="12")]
)
def test_every_difference_is_an_update(tmp_path: Path, new: Payload) -> None:
    write(tmp_path / "v", files(a="1"))
    assert write(tmp_path / "v", new)
    assert shown(tmp_path / "v") == {path: file.content.decode() for path, file in new.items()}
    assert len(updates(tmp_path / "v")) == 1


def test_modes_are_as_asked_for_whatever_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write(tmp_path / "v", {"a/b": File(content=b"", mode=0o666)})
    finally:
        os.umask(before)
    assert (tmp_path / "v/a/b").stat().st_mode & 0o777 == 0o666
    assert (tmp_path / "v").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "v/a").stat().st_mode & 0o777 == 0o755


@AS_ROOT
def test_files_have_their_user_and_the_group_may_read(tmp_path: Path) -> None:
    payload = {"token": File(content=b"x", mode=0o600, user=1234)}
    write(tmp_path / "v", payload, group=77)
    found = (tmp_path / "v/token").stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (1234, 77, 0o640)
    assert not write(tmp_path / "v", payload, group=77)
    assert write(tmp_path / "v", payload, group=78)


@pytest.mark.parametrize(
    "path", ["", "/a", "../a", "a/../b", "a/..", "..data", "..a/b", "a//b", "a/", "./a", "a\0b", "x" * 256, "a/" * 2100]
)
def test_paths_that_lead_elsewhere_are_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(CannotMount):
        write(tmp_path / "v", {path: File(content=b"", mode=0o644)})
    assert not (tmp_path / "v").exists()


def test_what_cannot_be_written_leaves_nothing_however_often_it_is_tried(tmp_path: Path) -> None:
    write(tmp_path / "v", files(a="1"))
    for _ in range(3):
        with pytest.raises(OSError, match="Not a directory"):
            write(tmp_path / "v", files(a="2", a__b="3"))
    assert shown(tmp_path / "v") == {"a": "1"}
    assert updates(tmp_path / "v") == [os.readlink(tmp_path / "v" / "..data")]


@given(st.text(alphabet="a./\0", max_size=12))
@settings(max_examples=300, deadline=None)
def test_any_path_is_refused_or_inside(tmp_path_factory: pytest.TempPathFactory, path: str) -> None:
    top = tmp_path_factory.mktemp("p")
    try:
        write(top / "v", {path: File(content=b"here", mode=0o644)})
    except CannotMount:
        return
    assert [each.name for each in top.iterdir()] == ["v"]
    assert (top / "v" / path).read_bytes() == b"here"
    assert (top / "v" / path).resolve().is_relative_to(top / "v")


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["a", "b", "c/d", "c/e", "f/g/h"]), st.binary(max_size=3), max_size=5),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=60, deadline=None)
def test_after_any_updates_only_the_last_is_there(
    tmp_path_factory: pytest.TempPathFactory, history: list[dict[str, bytes]]
) -> None:
    folder = tmp_path_factory.mktemp("h") / "v"
    for each in history:
        write(folder, {path: File(content=content, mode=0o644) for path, content in each.items()})
    tops = {path.split("/")[0] for path in history[-1]}
    assert {each.name for each in folder.iterdir() if not each.name.startswith("..")} == tops
    for path, content in history[-1].items():
        assert (folder / path).read_bytes() == content
    assert len(updates(folder)) == 1


def test_readers_never_see_two_updates_at_once(tmp_path: Path) -> None:
    """Each update has one number in many files. A reader opens ..data once and reads all of them by that."""
    folder, names = tmp_path / "v", [f"f{number}" for number in range(20)]
    write(folder, {name: File(content=b"0", mode=0o644) for name in names})
    over, mixed, rounds = threading.Event(), list[set[bytes]](), 0

    def read() -> None:
        nonlocal rounds
        while not over.is_set():
            try:
                current = os.open(folder / "..data", os.O_PATH | os.O_DIRECTORY)
            except FileNotFoundError:
                continue  # between the link and what it led to: as on Kubernetes
            try:
                seen = set()
                for name in names:
                    with open(os.open(name, os.O_RDONLY, dir_fd=current), "rb") as file:
                        seen.add(file.read())
                if len(seen) > 1:
                    mixed.append(seen)
                rounds += 1
            except FileNotFoundError:
                pass  # the update was over, and is gone as a whole
            finally:
                os.close(current)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(1, 200):
            write(folder, {name: File(content=str(number).encode(), mode=0o644) for name in names})
    finally:
        over.set()
        reader.join()
    assert mixed == []
    assert rounds > 0


class Killed(BaseException):
    """As if the process had ended just before a step."""


STEPS = ("mkdir", "open", "fchmod", "symlink", "rename", "unlink", "rmdir")


def kill_before_step(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    count = 0

    def dying(real: object) -> object:
        def step(*args: object, **more: object) -> object:
            nonlocal count
            count += 1
            if count == number:
                raise Killed
            return real(*args, **more)  # type: ignore[operator]  # one of os' functions

        return step

    for name in STEPS:
        monkeypatch.setattr(os, name, dying(getattr(os, name)))


def test_an_update_that_ends_anywhere_shows_old_or_new_and_is_finished_by_the_next(tmp_path: Path) -> None:
    old, new = files(a="old", gone="old", d__e="old"), files(a="new", d__e="new", more="new")
    killed, seen = 0, set[str]()
    for number in range(1, 200):
        folder = tmp_path / str(number)
        write(folder, old)
        with pytest.MonkeyPatch.context() as patched:
            kill_before_step(patched, number)
            try:
                write(folder, new)
            except Killed:
                killed += 1
            else:
                break
        values = {(folder / "..data" / path).read_text() for path in ("a", "d/e")}
        assert values in ({"old"}, {"new"})
        seen |= values
        write(folder, new)
        assert shown(folder) == {"a": "new", "d/e": "new", "more": "new"}
        assert len(updates(folder)) == 1
    assert killed > 10
    assert seen == {"old", "new"}


def test_the_first_update_may_end_anywhere_too(tmp_path: Path) -> None:
    for number in range(1, 100):
        folder = tmp_path / str(number)
        with pytest.MonkeyPatch.context() as patched:
            kill_before_step(patched, number)
            try:
                write(folder, files(a="1"))
            except Killed:
                pass
            else:
                break
        write(folder, files(a="1"))
        assert shown(folder) == {"a": "1"}
        assert len(updates(folder)) == 1
    assert number > 5


def test_files_are_not_in_reprs() -> None:
    assert "hidden" not in repr(File(content=b"hidden", mode=0o644))
