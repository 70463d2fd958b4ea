"""Scheduled backups: whole files, the newest few, by the age of the newest."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from kmini.backups import FIRST_AFTER_S, Backups

HOUR_S = 3600.0


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


async def good(path: Path) -> None:
    path.write_bytes(b"whole")  # noqa: ASYNC240  # nothing else runs on this loop


async def bad(path: Path) -> None:
    raise RuntimeError("the leader is gone")


def backups(folder: Path, clock: Clock, **settings: int) -> Backups:
    return Backups(folder, good, every_s=HOUR_S, keep=settings.get("keep", 3), wall=clock)


def test_a_backup_is_named_by_its_time(tmp_path: Path) -> None:
    schedule = backups(tmp_path / "deep" / "er", Clock())
    assert asyncio.run(schedule.take())
    (path,) = schedule.files()
    assert path.name == "snapshot-19700112T134640Z.kmini"
    assert path.read_bytes() == b"whole"


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    clock = Clock()
    schedule = backups(tmp_path, clock, keep=2)
    for _ in range(4):
        assert asyncio.run(schedule.take())
        clock.now += HOUR_S
    names = [path.name for path in schedule.files()]
    assert len(names) == 2
    assert names[-1] == "snapshot-19700112T164640Z.kmini"


def test_other_files_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "my-own.kmini").write_bytes(b"mine")
    schedule = backups(tmp_path, Clock(), keep=1)
    asyncio.run(schedule.take())
    assert (tmp_path / "my-own.kmini").exists()


def test_a_failed_backup_leaves_nothing_and_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    schedule = Backups(tmp_path, bad, every_s=HOUR_S, keep=3, wall=Clock())
    assert not asyncio.run(schedule.take())
    assert list(tmp_path.iterdir()) == []
    assert schedule.failures == 1
    assert "backup failed" in caplog.text


def test_the_schedule_goes_by_the_age_of_the_newest(tmp_path: Path) -> None:
    clock = Clock()
    schedule = backups(tmp_path, clock)
    assert schedule.due_in_s() == FIRST_AFTER_S
    asyncio.run(schedule.take())
    assert schedule.due_in_s() == HOUR_S
    clock.now += HOUR_S / 4
    assert backups(tmp_path, clock).due_in_s() == HOUR_S * 3 / 4  # a restart changes nothing
    clock.now += HOUR_S
    assert schedule.due_in_s() == 0.0


def test_a_clock_that_went_back_does_not_put_a_backup_off_for_ever(tmp_path: Path) -> None:
    clock = Clock()
    schedule = backups(tmp_path, clock)
    asyncio.run(schedule.take())
    clock.now -= 100 * HOUR_S
    assert schedule.due_in_s() == HOUR_S


def test_the_gauges_say_when_it_is_overdue(tmp_path: Path) -> None:
    clock = Clock()
    schedule = backups(tmp_path, clock)
    assert {name: value for name, _help, value in schedule.gauges()}["backup_overdue"] == 0
    asyncio.run(schedule.take())
    clock.now += HOUR_S
    found = {name: value for name, _help, value in schedule.gauges()}
    assert found == {"backup_age_seconds": HOUR_S, "backup_overdue": 0, "backup_failures": 0}
    clock.now += 2 * HOUR_S
    assert {name: value for name, _help, value in schedule.gauges()}["backup_overdue"] == 1


def test_a_first_backup_that_fails_is_overdue(tmp_path: Path) -> None:
    schedule = Backups(tmp_path, bad, every_s=HOUR_S, keep=3, wall=Clock())
    asyncio.run(schedule.take())
    assert {name: value for name, _help, value in schedule.gauges()} == {"backup_overdue": 1, "backup_failures": 1}
