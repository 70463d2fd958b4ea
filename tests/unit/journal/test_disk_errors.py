"""A full disk loses nothing; any other error stops the journal for good."""

from __future__ import annotations

import errno

import pytest
from journal_tools import extend, fake_disk, founded, reopened, state_of, sync

from raftstore.errors import JournalDamaged
from raftstore.raft.journal import Journal


def run_on_full_disk(journal: Journal) -> OSError:
    work = journal.take()
    assert work is not None
    with pytest.raises(OSError, match="No space") as caught:
        work.run()
    journal.finish(work, caught.value)
    return caught.value


def test_a_full_disk_keeps_everything_for_a_retry() -> None:
    disk = fake_disk()
    journal = founded(disk)
    extend(journal, 5)
    sync(journal)
    disk.full = True
    extend(journal, 100)
    durable = (journal.durable, journal.durable_index)
    assert run_on_full_disk(journal).errno == errno.ENOSPC
    assert journal.disk_full
    assert (journal.durable, journal.durable_index) == durable
    extend(journal, 3)
    assert journal.last_index == 109
    run_on_full_disk(journal)
    disk.full = False
    sync(journal)
    assert not journal.disk_full
    assert (journal.durable_index, journal.durable) == (109, journal.written)
    expected = state_of(journal)
    disk.crash(power=True)
    assert state_of(reopened(disk)) == expected


@pytest.mark.parametrize("room_bytes", range(0, 20000, 1500))
def test_a_disk_that_fills_up_in_the_middle_keeps_what_was_durable(room_bytes: int) -> None:
    disk = fake_disk(room_bytes)
    journal = founded(disk)
    extend(journal, 5)
    sync(journal)
    disk.room_bytes = room_bytes
    for _ in range(8):
        extend(journal, 10)
        work = journal.take()
        assert work is not None
        try:
            work.run()
        except OSError as error:
            journal.finish(work, error)
        else:
            journal.finish(work, None)
    durable_index = journal.durable_index
    disk.crash(power=True)
    disk.room_bytes = None
    journal = reopened(disk)
    assert journal.damage is None
    assert journal.last_index >= durable_index
    extend(journal, 1)
    sync(journal)


def test_work_after_a_full_disk_is_not_taken_for_the_write_it_waited_for() -> None:
    """The failed write goes first and alone; a torn one behind a retry must not look like damage."""
    for seed in range(60):
        disk = fake_disk(seed)
        journal = founded(disk)
        disk.full = True
        extend(journal, 20)
        run_on_full_disk(journal)
        extend(journal, 3)
        disk.full = False
        work = journal.take()
        assert work is not None
        disk.cut_after(seed % 2)
        with pytest.raises(Exception, match="while"):
            work.run()
        disk.crash(power=True)
        assert reopened(disk).damage is None


def test_an_fsync_that_failed_is_never_tried_again() -> None:
    disk = fake_disk()
    journal = founded(disk)
    extend(journal, 5)
    durable_index = journal.durable_index
    disk.sync_errors = 1
    work = journal.take()
    assert work is not None
    with pytest.raises(OSError, match="Input/output") as caught:
        work.run()
    with pytest.raises(JournalDamaged, match="this replica stops"):
        journal.finish(work, caught.value)
    assert journal.take() is None
    assert journal.durable_index == durable_index
    assert isinstance(journal.failed, JournalDamaged)


def test_a_device_that_cannot_be_read_is_said_to_be_damaged() -> None:
    disk = fake_disk()
    founded(disk)
    disk.read_errors = 1
    with pytest.raises(JournalDamaged, match="cannot be read"):
        reopened(disk)


def test_a_folder_change_is_synced_before_it_is_relied_on() -> None:
    for seed in range(30):
        disk = fake_disk(seed)
        journal = founded(disk)
        extend(journal, 150)
        sync(journal)
        disk.crash(power=True)
        assert reopened(disk).last_index == 151


def test_a_journal_closed_during_a_sync_closes_its_files_afterwards() -> None:
    journal = founded(fake_disk())
    extend(journal, 3)
    work = journal.take()
    assert work is not None
    journal.close()
    work.run()
    journal.finish(work, None)
    assert journal._writer._files == {}
    assert journal.durable_index == 4
