"""The founding file: what it says is what was saved, or an error by name."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from raftstore.disk import RealDisk
from raftstore.errors import IntegrityError, UnknownFormat
from raftstore.identity import replace_file
from raftstore.raft.engine import Configuration, Member
from raftstore.raft.founding import Ballot, FoundingState
from raftstore.raft.founding_file import FILE_NAME, load, remove, save

STATE = FoundingState(
    member_id=5,
    list_digest="d",
    promised=Ballot(2, 5),
    accepted_ballot=Ballot(1, 4),
    accepted=Configuration(7, (Member(5, "n1", "10.0.0.1:1"),)),
)


def test_saved_and_loaded_and_removed(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    assert load(disk) is None
    save(disk, STATE)
    assert load(disk) == STATE
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600
    remove(disk)
    remove(disk)
    assert load(disk) is None


def test_any_flipped_bit_is_noticed(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    save(disk, STATE)
    good = (tmp_path / FILE_NAME).read_bytes()
    for offset in range(len(good)):
        bad = bytearray(good)
        bad[offset] ^= 1
        replace_file(disk, FILE_NAME, bytes(bad))
        with pytest.raises((IntegrityError, UnknownFormat)):
            load(disk)


def test_another_format_is_refused_by_name(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    replace_file(disk, FILE_NAME, b"kmini-founding 9 00000000\n")
    with pytest.raises(UnknownFormat, match="format"):
        load(disk)
