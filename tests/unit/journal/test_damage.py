"""Damage is never lost silently, never forgotten, never thrown away; and what only looks like it is not damage."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journal_tools import (
    CLUSTER,
    FOUNDERS,
    MEMBER,
    SMALL,
    extend,
    fake_disk,
    founded,
    reopened,
    segment_files,
    state_of,
    sync,
)

from raftstore.errors import IntegrityError
from raftstore.raft import segment
from raftstore.raft.engine import Configuration
from raftstore.raft.journal import Base, Journal
from raftstore.raft.journal_report import scan
from raftstore.sim.disk import FakeDisk, PowerCut

SECOND = segment.segment_name(2)


def filled(seed: int = 1, *, works: int = 60, per_work: int = 3) -> tuple[FakeDisk, Journal]:
    """A journal of several segments, all of it durable."""
    disk = fake_disk(seed)
    journal = founded(disk)
    journal.set_vote(1, MEMBER)
    for _ in range(works):
        extend(journal, per_work)
        sync(journal)
    return disk, journal


def place_of(journal: Journal, index: int) -> tuple[str, int]:
    sequence, offset, _ = journal._log.locate(index)
    return segment.segment_name(sequence), offset


def flip(disk: FakeDisk, journal: Journal, index: int, at: int = 40) -> None:
    name, offset = place_of(journal, index)
    disk.flip_bits(name, [offset + at])


def wipe_sector(disk: FakeDisk, name: str, offset: int) -> None:
    """A sector that was durable reads as zeros: what a lost write, or a very unlucky tool, leaves."""
    start = offset - offset % 512
    file = disk.open(name)
    file.write_at(start, bytes(512))
    file.sync()


# --- bad records ---


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 32), st.integers(1, 4))
def test_flipped_bits_are_damage_or_hurt_nothing(seed: int, flips: int) -> None:
    disk, journal = filled(seed, works=40)
    journal.set_vote(2, 77)
    sync(journal)
    before = state_of(journal)
    chance = random.Random(seed)
    for _ in range(flips):
        name = chance.choice(segment_files(disk)[:-1] or segment_files(disk))
        disk.flip_bits(name, [chance.randrange(disk.written_size(name))])
    journal = reopened(disk)
    after = state_of(journal)
    if journal.damage is None:
        assert after == before
        return
    assert after.entries == before.entries[: len(after.entries)]
    assert journal.damage.last_good_index in (journal.last_index, 0)
    assert reopened(disk).damage == journal.damage


@pytest.mark.parametrize("at", [0, 3, 5, 9, 13, 22, 27, 28, 100, 128])
@pytest.mark.parametrize("index", [2, 30, 120, 181])
def test_one_flipped_bit_in_any_entry_is_damage(index: int, at: int) -> None:
    disk, journal = filled()
    assert journal.last_index == 181
    flip(disk, journal, index, at)
    journal = reopened(disk)
    assert journal.damage is not None
    assert (journal.damage.file, journal.damage.offset) == place_of_before(disk, index)
    assert journal.damage.last_good_index == index - 1 == journal.last_index
    assert journal.term == 1


def place_of_before(disk: FakeDisk, index: int) -> tuple[str, int]:
    """Where a sound journal of `filled` has an entry; the folder under test has lost it."""
    return place_of(filled()[1], index)


def test_what_is_behind_the_damage_is_set_aside_and_not_deleted() -> None:
    disk, journal = filled()
    names, last_index = segment_files(disk), journal.last_index
    contents = {name: disk.open(name).read_at(0, 1 << 20) for name in names}
    flip(disk, journal, 100)
    journal = reopened(disk)
    assert journal.damage is not None
    assert journal.last_index == 99 < last_index
    bad = names.index(journal.damage.file)
    aside = [name for name in disk.names() if name.startswith("damaged-1-")]
    assert [name.removeprefix("damaged-1-") for name in aside] == [n for n in names[bad:] if contents[n].strip(b"\0")]
    for name in aside[1:]:
        assert disk.open(name).read_at(0, 1 << 20) == contents[name.removeprefix("damaged-1-")]
    assert disk.open(aside[0]).size() == len(contents[names[bad]])


def test_a_damaged_journal_goes_on_behind_what_it_kept() -> None:
    disk, journal = filled()
    flip(disk, journal, 100)
    journal = reopened(disk)
    extend(journal, 200, term=4)
    sync(journal)
    expected = state_of(journal)
    disk.crash(power=True)
    journal = reopened(disk)
    assert state_of(journal) == expected
    assert journal.damage is not None
    assert journal.damage.last_good_index == 99


def test_the_note_of_damage_lasts_until_it_is_cleared_durably() -> None:
    disk, journal = filled()
    flip(disk, journal, 100)
    damage = reopened(disk).damage
    assert damage is not None
    for power in (False, True):
        disk.crash(power=power)
        journal = reopened(disk)
        assert journal.damage == damage
    journal.clear_damage()
    assert journal.damage is None
    disk.crash(power=False)
    journal = reopened(disk)
    assert journal.damage == damage  # the clearing had not reached the disk
    journal.clear_damage()
    sync(journal)
    disk.crash(power=True)
    assert reopened(disk).damage is None


@pytest.mark.parametrize("power", [False, True])
@pytest.mark.parametrize(("index", "kept"), [(100, 99), (0, 1)])
def test_mending_may_be_interrupted_anywhere(index: int, kept: int, power: bool) -> None:
    """Index 0: the very first record is bad, so that the whole journal is set aside."""
    for steps in range(60):
        disk, journal = filled(steps)
        if index:
            flip(disk, journal, index)
        else:
            for name in segment_files(disk):
                disk.flip_bits(name, [segment.RECORDS_START + 40])
        disk.cut_after(steps)
        try:
            reopened(disk)
        except PowerCut:
            finished = False
        else:
            finished = True
        disk.crash(power=power)
        journal = reopened(disk)
        assert journal.damage is not None, f"forgotten when stopped after {steps} steps"
        assert journal.last_index == kept
        assert (journal.term, journal.voted_for) == (1, MEMBER)
        if finished:
            return
    pytest.fail("mending never came to its end")


def test_damage_is_cleared_only_with_what_cleared_it() -> None:
    for steps in range(30):
        disk, journal = filled(steps)
        flip(disk, journal, 100)
        journal = reopened(disk)
        extend(journal, 5, term=2)
        journal.clear_damage()
        work = journal.take()
        assert work is not None
        disk.cut_after(steps)
        try:
            work.run()
        except PowerCut:
            disk.crash(power=True)
            journal = reopened(disk)
            assert journal.damage is not None or journal.last_index == 104
        else:
            return
    pytest.fail("the work never came to its end")


def test_a_vote_behind_the_damage_still_counts() -> None:
    disk, journal = filled()
    journal.set_vote(9, 1234)
    extend(journal, 100, term=9)
    sync(journal)
    flip(disk, journal, 100)
    for _ in range(2):
        journal = reopened(disk)
        assert (journal.term, journal.voted_for) == (9, 1234)
    journal.clear_damage()
    sync(journal)
    journal = reopened(disk)  # the note that kept the vote is gone
    assert journal.damage is None
    assert (journal.term, journal.voted_for) == (9, 1234)


def test_a_journal_without_any_good_beginning_keeps_nothing_but_the_vote() -> None:
    disk = fake_disk()
    journal = founded(disk)
    extend(journal, 10)
    journal.set_vote(3, 4)
    sync(journal)
    disk.flip_bits(segment.segment_name(1), [segment.RECORDS_START + 40])
    journal = reopened(disk)
    assert journal.damage is not None
    assert journal.damage.last_good_index == 0
    assert (journal.last_index, journal.term, journal.voted_for) == (1, 3, 4)
    assert reopened(disk).damage == journal.damage


def test_a_missing_segment_is_damage() -> None:
    disk, journal = filled()
    disk.remove(SECOND)
    kept = journal._segments[2].start_index
    journal = reopened(disk)
    assert journal.damage is not None
    assert kept is not None
    assert journal.last_index < kept


def test_a_first_segment_missing_is_damage() -> None:
    disk, _ = filled()
    disk.remove(segment.segment_name(1))
    journal = reopened(disk)
    assert journal.damage is not None
    assert journal.last_index == journal.damage.last_good_index == 1  # the base that every checkpoint names


# --- torn or not ---


def test_a_zeroed_sector_in_the_last_write_is_torn() -> None:
    disk = fake_disk()
    journal = founded(disk)
    extend(journal, 3)
    sync(journal)
    extend(journal, 10)
    sync(journal)
    wipe_sector(disk, *place_of_next_sector(journal, 6))
    journal = reopened(disk)
    assert journal.damage is None
    assert 3 < journal.last_index < 14


def test_a_zeroed_sector_with_a_later_write_behind_it_is_damage() -> None:
    disk = fake_disk()
    journal = founded(disk)
    extend(journal, 13)
    sync(journal)
    extend(journal, 3)
    sync(journal)
    wipe_sector(disk, *place_of_next_sector(journal, 6))
    journal = reopened(disk)
    assert journal.damage is not None


def test_a_zeroed_sector_in_a_segment_that_is_not_the_last_is_damage() -> None:
    disk, journal = filled()
    start = journal._segments[1].start_index
    assert start is not None
    name, offset = place_of(journal, start)
    wipe_sector(disk, name, offset)
    journal = reopened(disk)
    assert journal.damage is not None
    assert journal.damage.file == name
    assert journal.last_index < start


def test_a_segment_that_lost_its_end_without_a_trace_is_damage() -> None:
    disk, journal = filled()
    start = journal._segments[1].start_index
    assert start is not None
    name, offset = place_of(journal, start)
    file = disk.open(name)
    file.write_at(offset, bytes(file.size() - offset))
    journal = reopened(disk)
    assert journal.damage is not None
    assert journal.last_index == start - 1
    assert (journal.damage.file, journal.damage.offset) == (SECOND, segment.RECORDS_START)  # its checkpoint tells


def place_of_next_sector(journal: Journal, index: int) -> tuple[str, int]:
    name, offset = place_of(journal, index)
    return name, offset + 512


@pytest.mark.parametrize("power", [False, True])
def test_nothing_old_is_read_behind_a_cut(power: bool) -> None:
    """The cut of a torn tail must be on disk before anything is written over it."""
    for seed in range(40):
        disk = fake_disk(seed)
        journal = founded(disk)
        extend(journal, 3)
        sync(journal)
        extend(journal, 12, size=600)
        work = journal.take()
        assert work is not None
        disk.cut_after(5)  # zeros and records written, nothing synced
        with pytest.raises(PowerCut):
            work.run()
        disk.crash(power=True)
        journal = reopened(disk)
        extend(journal, 8, term=2, size=550)
        work = journal.take()
        assert work is not None
        disk.cut_after(len(work._chunks) * 3)
        with pytest.raises(PowerCut):
            work.run()
        disk.crash(power=power)
        assert reopened(disk).damage is None


def test_what_is_read_back_after_a_kill_is_durable_before_it_counts() -> None:
    for seed in range(40):
        disk = fake_disk(seed)
        journal = founded(disk)
        extend(journal, 8)
        work = journal.take()
        assert work is not None
        disk.cut_after(1)  # written, not synced
        with pytest.raises(PowerCut):
            work.run()
        disk.crash(power=False)
        journal = reopened(disk)
        assert journal.durable_index == journal.last_index == 9
        disk.crash(power=True)
        assert reopened(disk).last_index == 9


# --- damage that a snapshot covers ---


def test_damage_below_the_base_is_harmless() -> None:
    disk, journal = filled()
    journal.trim(150)
    sync(journal)
    names = segment_files(disk)
    first = int(names[0].removesuffix(".journal"), 16)
    low = next(info.start_index for info in journal._segments if info.sequence == first)
    assert low is not None
    position = segment.RECORDS_START + 400  # behind the checkpoint, in an entry that the snapshot holds
    disk.flip_bits(names[0], [position])
    expected = state_of(journal)
    journal = reopened(disk)
    assert journal.damage is None
    assert len(journal.harmless) == 1
    assert state_of(journal) == expected


def test_damage_above_the_base_is_not() -> None:
    disk, journal = filled()
    journal.trim(150)
    sync(journal)
    flip(disk, journal, 160)
    journal = reopened(disk)
    assert journal.damage is not None
    assert (journal.base_index, journal.last_index) == (150, 159)


def test_damage_below_a_snapshot_is_harmless_when_term_and_vote_were_written_since() -> None:
    disk, journal = filled()
    journal.set_vote(2, 5)
    sync(journal)
    expected = state_of(journal)
    flip(disk, journal, 100)
    base = Base(150, 1, FOUNDERS)
    for _ in range(2):  # the second time the journal itself says so
        journal = Journal.open(disk, cluster_id=CLUSTER, member_id=MEMBER, options=SMALL, snapshot=lambda: base)
        assert journal.damage is None
        assert (journal.base_index, journal.last_index) == (150, 181)
        assert state_of(journal).entries == expected.entries[-31:]
        assert (journal.term, journal.voted_for) == (2, 5)
    assert state_of(reopened(disk)).entries == expected.entries[-31:]


@pytest.mark.parametrize("base", [Base(99, 1, FOUNDERS), Base(150, 7, FOUNDERS), Base(500, 1, FOUNDERS)])
def test_a_snapshot_that_does_not_reach_or_fit_covers_nothing(base: Base) -> None:
    disk, journal = filled()
    journal.set_vote(2, 5)
    sync(journal)
    flip(disk, journal, 120)
    journal = Journal.open(disk, cluster_id=CLUSTER, member_id=MEMBER, options=SMALL, snapshot=lambda: base)
    assert journal.damage is not None


def test_a_snapshot_does_not_cover_a_vote_that_may_be_lost() -> None:
    disk = fake_disk()
    journal = founded(disk)
    extend(journal, 20)
    sync(journal)
    flip(disk, journal, 5)
    base = Base(10, 1, FOUNDERS)
    journal = Journal.open(disk, cluster_id=CLUSTER, member_id=MEMBER, options=SMALL, snapshot=lambda: base)
    assert journal.damage is not None


# --- telling without touching ---


def test_looking_changes_nothing_and_tells_all() -> None:
    disk, journal = filled()
    contents = {name: disk.open(name).read_at(0, 1 << 20) for name in disk.names()}
    report = scan(disk)
    assert report is not None
    assert report.sound
    assert (report.cluster_id, report.member_id) == (CLUSTER, MEMBER)
    assert (report.base_index, report.last_index, report.last_term) == (1, 181, 1)
    assert (report.term, report.voted_for) == (1, MEMBER)
    assert report.configuration == FOUNDERS
    flip(disk, journal, 100)
    report = scan(disk)
    assert report is not None
    assert report.damage is not None
    assert report.last_index == report.damage.last_good_index == 99
    assert report.noted_damage is None
    flip(disk, journal, 100)
    assert {name: len(disk.open(name).read_at(0, 1 << 20)) for name in disk.names()} == {
        name: len(content) for name, content in contents.items()
    }
    reopened(disk)
    report = scan(disk)
    assert report is not None
    assert report.noted_damage is not None
    assert not report.sound
    assert report.set_aside
    assert scan(fake_disk()) is None


# --- anything at all ---


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 1 << 32),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9000), st.binary(max_size=600)), max_size=6),
    st.lists(st.binary(max_size=2000), max_size=3),
)
def test_garbage_is_an_integrity_error_or_damage_and_nothing_else(
    seed: int, overwritten: list[tuple[int, int, bytes]], files: list[bytes]
) -> None:
    disk, _ = filled(seed, works=20)
    names = segment_files(disk)
    for which, offset, data in overwritten:
        disk.open(names[which % len(names)]).write_at(offset, data)
    for number, data in enumerate(files):
        disk.open(segment.segment_name(number * 2), create=True).write_at(0, data)
    try:
        journal = reopened(disk)
    except IntegrityError:
        return
    extend(journal, 3)
    sync(journal)
    expected = state_of(journal)
    disk.crash(power=True)
    assert state_of(reopened(disk)) == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=3000), min_size=1, max_size=4))
def test_a_folder_of_garbage_holds_nothing_good(files: list[bytes]) -> None:
    disk = fake_disk()
    for number, data in enumerate(files):
        disk.open(segment.segment_name(number), create=True).write_at(0, data)
    journal = reopened(disk)
    assert journal.configuration() == (1, Configuration(CLUSTER, ()))
    assert (journal.damage is not None) == any(data.strip(b"\0") for data in files)
