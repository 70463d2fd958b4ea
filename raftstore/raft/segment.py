"""The bytes of a journal segment: header, records, and how to tell a torn record from a damaged one.

A segment is a file of zeros that fills with records from its second sector on; its first sector is the
header. A record is

    word      4  kind and flags in the low byte, length of the body above it
    check     4  complement of the word: a length that passes it can be trusted
    crc       4  CRC32C of index, term and body, seeded with salt ^ offset ^ word
    index     8
    term      8
    body      n
    trailer   1  never zero

little endian. The salt comes from cluster, member and segment number, so a record is good in one place
only: one that was copied, or left over from another use of the same blocks, never is.

Torn or damaged. A disk writes whole sectors of 512 bytes, and the room ahead of the log is zero (zeros
are synced before data is written over them, and so is the cut of a bad tail). A crash before a sync leaves
any subset of the sectors of the last write as they were: zero from the record's start on. Every sector
part of a record carries a byte that is not zero (kind first, trailer last, and a body with 256 zeros in a
row is stuffed), hence: a bad record is torn if and only if one of its sector parts is all zero. This is
how etcd's WAL decides it (server/storage/wal/decoder.go, isTornEntry), made exact. A sector that held
the end of an earlier record is rewritten with the same bytes, so a torn write cannot touch that record.

One write is synced before the next one begins, and the first record of each write says so (FIRST). A
zeroed sector before such a record was durable once: it is damage, whatever it looks like.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

import crc32c as crc32c_package
import msgspec

from ..disk import SECTOR_BYTES
from ..errors import UnknownFormat, WrongCluster
from .engine import Configuration

crc32c = crc32c_package.crc32c

FORMAT_VERSION = 1
SUFFIX = ".journal"

ENTRY = 0xA1
CONFIGURATION = 0xA2  # an entry that the journal decodes
TRUNCATE = 0xA3  # index: the first one dropped
VOTE = 0xA4  # index: whom the vote of this term went to, 0 for nobody
CHECKPOINT = 0xA5  # body: a Checkpoint; stands at each segment's start and after each trim

FLAG_FIRST = 0x08
FLAG_STUFFED = 0x10
KIND_MASK = 0xFF ^ FLAG_FIRST ^ FLAG_STUFFED
KINDS = (ENTRY, CONFIGURATION, TRUNCATE, VOTE, CHECKPOINT)

RECORDS_START = SECTOR_BYTES
RECORD_HEAD = struct.Struct("<IIIQQ")
RECORD_HEAD_BYTES = RECORD_HEAD.size
CRC_FROM = 12  # offset of the first byte the CRC covers
WORD_MASK = 0xFFFFFFFF
BODY_BYTES_MAX = (1 << 24) - 1
TRAILER_BYTE = 0xE7
TRAILER = bytes((TRAILER_BYTE,))
RECORD_EXTRA_BYTES = RECORD_HEAD_BYTES + len(TRAILER)

_MAGIC = b"KMINIJRN"
_HEADER = struct.Struct("<8sHHQQQQQ8x")
_HEADER_CRC = struct.Struct("<I")
_SALT = struct.Struct("<QQQ")
_CHECKED = struct.Struct("<QQ")
_CHUNKS = struct.Struct("<III")
_WORDS = struct.Struct("<II")

_STUFFING = TRAILER
_STUFF_EVERY = 256
_ZERO_RUN = bytes(_STUFF_EVERY)
_ANY_KIND = re.compile(
    b"[" + bytes(kind | flags for kind in KINDS for flags in (0, 0x08, 0x10, 0x18)).replace(b"]", b"\\]") + b"]"
)


class Header(NamedTuple):
    """`last_index` and `last_term` are those of the log when the segment was begun."""

    sequence: int
    cluster_id: int
    member_id: int
    last_index: int
    last_term: int


class Checkpoint(msgspec.Struct, frozen=True, array_like=True):
    """All that a reader must know of what came before, so that it may be gone.

    Entries up to `base_index` are in a durable snapshot; `last_index` is the log's end at this place.
    """

    base_index: int
    base_term: int
    configuration: Configuration  # as of base_index
    term: int
    voted_for: int
    last_index: int


class Record(NamedTuple):
    """A record that was found good. `end` is the offset behind it."""

    kind: int
    first: bool
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody calls on a record
    term: int
    body: bytes
    end: int


_checkpoint_encoder = msgspec.msgpack.Encoder()
_checkpoint_decoder = msgspec.msgpack.Decoder(Checkpoint)


def segment_name(sequence: int) -> str:
    return f"{sequence:016x}{SUFFIX}"


def segment_sequence(name: str) -> int | None:
    """The number of a segment's file name; None for any other name."""
    digits = name.removesuffix(SUFFIX)
    if digits == name or len(digits) != 16 or not re.fullmatch("[0-9a-f]{16}", digits):
        return None
    return int(digits, 16)


def segment_salt(cluster_id: int, member_id: int, sequence: int) -> int:
    return int(crc32c(_SALT.pack(cluster_id, member_id, sequence)))


# --- header ---------------------------------------------------------------------------------------


def encode_header(header: Header) -> bytes:
    """One sector."""
    fields = _HEADER.pack(
        _MAGIC,
        FORMAT_VERSION,
        0,
        header.sequence,
        header.cluster_id,
        header.member_id,
        header.last_index,
        header.last_term,
    )
    return (fields + _HEADER_CRC.pack(crc32c(fields))).ljust(SECTOR_BYTES, b"\0")


def decode_header(data: bytes) -> Header | None:
    """None when the sector is no good header. Raises UnknownFormat for one of another version."""
    if len(data) < _HEADER.size + _HEADER_CRC.size or not data.startswith(_MAGIC):
        return None
    fields = data[: _HEADER.size]
    if _HEADER_CRC.unpack_from(data, _HEADER.size)[0] != crc32c(fields):
        return None
    _, version, _, *numbers = _HEADER.unpack(fields)
    if version != FORMAT_VERSION:
        raise UnknownFormat(
            f"journal segment of format {version}, this version reads {FORMAT_VERSION}: upgrade this replica first"
        )
    return Header(*numbers)


def check_owner(header: Header, cluster_id: int, member_id: int, name: str) -> None:
    """Raises WrongCluster when the segment is another member's."""
    if (header.cluster_id, header.member_id) != (cluster_id, member_id):
        raise WrongCluster(
            f"journal file {name} belongs to member {header.member_id:016x} of cluster {header.cluster_id:016x}, "
            f"not to member {member_id:016x} of cluster {cluster_id:016x}"
        )


# --- records --------------------------------------------------------------------------------------


def seal(kind: int, index: int, term: int, body: bytes, salt: int, offset: int) -> tuple[bytes, bytes, bytes, bytes]:
    """The record's bytes at `offset`, in parts to be joined. `body` is stuffed already if it must be."""
    word = kind | len(body) << 8
    checked = _CHECKED.pack(index, term)
    crc = crc32c(body, crc32c(checked, salt ^ offset ^ word))
    return _CHUNKS.pack(word, word ^ WORD_MASK, crc), checked, body, TRAILER


def needs_stuffing(body: bytes) -> bool:
    """Whether 256 zero bytes stand in a row. (Every such row covers a position of the sample.)"""
    return 0 in body[_STUFF_EVERY - 1 :: _STUFF_EVERY] and _ZERO_RUN in body


def stuff(body: bytes) -> bytes:
    """Put a byte that is not zero before every 255 bytes."""
    step = _STUFF_EVERY - 1
    return b"".join(_STUFFING + body[start : start + step] for start in range(0, len(body), step))


def unstuff(body: bytes) -> bytes:
    return b"".join(body[start + 1 : start + _STUFF_EVERY] for start in range(0, len(body), _STUFF_EVERY))


def encode_checkpoint(checkpoint: Checkpoint) -> bytes:
    return _checkpoint_encoder.encode(checkpoint)


def decode_checkpoint(body: bytes) -> Checkpoint:
    """Raises msgspec.DecodeError: a body whose CRC holds does not decode, which is a defect of ours."""
    return _checkpoint_decoder.decode(body)


def read_record(data: bytes, offset: int, salt: int) -> Record | None:
    """The record at `offset` when it is good."""
    if offset + RECORD_EXTRA_BYTES > len(data):
        return None
    word, check, crc, index, term = RECORD_HEAD.unpack_from(data, offset)
    if word ^ check != WORD_MASK or (word & KIND_MASK) not in KINDS:
        return None
    end = offset + RECORD_HEAD_BYTES + (word >> 8)
    if end >= len(data) or data[end] != TRAILER_BYTE:
        return None
    if crc32c(memoryview(data)[offset + CRC_FROM : end], salt ^ offset ^ word) != crc:
        return None
    body = data[offset + RECORD_HEAD_BYTES : end]
    if word & FLAG_STUFFED:
        body = unstuff(body)
    return Record(word & KIND_MASK, bool(word & FLAG_FIRST), index, term, body, end + 1)


def records_from(data: bytes, offset: int, salt: int) -> Iterator[tuple[int, Record]]:
    """Every good record at or behind `offset`, with its offset, looking over whatever is bad."""
    while match := _ANY_KIND.search(data, offset):
        offset = match.start()
        record = read_record(data, offset, salt)
        if record is None:
            offset += 1
        else:
            yield offset, record
            offset = record.end


def is_zero(data: bytes, start: int, end: int) -> bool:
    """Whether [start, end) holds only zeros; what lies beyond the file's end counts as zero."""
    return not data[start:end].strip(b"\0")


def is_torn(data: bytes, offset: int) -> bool:
    """Whether the bad record at `offset` was never wholly written (also: nothing was ever written there)."""
    if is_zero(data, offset, offset + 1):
        return is_zero(data, offset, _sector_end(offset))
    if offset + _WORDS.size > len(data):
        return _has_zero_part(data, offset, offset + _WORDS.size)
    word, check = _WORDS.unpack_from(data, offset)
    length = word >> 8
    if word ^ check != WORD_MASK:
        return _has_zero_part(data, offset, offset + _WORDS.size)
    return _has_zero_part(data, offset, offset + RECORD_EXTRA_BYTES + length)


def _sector_end(offset: int) -> int:
    return offset - offset % SECTOR_BYTES + SECTOR_BYTES


def _has_zero_part(data: bytes, start: int, end: int) -> bool:
    while start < end:
        part_end = min(_sector_end(start), end)
        if is_zero(data, start, part_end):
            return True
        start = part_end
    return False
