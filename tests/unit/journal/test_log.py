"""The log as the engine uses it: entries, truncation, trimming, configurations, and the durable marks."""

from __future__ import annotations

import pytest
from journal_tools import (
    CLUSTER,
    FOUNDERS,
    MEMBER,
    SMALL,
    extend,
    fake_disk,
    founded,
    payload,
    reopened,
    state_of,
    sync,
)

from raftstore.command import KIND_NOOP
from raftstore.errors import JournalDamaged, WrongCluster
from raftstore.raft.configuration import encode_configuration
from raftstore.raft.engine import Configuration, Entry, Member
from raftstore.raft.journal import Journal
from raftstore.sim.disk import FakeDisk


def configuration_of(*numbers: int) -> Configuration:
    return Configuration(CLUSTER, tuple(Member(number, f"m{number}", "127.0.0.1:1") for number in numbers))


def append_configuration(journal: Journal, *numbers: int) -> int:
    index = journal.last_index + 1
    journal.append(encode_configuration(configuration_of(*numbers)), index, 1)
    return index


# --- entries ---


def test_a_fresh_log_has_a_base_and_nothing_else() -> None:
    journal = founded(fake_disk())
    assert (journal.base_index, journal.base_term, journal.last_index, journal.last_term) == (1, 0, 1, 0)
    assert journal.entry(1) == Entry(bytes((KIND_NOOP,)), 1, 0)
    assert (journal.term_at(0), journal.term_at(1), journal.term_at(2)) == (None, 0, None)
    assert journal.configuration() == (1, FOUNDERS)
    assert (journal.durable_index, journal.durable_term, journal.durable) == (1, 0, journal.written)


def test_an_empty_folder_opens_as_a_log_without_members() -> None:
    journal = reopened(fake_disk())
    assert journal.configuration() == (1, Configuration(CLUSTER, ()))
    assert journal.last_index == 1


def test_only_the_next_entry_can_be_appended() -> None:
    journal = founded(fake_disk())
    for index in (0, 1, 3):
        with pytest.raises(ValueError, match="cannot follow"):
            journal.append(b"\x10x", index, 1)


def test_a_range_is_bounded_by_count_and_bytes_but_never_empty() -> None:
    journal = founded(fake_disk())
    extend(journal, 20, size=100)
    assert [entry.index for entry in journal.entries(3, 6)] == [3, 4, 5, 6]
    assert [entry.index for entry in journal.entries(3, count_max=2)] == [3, 4]
    assert [entry.index for entry in journal.entries(3, bytes_max=250)] == [3, 4]
    assert [entry.index for entry in journal.entries(3, bytes_max=1)] == [3]
    assert journal.entries(22) == []
    assert journal.entries(1, 1) == [journal.entry(1)]
    with pytest.raises(IndexError):
        journal.entries(0)


def test_old_payloads_leave_memory_and_are_read_back() -> None:
    journal = founded(fake_disk())
    extend(journal, 100)
    sync(journal)
    assert journal._recent_bytes <= SMALL.recent_bytes
    assert journal.entry(2) == Entry(payload(2, 1), 2, 1)
    assert [entry.payload for entry in journal.entries(2)] == [payload(index, 1) for index in range(2, 102)]


def test_payloads_that_are_not_durable_stay_in_memory() -> None:
    journal = founded(fake_disk())
    extend(journal, 100)
    assert journal.entry(2).payload == payload(2, 1)
    assert len(journal._recent) == 100


def test_an_entry_that_went_bad_is_not_handed_out() -> None:
    disk = fake_disk()
    journal = founded(disk)
    extend(journal, 100)
    sync(journal)
    sequence, offset, _ = journal._log.locate(2)
    disk.flip_bits(f"{sequence:016x}.journal", [offset + 40])
    with pytest.raises(JournalDamaged, match="entry 2 in"):
        journal.entry(2)


def test_a_record_too_long_is_refused_and_changes_nothing() -> None:
    journal = founded(fake_disk())
    with pytest.raises(ValueError, match="beyond"):
        journal.append(b"x" * (1 << 24), 2, 1)
    extend(journal, 1)
    assert journal.last_index == 2


# --- truncation ---


def test_what_follows_a_truncation_replaces_what_was_there() -> None:
    disk = fake_disk()
    journal = founded(disk)
    extend(journal, 9, term=1)
    sync(journal)
    journal.truncate_from(5)
    assert (journal.last_index, journal.durable_index) == (4, 4)
    extend(journal, 3, term=2)
    assert journal.durable_index == 4
    sync(journal)
    assert journal.durable_index == 7
    journal = reopened(disk)
    assert [(entry.index, entry.term) for entry in journal.entries(4)] == [(4, 1), (5, 2), (6, 2), (7, 2)]


def test_a_truncation_while_a_sync_runs_lowers_the_mark_of_that_sync() -> None:
    journal = founded(fake_disk())
    extend(journal, 9)
    work = journal.take()
    assert work is not None
    journal.truncate_from(5)
    extend(journal, 4, term=2)
    work.run()
    journal.finish(work, None)
    assert journal.durable_index == 4
    sync(journal)
    assert journal.durable_index == 8


def test_a_truncation_not_synced_may_be_undone_by_a_power_loss() -> None:
    disk = fake_disk()
    journal = founded(disk)
    extend(journal, 9)
    sync(journal)
    journal.truncate_from(5)
    disk.crash(power=True)
    assert reopened(disk).last_index == 10


def test_what_a_snapshot_holds_cannot_be_truncated() -> None:
    journal = founded(fake_disk())
    extend(journal, 9)
    sync(journal)
    journal.trim(5)
    with pytest.raises(ValueError, match="in the snapshot at 5"):
        journal.truncate_from(5)
    journal.truncate_from(11)
    assert journal.last_index == 10


# --- trimming ---


def test_trimming_moves_the_base_and_frees_whole_segments() -> None:
    disk = fake_disk()
    journal = founded(disk)
    extend(journal, 400)
    sync(journal)
    before = len(disk.names())
    journal.trim(390)
    assert journal.entry(390).payload == bytes((KIND_NOOP,))
    assert journal.term_at(389) is None
    sync(journal)
    assert len(disk.names()) < before / 2
    journal = reopened(disk)
    assert (journal.base_index, journal.base_term, journal.last_index) == (390, 1, 401)
    assert journal.harmless == []
    assert journal.configuration() == (390, FOUNDERS)


@pytest.mark.parametrize("index", range(2, 160, 7))
def test_trimming_anywhere_keeps_all_that_is_behind(index: int) -> None:
    disk = fake_disk()
    journal = founded(disk)
    extend(journal, 160)
    sync(journal)
    journal.trim(index)
    sync(journal)
    expected = state_of(journal)
    journal = reopened(disk)
    assert journal.damage is None
    assert state_of(journal) == expected


def test_segments_stay_until_the_new_base_is_durable() -> None:
    disk = fake_disk()
    journal = founded(disk)
    extend(journal, 400)
    sync(journal)
    names = disk.names()
    journal.trim(390)
    work = journal.take()
    assert work is not None
    disk.cut_after(0)
    with pytest.raises(Exception, match="while"):
        work.run()
    assert disk.names() == names


def test_a_log_trimmed_to_its_end_goes_on() -> None:
    disk = fake_disk()
    journal = founded(disk)
    extend(journal, 9)
    sync(journal)
    journal.trim(10)
    extend(journal, 2, term=3)
    sync(journal)
    journal = reopened(disk)
    assert (journal.base_index, journal.last_index, journal.last_term) == (10, 12, 3)
    with pytest.raises(ValueError, match="beyond"):
        journal.trim(13)


def test_a_reset_starts_the_log_behind_a_snapshot_and_keeps_the_vote() -> None:
    disk = fake_disk()
    journal = founded(disk)
    journal.set_vote(3, 7)
    extend(journal, 300)
    sync(journal)
    extend(journal, 5)
    journal.reset(1000, 2, configuration_of(1, 2, 3))
    assert (journal.last_index, journal.last_term, journal.durable_index) == (1000, 2, 301)
    assert journal.entries(1001) == []
    sync(journal)
    assert journal.durable_index == 1000
    extend(journal, 2, term=3)
    sync(journal)
    journal = reopened(disk)
    assert (journal.base_index, journal.base_term, journal.last_index) == (1000, 2, 1002)
    assert (journal.term, journal.voted_for) == (3, 7)
    assert journal.configuration() == (1000, configuration_of(1, 2, 3))
    assert len(disk.names()) <= 2


# --- configurations ---


def test_configurations_are_known_at_every_index_and_rolled_back_with_their_entries() -> None:
    journal = founded(fake_disk())
    extend(journal, 2)
    first = append_configuration(journal, 1, 2)
    extend(journal, 2)
    second = append_configuration(journal, 1, 2, 3)
    assert journal.configuration() == (second, configuration_of(1, 2, 3))
    assert journal.configuration_at(second - 1) == configuration_of(1, 2)
    assert journal.configuration_at(first - 1) == FOUNDERS
    journal.truncate_from(second)
    assert journal.configuration() == (first, configuration_of(1, 2))
    journal.truncate_from(2)
    assert journal.configuration() == (1, FOUNDERS)


def test_configurations_come_back_whether_committed_or_not() -> None:
    disk = fake_disk()
    journal = founded(disk)
    extend(journal, 2)
    append_configuration(journal, 1, 2)
    extend(journal, 200)
    last = append_configuration(journal, 1, 2, 3)
    sync(journal)
    journal = reopened(disk)
    assert journal.configuration() == (last, configuration_of(1, 2, 3))
    journal.truncate_from(last)
    assert journal.configuration() == (4, configuration_of(1, 2))
    journal.trim(150)
    sync(journal)
    journal = reopened(disk)
    assert journal.base_configuration == configuration_of(1, 2)
    assert journal.configuration() == (150, configuration_of(1, 2))


# --- term and vote ---


def test_the_vote_is_durable_only_with_its_record() -> None:
    journal = founded(fake_disk())
    journal.set_vote(4, 0)
    sync(journal)
    assert journal.durable_term == 4
    journal.set_vote(4, 9)
    assert journal.durable_term == 3  # the vote in term 4 is not on disk
    work = journal.take()
    assert work is not None
    journal.set_vote(6, 0)
    work.run()
    journal.finish(work, None)
    assert journal.durable_term == 4


def test_a_vote_cast_while_a_sync_runs_is_not_covered_by_it() -> None:
    journal = founded(fake_disk())
    journal.set_vote(4, 0)
    work = journal.take()
    assert work is not None
    journal.set_vote(4, 9)
    work.run()
    journal.finish(work, None)
    assert journal.durable_term == 3
    sync(journal)
    assert journal.durable_term == 4


def test_nobody_votes_twice_or_goes_back() -> None:
    journal = founded(fake_disk())
    journal.set_vote(4, 9)
    written = journal.written
    journal.set_vote(4, 9)
    assert journal.written == written
    for term, voted_for in ((4, 8), (4, 0), (3, 9)):
        with pytest.raises(ValueError, match="votes once per term"):
            journal.set_vote(term, voted_for)


# --- identity ---


def test_another_members_journal_is_refused() -> None:
    disk = fake_disk()
    founded(disk)
    with pytest.raises(WrongCluster):
        Journal.open(disk, cluster_id=CLUSTER, member_id=MEMBER + 1, options=SMALL)
    with pytest.raises(WrongCluster):
        Journal.open(disk, cluster_id=CLUSTER + 1, member_id=MEMBER, options=SMALL)


def test_a_journal_is_created_only_where_there_is_none() -> None:
    disk = fake_disk()
    founded(disk)
    with pytest.raises(JournalDamaged, match="holds a journal already"):
        founded(disk)


def test_a_journal_is_durable_once_created() -> None:
    for seed in range(20):
        disk = fake_disk(seed)
        founded(disk)
        disk.crash(power=True)
        assert reopened(disk).configuration() == (1, FOUNDERS)


# --- the way to the disk ---


def test_one_work_at_a_time_and_none_when_nothing_waits() -> None:
    journal = founded(fake_disk())
    assert journal.take() is None
    extend(journal, 1)
    work = journal.take()
    assert work is not None
    extend(journal, 1)
    assert journal.take() is None
    work.run()
    journal.finish(work, None)
    assert journal.durable_index == 2
    sync(journal)
    assert journal.durable == journal.written


def test_a_work_costs_one_sync_and_no_growth_of_the_file() -> None:
    disk = fake_disk()
    journal = founded(disk)
    sizes, syncs = [], disk.syncs
    for _ in range(8):
        extend(journal, 2)
        sync(journal)
        sizes.append(journal_size(disk))
    assert disk.syncs - syncs == 8
    assert len(set(sizes)) == 2  # zeros were written ahead once


def journal_size(disk: FakeDisk) -> int:
    name = disk.names()[-1]
    return disk.open(name).size()


def test_the_next_segment_is_made_before_it_is_needed() -> None:
    disk = fake_disk()
    journal = founded(disk)
    extend(journal, 40)
    sync(journal)
    assert len(disk.names()) == 2
    assert journal._sequence == 1
