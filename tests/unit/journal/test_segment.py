"""Records: a good one is good in one place only, a torn one is told from a damaged one exactly."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftstore.disk import SECTOR_BYTES
from raftstore.errors import UnknownFormat, WrongCluster
from raftstore.raft import segment
from raftstore.raft.segment import RECORDS_START

SALT = segment.segment_salt(1, 2, 3)

BODIES = st.one_of(
    st.binary(max_size=200),
    st.integers(0, 5000).map(bytes),
    st.tuples(st.binary(max_size=300), st.integers(0, 2000), st.binary(max_size=300)).map(
        lambda parts: parts[0] + bytes(parts[1]) + parts[2]
    ),
)


def sealed(body: bytes, offset: int, *, salt: int = SALT, index: int = 5, term: int = 1) -> bytes:
    kind = segment.ENTRY
    if segment.needs_stuffing(body):
        body, kind = segment.stuff(body), kind | segment.FLAG_STUFFED
    return b"".join(segment.seal(kind, index, term, body, salt, offset))


def placed(record: bytes, offset: int) -> bytearray:
    data = bytearray(offset + len(record) + 3 * SECTOR_BYTES)
    data[offset : offset + len(record)] = record
    return data


@given(BODIES, st.integers(RECORDS_START, 4 * SECTOR_BYTES), st.integers(0, 1 << 63), st.integers(0, 1 << 63))
def test_a_record_reads_back(body: bytes, offset: int, index: int, term: int) -> None:
    data = bytes(placed(sealed(body, offset, index=index, term=term), offset))
    record = segment.read_record(data, offset, SALT)
    assert record is not None
    assert (record.body, record.index, record.term, record.kind) == (body, index, term, segment.ENTRY)


@given(BODIES, st.integers(RECORDS_START, 4 * SECTOR_BYTES))
def test_every_sector_part_of_a_record_has_a_byte_that_is_not_zero(body: bytes, offset: int) -> None:
    record = sealed(body, offset, index=0, term=0)
    data = bytes(placed(record, offset))
    at, end = offset, offset + len(record)
    while at < end:
        part_end = min(at - at % SECTOR_BYTES + SECTOR_BYTES, end)
        assert any(data[at:part_end])
        at = part_end


@given(BODIES, st.integers(RECORDS_START, 4 * SECTOR_BYTES), st.data())
def test_a_record_with_a_sector_still_zero_is_torn(body: bytes, offset: int, data: st.DataObject) -> None:
    record = sealed(body, offset)
    image = placed(record, offset)
    sectors = range(offset // SECTOR_BYTES, (offset + len(record) - 1) // SECTOR_BYTES + 1)
    lost = data.draw(st.sets(st.sampled_from(sectors), min_size=1))
    for sector in lost:
        start = max(offset, sector * SECTOR_BYTES)
        end = min(offset + len(record), (sector + 1) * SECTOR_BYTES)
        image[start:end] = bytes(end - start)
    assert segment.read_record(bytes(image), offset, SALT) is None
    assert segment.is_torn(bytes(image), offset)


@given(BODIES, st.integers(RECORDS_START, 4 * SECTOR_BYTES), st.data())
def test_a_flipped_bit_is_found_and_never_taken_for_a_torn_write(body: bytes, offset: int, data: st.DataObject) -> None:
    record = sealed(body, offset)
    image = placed(record, offset)
    at = offset + data.draw(st.integers(0, len(record) - 1))
    image[at] ^= 1 << data.draw(st.integers(0, 7))
    assert segment.read_record(bytes(image), offset, SALT) is None
    assert not segment.is_torn(bytes(image), offset)


@given(st.binary(min_size=1, max_size=300), st.integers(1, 100))
def test_a_record_is_good_only_where_it_was_written(body: bytes, moved: int) -> None:
    record = sealed(body, RECORDS_START)
    elsewhere = bytes(placed(record, RECORDS_START + moved))
    assert segment.read_record(elsewhere, RECORDS_START + moved, SALT) is None
    for other in ((9, 2, 3), (1, 9, 3), (1, 2, 9)):
        here = bytes(placed(record, RECORDS_START))
        assert segment.read_record(here, RECORDS_START, segment.segment_salt(*other)) is None


def test_good_records_are_found_behind_garbage() -> None:
    garbage = random.Random(5).randbytes(3000)
    offset = RECORDS_START + len(garbage)
    data = bytes(RECORDS_START) + garbage + sealed(b"found", offset) + sealed(b"", offset + 34)
    assert [(at, record.body) for at, record in segment.records_from(data, RECORDS_START, SALT)] == [
        (offset, b"found"),
        (offset + 34, b""),
    ]


def test_the_header_says_whose_segment_it_is() -> None:
    header = segment.Header(sequence=7, cluster_id=1, member_id=2, last_index=30, last_term=4)
    encoded = segment.encode_header(header)
    assert len(encoded) == SECTOR_BYTES
    assert segment.decode_header(encoded) == header
    segment.check_owner(header, 1, 2, "x")
    with pytest.raises(WrongCluster, match="member 0000000000000002"):
        segment.check_owner(header, 1, 3, "x")


@pytest.mark.parametrize("at", range(64))
def test_a_flipped_bit_in_the_header_is_found(at: int) -> None:
    encoded = bytearray(segment.encode_header(segment.Header(7, 1, 2, 30, 4)))
    encoded[at] ^= 4
    assert segment.decode_header(bytes(encoded)) is None


def test_a_segment_of_another_format_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment, "FORMAT_VERSION", 9)
    encoded = segment.encode_header(segment.Header(7, 1, 2, 30, 4))
    monkeypatch.undo()
    with pytest.raises(UnknownFormat, match="format 9"):
        segment.decode_header(encoded)


def test_the_format_on_disk_is_this() -> None:
    """Files of this version must open for ever: change the bytes only together with the format version."""
    header = segment.encode_header(segment.Header(1, 2, 3, 4, 5))
    assert header[:64].hex() == (
        "4b4d494e494a524e010000000100000000000000020000000000000003000000"
        "000000000400000000000000050000000000000000000000000000002ba8d98d"
    )
    assert sealed(b"\x10\x01body", RECORDS_START).hex() == (
        "a10600005ef9ffff8c216d30050000000000000001000000000000001001626f6479e7"
    )
