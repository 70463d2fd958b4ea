"""The identity file: written once, whole or not at all, and refused when it is not right."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from raftstore.disk import RealDisk
from raftstore.errors import IntegrityError, UnknownFormat
from raftstore.identity import FILE_NAME, Identity, read_identity, replace_file, write_identity

OURS = Identity(0xABC, 0x123, "n1")


def test_written_and_read_with_mode_0600(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    assert read_identity(disk) is None
    write_identity(disk, OURS)
    assert read_identity(disk) == OURS
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600
    assert OURS.peer.uri == "kmini://0000000000000abc/member/0000000000000123"
    assert disk.names() == [FILE_NAME]


def test_never_changed(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    write_identity(disk, OURS)
    write_identity(disk, OURS)
    with pytest.raises(IntegrityError, match="belongs to member"):
        write_identity(disk, Identity(0xABC, 0x124, "n1"))
    assert read_identity(disk) == OURS


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", IntegrityError),
        (b"nonsense", IntegrityError),
        (b"[]", IntegrityError),
        (b"{}", IntegrityError),
        (b'{"format": 1}', IntegrityError),
        (b'{"format": 1, "cluster_id": "zz", "member_id": "1", "name": "n"}', IntegrityError),
        (b'{"format": 1, "cluster_id": 1, "member_id": "1", "name": "n"}', IntegrityError),
        (b'{"format": 1, "cluster_id": "0", "member_id": "1", "name": "n"}', IntegrityError),
        (b'{"format": 1, "cluster_id": "1", "member_id": "ffffffffffffffff", "name": "n"}', IntegrityError),
        (b'{"format": 1, "cluster_id": "1", "member_id": "1", "name": ""}', IntegrityError),
        (b'{"format": 2, "anything": 1}', UnknownFormat),
    ],
)
def test_a_file_that_is_not_right_is_refused(tmp_path: Path, content: bytes, error: type[Exception]) -> None:
    disk = RealDisk(tmp_path)
    replace_file(disk, FILE_NAME, content)
    with pytest.raises(error, match=FILE_NAME):
        read_identity(disk)


def test_a_crash_while_writing_leaves_the_former_file(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    replace_file(disk, "file", b"former, and longer")

    class Crash(Exception):
        pass

    class Crashing(RealDisk):
        def rename(self, old: str, new: str) -> None:
            raise Crash

    with pytest.raises(Crash):
        replace_file(Crashing(tmp_path), "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"former, and longer"
    replace_file(disk, "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


def test_the_file_is_readable_by_people(tmp_path: Path) -> None:
    write_identity(RealDisk(tmp_path), OURS)
    assert json.loads((tmp_path / FILE_NAME).read_text())["member_id"] == "0000000000000123"
