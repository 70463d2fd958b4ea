"""The disk that forgets forgets what a real one may, and nothing else."""

from __future__ import annotations

import errno

import pytest
from journal_tools import fake_disk

from raftstore.sim.disk import FakeDisk, PowerCut


def written(disk: FakeDisk, name: str, data: bytes, *, sync: bool = False) -> None:
    file = disk.open(name, create=True)
    file.write_at(0, data)
    if sync:
        file.sync()
        disk.sync_folder()


def content(disk: FakeDisk, name: str) -> bytes:
    return disk.open(name).read_at(0, 1 << 20)


def test_a_kill_keeps_all_that_was_written() -> None:
    disk = fake_disk()
    written(disk, "a", b"one")
    disk.crash(power=False)
    assert content(disk, "a") == b"one"


def test_a_power_loss_keeps_what_was_synced_and_whole_sectors_of_the_rest() -> None:
    seen = set()
    for seed in range(60):
        disk = fake_disk(seed)
        written(disk, "a", b"s" * 2048, sync=True)
        disk.open("a").write_at(100, b"n" * 1500)
        disk.crash(power=True)
        found = content(disk, "a")
        assert len(found) == 2048
        expected = b"s" * 100 + b"n" * 1500 + b"s" * 448
        sectors = [found[at : at + 512] for at in range(0, 2048, 512)]
        for number, sector in enumerate(sectors):
            assert sector in (b"s" * 512, expected[number * 512 : number * 512 + 512])
        seen.add(tuple(sector == b"s" * 512 for sector in sectors))
    assert len(seen) > 5


def test_names_go_in_the_order_they_came() -> None:
    kept = set()
    for seed in range(60):
        disk = fake_disk(seed)
        for name in ("a", "b", "c"):
            written(disk, name, b"x")
        disk.rename("c", "d")
        disk.crash(power=True)
        kept.add(tuple(disk.names()))
    assert kept == {(), ("a",), ("a", "b"), ("a", "b", "c"), ("a", "b", "d")}


def test_a_removed_name_may_come_back_until_the_folder_is_synced() -> None:
    found = set()
    for seed in range(30):
        disk = fake_disk(seed)
        written(disk, "a", b"x", sync=True)
        disk.remove("a")
        disk.crash(power=True)
        found.add(disk.exists("a"))
    assert found == {True, False}
    disk = fake_disk()
    written(disk, "a", b"x", sync=True)
    disk.remove("a")
    disk.sync_folder()
    disk.crash(power=True)
    assert not disk.exists("a")


def test_an_fsync_that_fails_loses_the_pages_for_good() -> None:
    disk = fake_disk()
    written(disk, "a", b"old", sync=True)
    file = disk.open("a")
    file.write_at(0, b"new")
    disk.sync_errors = 1
    with pytest.raises(OSError, match="Input/output") as caught:
        file.sync()
    assert caught.value.errno == errno.EIO
    file.sync()
    assert content(disk, "a") == b"new"
    disk.crash(power=True)
    assert content(disk, "a") == b"old"


def test_a_full_disk_refuses_growth_only() -> None:
    disk = fake_disk()
    written(disk, "a", b"0123")
    disk.full = True
    disk.open("a").write_at(0, b"abcd")
    with pytest.raises(OSError, match="No space"):
        disk.open("a").write_at(2, b"efgh")
    assert content(disk, "a") == b"abef"


def test_a_cut_stops_in_the_middle_of_an_instruction_and_kills_open_files() -> None:
    disk = fake_disk()
    file = disk.open("a", create=True)
    disk.cut_after(1)
    file.write_at(0, b"one")
    with pytest.raises(PowerCut, match="while syncing a"):
        file.sync()
    disk.crash(power=False)
    with pytest.raises(OSError, match="Bad file"):
        file.size()
    assert content(disk, "a") == b"one"


def test_flipped_bits_are_on_the_platter() -> None:
    disk = fake_disk()
    written(disk, "a", b"\0" * 100, sync=True)
    disk.flip_bits("a", [7])
    disk.crash(power=True)
    found = content(disk, "a")
    assert found.count(0) == 99
    assert found[7].bit_count() == 1


def test_the_same_seed_is_the_same_disk() -> None:
    def once() -> list[bytes]:
        disk = fake_disk(99)
        for number in range(20):
            written(disk, str(number), bytes((number,)) * 3000)
        disk.crash(power=True)
        return [content(disk, name) for name in disk.names()]

    assert once() == once()
