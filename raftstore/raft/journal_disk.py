"""The journal's hands: what runs on the lane's thread, and how entries are read back.

`SegmentWriter` belongs to the lane: nothing else writes. Zeros are written ahead of the log in steps, so
that a write of data neither grows a file nor touches the file system's own journal, and the next segment
is made before it is needed.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

import msgspec

from ..disk import Disk, DiskFile, opened
from ..failpoint import failpoint
from ..limits import MIB
from . import segment
from .damage import remove_flag

#: Errors that a retry may cure: the disk or the quota was full.
FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT})


class JournalOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`segment_bytes`: where a segment ends. `fill_bytes`: how far zeros are written ahead at a time.

    `recent_bytes`: payloads kept in memory beyond those that are not on disk yet.
    """

    segment_bytes: int = 16 * MIB
    fill_bytes: int = MIB // 4
    recent_bytes: int = 8 * MIB

    def __post_init__(self) -> None:
        if not 2 * segment.RECORDS_START < self.fill_bytes <= self.segment_bytes < 1 << 31:
            raise ValueError(f"journal: need 1024 < fill_bytes <= segment_bytes < 2**31, got {self}")
        if self.fill_bytes % segment.RECORDS_START:
            raise ValueError(f"journal: fill_bytes must be whole sectors, got {self.fill_bytes}")


class Chunk:
    """Bytes that go to one segment, in order, from `offset` on."""

    __slots__ = ("offset", "parts", "sequence", "size")

    def __init__(self, sequence: int, offset: int) -> None:
        self.sequence = sequence
        self.offset = offset
        self.size = 0
        self.parts: list[bytes] = []


class SegmentWriter:
    """Segments open for writing; at most two at a time."""

    def __init__(self, disk: Disk, options: JournalOptions) -> None:
        self._disk = disk
        self._options = options
        self._files: dict[int, DiskFile] = {}
        self._filled: dict[int, int] = {}
        self._names_changed = False

    def write(self, chunk: Chunk) -> None:
        """Write and sync one chunk. Raises OSError; may then be called again with the same chunk."""
        file = self._file(chunk.sequence)
        end = chunk.offset + chunk.size
        self._fill(chunk.sequence, file, end)
        failpoint("journal_before_write")
        file.write_at(chunk.offset, b"".join(chunk.parts))
        failpoint("journal_after_write")
        file.sync()
        failpoint("journal_after_sync")
        self.sync_names()
        self._retire(chunk.sequence)

    def adopt(self, sequence: int, end: int, *, cut: bool) -> None:
        """Go on writing a segment found at start: everything in it is synced, and zeros follow `end`."""
        file = self._file(sequence)
        if cut:
            zero_from(file, end)
        file.sync()

    def sync_names(self) -> None:
        if self._names_changed:
            self._disk.sync_folder()
            self._names_changed = False

    def remove(self, names: Sequence[str]) -> None:
        """Remove segments that nothing needs any more; the oldest first."""
        for name in names:
            if self._disk.exists(name):
                self._disk.remove(name)
                self._names_changed = True
        self.sync_names()

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _file(self, sequence: int) -> DiskFile:
        file = self._files.get(sequence)
        if file is None:
            name = segment.segment_name(sequence)
            if not self._disk.exists(name):
                failpoint("journal_before_segment")
                self._names_changed = True
            file = self._files[sequence] = self._disk.open(name, create=True)
            self._filled[sequence] = file.size()  # zeros or records, whatever stands there
        return file

    def _fill(self, sequence: int, file: DiskFile, end: int) -> None:
        """Zeros at least up to `end`, in whole steps."""
        filled, step = self._filled[sequence], self._options.fill_bytes
        while filled < end:
            target = filled - filled % step + step
            file.write_at(filled, bytes(target - filled))
            filled = self._filled[sequence] = target

    def prepare(self, sequence: int, end: int, ahead_sequence: int) -> None:
        """Write zeros ahead, and make the next segment. A full disk is no error yet: nothing is waiting for it."""
        step, size = self._options.fill_bytes, self._options.segment_bytes
        file = self._file(sequence)
        try:
            if self._filled[sequence] - end < step // 2 and self._filled[sequence] < size:
                self._fill(sequence, file, self._filled[sequence] + step)
            if end > size // 2 and self._filled.get(ahead_sequence, 0) == 0:
                following = self._file(ahead_sequence)
                self._fill(ahead_sequence, following, step)
                following.sync()
                self.sync_names()
        except OSError as error:
            if error.errno not in FULL_ERRNOS:
                raise

    def _retire(self, sequence: int) -> None:
        for earlier in [number for number in self._files if number < sequence]:
            self._files.pop(earlier).close()
            del self._filled[earlier]


class SyncWork:
    """Everything written to the journal since the last work. `run` is called on the lane; again after a full disk."""

    def __init__(
        self,
        writer: SegmentWriter,
        chunks: Sequence[Chunk],
        *,
        ahead_sequence: int,
        removals: Sequence[str],
        clears_damage: bool,
        disk: Disk,
        marks: Marks,
    ) -> None:
        self.marks = marks
        self.clears_damage = clears_damage
        self._writer = writer
        self._chunks = chunks
        self._ahead_sequence = ahead_sequence
        self._removals = removals
        self._disk = disk

    @property
    def bytes_count(self) -> int:
        return sum(chunk.size for chunk in self._chunks)

    def run(self) -> None:
        """One write and one fdatasync per segment (there are two once per segment). Raises OSError."""
        for chunk in self._chunks:
            self._writer.write(chunk)
        if self.clears_damage:
            remove_flag(self._disk)
        if self._removals:
            failpoint("journal_before_removal")
            self._writer.remove(self._removals)
        last = self._chunks[-1]
        self._writer.prepare(last.sequence, last.offset + last.size, self._ahead_sequence)


class Marks(msgspec.Struct, frozen=True):
    """What is durable once a work is."""

    written: int
    last_index: int
    term: int
    voted_for: int


class SegmentReader:
    """Reads entries back from segments that are on disk; keeps a few files open."""

    FILES_MAX = 8

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._files: dict[int, DiskFile] = {}

    def read(self, sequence: int, offset: int, length: int) -> bytes:
        file = self._files.get(sequence)
        if file is None:
            if len(self._files) >= self.FILES_MAX:
                self._files.pop(next(iter(self._files))).close()
            file = self._files[sequence] = self._disk.open(segment.segment_name(sequence))
        return file.read_at(offset, length)

    def forget_below(self, sequence: int) -> None:
        for number in [number for number in self._files if number < sequence]:
            self._files.pop(number).close()

    def close(self) -> None:
        self.forget_below(1 << 62)


def zero_from(file: DiskFile, offset: int) -> None:
    """Zero everything from `offset` on, so that nothing old is ever read behind something new. Not synced."""
    size = file.size()
    while offset < size:
        step = min(MIB, size - offset)
        file.write_at(offset, bytes(step))
        offset += step


def read_whole(disk: Disk, name: str) -> bytes:
    with opened(disk, name) as file:
        return file.read_at(0, file.size())
