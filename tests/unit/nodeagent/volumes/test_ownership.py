"""fsGroup gives a volume to its group with the kubelet's bits, and nothing else to anybody."""

from __future__ import annotations

import gc
import os
import tracemalloc
from pathlib import Path

import pytest

from nodeagent.volumes import ownership
from nodeagent.volumes.ownership import ON_ROOT_MISMATCH, give_to_group

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")
GROUP = 4321


def mode(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_gid, found.st_mode & 0o7777


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    top = tmp_path / "volume"
    (top / "folder").mkdir(parents=True)
    for path, bits in (("file", 0o600), ("folder/program", 0o755), ("folder/secret", 0o400)):
        (top / path).write_text("")
        (top / path).chmod(bits)
    (top / "folder").chmod(0o700)
    top.chmod(0o755)
    return top


def test_the_group_reads_and_writes_and_new_files_are_its(volume: Path) -> None:
    give_to_group(volume, GROUP)
    assert mode(volume) == (GROUP, 0o2775)
    assert mode(volume / "folder") == (GROUP, 0o2770)
    assert mode(volume / "file") == (GROUP, 0o660)
    assert mode(volume / "folder/program") == (GROUP, 0o775)
    assert mode(volume / "folder/secret") == (GROUP, 0o660)
    (volume / "folder/new").write_text("")
    assert mode(volume / "folder/new")[0] == GROUP


def test_what_is_to_be_read_is_not_made_writable(volume: Path) -> None:
    give_to_group(volume, GROUP, read_only=True)
    assert mode(volume / "folder/secret") == (GROUP, 0o440)
    assert mode(volume / "file") == (GROUP, 0o640)


def test_on_root_mismatch_a_volume_that_is_given_already_is_left_alone(volume: Path) -> None:
    give_to_group(volume, GROUP)
    (volume / "file").chmod(0o600)
    give_to_group(volume, GROUP, policy=ON_ROOT_MISMATCH)
    assert mode(volume / "file") == (GROUP, 0o600)
    give_to_group(volume, GROUP)
    assert mode(volume / "file") == (GROUP, 0o660)


def test_the_volume_itself_comes_last(volume: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that one that was given in part is seen to be, and given anew."""
    order: list[str] = []
    real = ownership._give

    def noting(entry: int, group: int, bits: int) -> None:
        order.append(os.readlink(f"/proc/self/fd/{entry}"))
        real(entry, group, bits)

    monkeypatch.setattr(ownership, "_give", noting)
    give_to_group(volume, GROUP)
    assert order[-1] == str(volume)
    assert order.index(str(volume / "folder")) > order.index(str(volume / "folder/secret"))


def test_links_lead_to_nothing_that_is_given_away(volume: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("")
    before = [mode(outside), mode(outside / "file")]
    (volume / "to-folder").symlink_to(outside)
    (volume / "folder/to-file").symlink_to(outside / "file")
    give_to_group(volume, GROUP)
    assert [mode(outside), mode(outside / "file")] == before
    assert mode(volume / "to-folder")[0] == GROUP


def test_a_folder_that_becomes_a_link_meanwhile_gives_nothing_away(
    volume: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("")
    before = [mode(outside), mode(outside / "file")]
    real = os.open

    def swapping(path: str, flags: int, *args: int, **more: int) -> int:
        if path == "folder" and not (volume / "folder").is_symlink():
            (volume / "folder").rename(tmp_path / "aside")
            (volume / "folder").symlink_to(outside)
        return real(path, flags, *args, **more)

    monkeypatch.setattr(os, "open", swapping)
    give_to_group(volume, GROUP)
    assert [mode(outside), mode(outside / "file")] == before


def test_of_many_names_few_are_held(volume: Path) -> None:
    count = 3_000
    for number in range(count):
        (volume / f"{number:0100}").touch()
    tracemalloc.start()
    try:
        give_to_group(volume, GROUP)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < count * 100 / 2
    assert {each.stat().st_gid for each in volume.iterdir()} == {GROUP}


def test_nothing_stays_open(volume: Path) -> None:
    (volume / "a/b/c").mkdir(parents=True)
    gc.collect()  # what former tests forgot is not closed in between
    before = len(os.listdir("/proc/self/fd"))
    give_to_group(volume, GROUP)
    assert len(os.listdir("/proc/self/fd")) == before
