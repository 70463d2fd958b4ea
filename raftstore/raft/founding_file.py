"""`DIR/raft/founding`: what a founding replica must not forget, until its identity is written.

One line with format version and CRC32, then msgpack. Replaced whole, synced, and removed once the replica's
journal and identity are on disk.
"""

from __future__ import annotations

import zlib

import msgspec

from ..disk import Disk, opened
from ..errors import IntegrityError, UnknownFormat
from ..identity import replace_file
from .founding import FoundingState

FILE_NAME = "founding"
FORMAT_VERSION = 1
FILE_BYTES_MAX = 1 << 20

_MAGIC = b"kmini-founding"


def save(disk: Disk, state: FoundingState) -> None:
    """Durable when it returns. Blocking; raises OSError."""
    body = msgspec.msgpack.encode(state)
    replace_file(disk, FILE_NAME, b"%s %d %08x\n%s" % (_MAGIC, FORMAT_VERSION, zlib.crc32(body), body))


def load(disk: Disk) -> FoundingState | None:
    """None when there is none. Raises UnknownFormat, IntegrityError, OSError."""
    if not disk.exists(FILE_NAME):
        return None
    with opened(disk, FILE_NAME) as file:
        raw = file.read_at(0, min(file.size(), FILE_BYTES_MAX))
    header, _, body = raw.partition(b"\n")
    fields = header.split(b" ")
    if len(fields) != 3 or fields[0] != _MAGIC:
        raise IntegrityError(f"file {FILE_NAME} is not one of ours")
    if fields[1] != b"%d" % FORMAT_VERSION:
        raise UnknownFormat(
            f"file {FILE_NAME} has format {fields[1].decode(errors='replace')}, this version reads {FORMAT_VERSION}: "
            "upgrade this replica first"
        )
    if fields[2] != b"%08x" % zlib.crc32(body):
        raise IntegrityError(
            f"file {FILE_NAME} is damaged: a promise may be lost; remove the data directory only if no replica "
            "of this cluster has started yet"
        )
    try:
        return msgspec.msgpack.decode(body, type=FoundingState)
    except msgspec.DecodeError as error:
        raise IntegrityError(f"file {FILE_NAME} does not decode: {error}") from error


def remove(disk: Disk) -> None:
    """After journal and identity are durable. Idempotent."""
    if disk.exists(FILE_NAME):
        disk.remove(FILE_NAME)
        disk.sync_folder()
