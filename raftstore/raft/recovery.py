"""Reading a journal back: what the records say, in order, and what to think of the bad ones.

Reading starts nowhere: a segment's first record is a checkpoint, and only a checkpoint whose snapshot
covers everything unread before it gives the log a base. A bad place in the middle is treated the same
way: reading goes on behind it, from nowhere. If a later checkpoint covers what was lost, the damage is
harmless. If none does, the caller is asked for its newest good snapshot: that covers the damage if it
reaches the entries behind, and if term and vote were written again behind it. Otherwise the log ends before
the bad place, and the journal is damaged.

Term and vote are taken from every good record, also from those behind a bad place: they can only keep
this member from voting twice.

Nothing here writes; journal.py mends what this room finds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

from ..errors import IntegrityError
from . import segment
from .configuration import decode_configuration
from .engine import Configuration
from .log_index import LogIndex, position_of
from .segment import RECORDS_START

_UNKNOWN = -1
_NOBODY = Configuration(0, ())


class Damage(msgspec.Struct, frozen=True):
    """A bad place that no snapshot covers. Entries up to `last_good_index` are kept."""

    file: str
    offset: int  # bytes
    last_good_index: int
    reason: str


class Base(NamedTuple):
    """What a durable snapshot holds: everything up to `index`."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody calls on a base
    term: int
    configuration: Configuration


class SegmentInfo(NamedTuple):
    """A segment in use. `start_index` is the log's last index when it was begun; None when unreadable."""

    sequence: int
    name: str
    start_index: int | None


class Tail(NamedTuple):
    """Where the next record goes. `clean` says that only zeros follow."""

    sequence: int
    offset: int
    clean: bool


class _Before(NamedTuple):
    """The log as it stood before a bad place. `based` False: what it stands on must still be found."""

    log: LogIndex
    based: bool
    sequence: int
    offset: int


class Recovered:
    """What a journal's segments hold. `log` is None when there is no base to stand on."""

    def __init__(self) -> None:
        self.log: LogIndex | None = None
        self.term = 0
        self.voted_for = 0
        self.damage: Damage | None = None
        self.harmless: list[Damage] = []
        self.rebased = False  # only the caller's snapshot gave the log its base; no record says so yet
        self.segments: list[SegmentInfo] = []
        self.unused: list[str] = []  # files of segments that never held a synced record
        self.tail: Tail | None = None


def recover(
    names: Iterable[str],
    read: Callable[[str], bytes],
    *,
    cluster_id: int,
    member_id: int,
    snapshot: Callable[[], Base | None] = lambda: None,
) -> Recovered:
    """Read the segments among `names`. `snapshot` is called only when the journal alone has no base.

    Raises UnknownFormat, WrongCluster, OSError, and what `snapshot` raises.
    """
    reader = _Reader(cluster_id, member_id)
    numbered = sorted((sequence, name) for name in names if (sequence := segment.segment_sequence(name)) is not None)
    unused: list[str] = []
    while numbered and _never_used(read(numbered[-1][1]), reader.salt(numbered[-1][0])):
        unused.append(numbered.pop()[1])
    for sequence, name in numbered:
        reader.read_segment(sequence, name, read(name), last=sequence == numbered[-1][0])
    reader.finish(snapshot)
    reader.found.unused = unused
    return reader.found


def _never_used(data: bytes, salt: int) -> bool:
    """Its header never reached the disk, and no write that came after the header's was begun."""
    if not segment.is_zero(data, 0, RECORDS_START):
        return False
    return not _synced_behind(data, RECORDS_START, salt, skip_start=True)


def _synced_behind(data: bytes, offset: int, salt: int, *, skip_start: bool = False) -> bool:
    """Whether a write was begun behind `offset`: then what lies before it had been synced."""
    return any(
        record.first and not (skip_start and at == RECORDS_START)
        for at, record in segment.records_from(data.rstrip(b"\0"), offset, salt)
    )


class _Reader:
    def __init__(self, cluster_id: int, member_id: int) -> None:
        self.found = Recovered()
        self._owner = (cluster_id, member_id)
        self._log = LogIndex(0, 0, _NOBODY)
        self._based = False  # the log's base is known
        self._first_known = False  # the log's base_index is the true index before its first entry
        self._vote_known = False  # term and vote were written since the bad place
        self._gap: Damage | None = None
        self._before: _Before | None = None
        self._newest_base: Base | None = None  # of all checkpoints, wherever they stand
        self._sequence = 0
        self._name = ""

    def salt(self, sequence: int) -> int:
        return segment.segment_salt(*self._owner, sequence)

    # --- segments ---

    def read_segment(self, sequence: int, name: str, data: bytes, *, last: bool) -> None:
        self._sequence, self._name = sequence, name
        header = segment.decode_header(data)
        start_index: int | None = None
        if header is None:
            self._open_gap(0, "the segment's header is bad")
        else:
            segment.check_owner(header, *self._owner, name)
            start_index = header.last_index
            if header.sequence != sequence:
                self._open_gap(0, f"the header is that of segment {header.sequence}")
        self.found.segments.append(SegmentInfo(sequence, name, start_index))
        salt = self.salt(sequence)
        offset = self._read_records(data, RECORDS_START, salt)
        while not self._is_end(data, offset, salt, last=last):
            self._open_gap(offset, "a record is bad though all of it was written")
            offset = next((at for at, _ in segment.records_from(data, offset + 1, salt)), len(data))
            offset = self._read_records(data, offset, salt)
        self.found.tail = Tail(sequence, offset, segment.is_zero(data, offset, len(data)))

    def _is_end(self, data: bytes, offset: int, salt: int, *, last: bool) -> bool:
        """Whether the log of this segment ends here. Only the last one can end in a torn write."""
        if segment.is_zero(data, offset, len(data)):
            return True
        return last and segment.is_torn(data, offset) and not _synced_behind(data, offset + 1, salt)

    def _read_records(self, data: bytes, offset: int, salt: int) -> int:
        """Read good records from `offset` on; the offset of the first that is not. The loop that start-up waits for."""
        view = memoryview(data)
        end_max = len(data) - 1
        unpack, crc32c, head_bytes = segment.RECORD_HEAD.unpack_from, segment.crc32c, segment.RECORD_HEAD_BYTES
        trailer = segment.TRAILER_BYTE
        log, origin = self._log, position_of(self._sequence, 0)
        expected = self._expected()
        while offset + head_bytes <= end_max:
            word, check, crc, index, term = unpack(data, offset)
            end = offset + head_bytes + (word >> 8)
            if word ^ check != segment.WORD_MASK or end > end_max or data[end] != trailer:
                break
            if crc32c(view[offset + segment.CRC_FROM : end], salt ^ offset ^ word) != crc:
                break
            if word & segment.KIND_MASK == segment.ENTRY and index == expected:
                log.positions.append(origin | offset)
                log.lengths.append(word >> 8)
                log.terms.append(term)
                expected += 1
            else:
                record = segment.read_record(data, offset, salt)
                if record is None:  # a kind that does not exist
                    break
                self._take(record, offset, word >> 8)
                log, expected = self._log, self._expected()
            offset = end + 1
        return offset

    def _expected(self) -> int:
        return self._log.last_index + 1 if self._first_known else _UNKNOWN

    # --- records ---

    def _take(self, record: segment.Record, offset: int, length: int) -> None:
        try:
            if record.kind == segment.VOTE:
                self._vote(record.term, record.index)
            elif record.kind == segment.TRUNCATE:
                self._truncate(record.index, offset)
            elif record.kind == segment.CHECKPOINT:
                self._checkpoint(segment.decode_checkpoint(record.body), offset)
            else:
                self._entry(record, offset, length)
        except (msgspec.DecodeError, IntegrityError) as error:
            self._open_gap(offset, f"a record does not decode: {error}")

    def _vote(self, term: int, voted_for: int) -> None:
        self._vote_known = True
        if term > self.found.term or (term == self.found.term and voted_for):
            self.found.term, self.found.voted_for = term, voted_for

    def _entry(self, record: segment.Record, offset: int, length: int) -> None:
        configuration = decode_configuration(record.body) if record.kind == segment.CONFIGURATION else None
        if self._first_known and record.index != self._log.last_index + 1:
            self._open_gap(offset, f"entry {record.index} follows entry {self._log.last_index}")
        if not self._first_known:
            self._restart(record.index - 1)
        self._log.positions.append(position_of(self._sequence, offset))
        self._log.lengths.append(length)
        self._log.terms.append(record.term)
        if configuration is not None:
            self._log.configurations.append((record.index, configuration))

    def _truncate(self, index: int, offset: int) -> None:
        if not self._first_known or index > self._log.base_index:
            if self._first_known and index <= self._log.last_index:
                self._log.truncate_from(index)
        elif self._based:
            self._open_gap(offset, f"entries from {index} are dropped though a snapshot holds {self._log.base_index}")
        else:
            self._restart(index - 1)

    def _checkpoint(self, checkpoint: segment.Checkpoint, offset: int) -> None:
        self._vote(checkpoint.term, checkpoint.voted_for)
        base_index, last_index = checkpoint.base_index, checkpoint.last_index
        if self._newest_base is None or base_index >= self._newest_base.index:
            self._newest_base = Base(base_index, checkpoint.base_term, checkpoint.configuration)
        if base_index == last_index:
            self._restart(base_index)
        elif not self._first_known:
            self._restart(last_index)
        elif last_index != self._log.last_index:
            self._open_gap(offset, f"the log should end at {last_index} here and ends at {self._log.last_index}")
            self._restart(last_index)
        elif self._based and self._log.term_at(base_index) not in (checkpoint.base_term, None):
            self._open_gap(offset, f"entry {base_index} has another term than its snapshot")
            self._restart(last_index)
        if base_index >= self._log.base_index:
            self._log.move_base(base_index, checkpoint.base_term, checkpoint.configuration)
            self._close_gap()

    # --- gaps ---

    def _restart(self, base_index: int) -> None:
        """The log is empty behind `base_index`."""
        self._log = LogIndex(base_index, 0, _NOBODY)
        self._first_known, self._based = True, False

    def _open_gap(self, offset: int, reason: str) -> None:
        if self._gap is None:
            self._gap = Damage(self._name, offset, 0, reason)
            self._before = _Before(self._log, self._based, self._sequence, offset) if self._first_known else None
        self._log = LogIndex(0, 0, _NOBODY)
        self._first_known = self._based = self._vote_known = False

    def _close_gap(self) -> None:
        self._based = True
        if self._gap is not None:
            self.found.harmless.append(self._gap)
            self._gap = self._before = None

    def _try_snapshot(self, snapshot: Callable[[], Base | None]) -> None:
        """The log behind the bad place may stand on a snapshot that no checkpoint tells of."""
        if not (self._first_known and self._vote_known):
            return
        base, log = snapshot(), self._log
        if base is None or not log.base_index <= base.index <= log.last_index:
            return
        if base.index > log.base_index and log.term_at(base.index) != base.term:
            return
        log.move_base(*base)
        self.found.rebased = True
        self._close_gap()

    def finish(self, snapshot: Callable[[], Base | None]) -> None:
        found = self.found
        if found.segments and not self._based:
            self._try_snapshot(snapshot)
        if self._based:
            found.log = self._log
            return
        found.tail = None
        if not found.segments:
            return
        found.log = self._kept(self._newest_base)
        damage = self._gap or Damage(found.segments[0].name, 0, 0, "the segments that the log begins with are missing")
        found.damage = msgspec.structs.replace(damage, last_good_index=found.log.last_index if found.log else 0)

    def _kept(self, base: Base | None) -> LogIndex | None:
        """The log before the damage. When it stands on nothing, the empty log behind the newest snapshot known."""
        before = self._before
        if before is not None:
            log = before.log
            if not before.based and base is not None and log.base_index <= base.index <= log.last_index:
                log.move_base(*base)
                before = before._replace(based=True)
            if before.based:
                self.found.tail = Tail(before.sequence, before.offset, clean=False)
                return log
        return LogIndex(*base) if base is not None else None
