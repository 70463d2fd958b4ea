"""The durable log: entries, term and vote, in append-only segments.

What is in memory is always current; the disk follows. Every change becomes a record (segment.py) with the
place it will have on disk, and waits. `take` hands all that waits to the journal lane's thread as one
work, `SyncWork.run` writes and syncs it, `finish` moves the durable marks. One work at a time, so that a
group of changes costs one fdatasync, and a work is never begun before the one before it is durable.

    written >= durable          sequence numbers of changes; `durable >= n` says change n survives a power loss
    durable_index               every entry up to it is on disk as it is in memory
    durable_term                the term on disk, with its vote as it is in memory

A full disk loses nothing: the same work is taken again. Any other error means that nobody knows what is on
disk (a failed fsync drops what it could not write): the journal takes no more work and the replica stops.

What is bad is told from what is torn when the journal is opened (recovery.py), and set aside (damage.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..command import KIND_NOOP
from ..disk import Disk
from ..errors import JournalDamaged
from ..limits import MIB
from . import segment
from .configuration import decode_configuration, is_configuration
from .damage import Flag, read_flag, set_aside, write_flag
from .engine import Configuration, Entry
from .journal_disk import FULL_ERRNOS, Chunk, JournalOptions, Marks, SegmentReader, SegmentWriter, SyncWork, read_whole
from .log_index import LogIndex, position_of
from .recovery import Base, Damage, Recovered, SegmentInfo, recover
from .segment import RECORD_EXTRA_BYTES

__all__ = ["Base", "Damage", "Journal", "JournalOptions", "SyncWork"]

FIRST_INDEX = 1  # a fresh log's base: the core's own no-op, never delivered
_BASE_PAYLOAD = bytes((KIND_NOOP,))


class Journal:
    """One member's log. All methods but `SyncWork.run` belong to the loop; none of them waits for a disk write."""

    def __init__(
        self,
        disk: Disk,
        log: LogIndex,
        *,
        cluster_id: int,
        member_id: int,
        options: JournalOptions,
        segments: Iterable[SegmentInfo] = (),
        next_sequence: int = 1,
    ) -> None:
        """Use `open` or `create`."""
        self.cluster_id = cluster_id
        self.member_id = member_id
        self.damage: Damage | None = None
        self.harmless: list[Damage] = []  # bad places that a snapshot covers
        self.failed: JournalDamaged | None = None
        self.term = 0
        self.voted_for = 0
        self.written = 0
        self.durable = 0
        self.durable_index = 0
        self.durable_term = 0
        self.last_index = log.last_index
        self._log = log
        self._disk = disk
        self._options = options
        self._reader = SegmentReader(disk)
        self._writer = SegmentWriter(disk, options)
        self._closed = False
        # what waits for the disk
        self._chunks: list[Chunk] = []
        self._removals: list[str] = []
        self._clears_damage = False
        self._in_flight: SyncWork | None = None
        self._retry: SyncWork | None = None
        self._truncated_from = 1 << 63  # lowest index dropped since the work in flight was taken
        # where the next record goes
        self._segments: list[SegmentInfo] = list(segments)
        self._next_sequence = next_sequence
        self._sequence = 0  # 0: a segment must be begun
        self._salt = 0
        self._offset = options.segment_bytes
        self._records_start = 0  # a segment that is still here takes one record of any length
        self._first_flag = segment.FLAG_FIRST
        # payloads by index, lowest first; those not durable yet always, others up to a bound
        self._recent: dict[int, bytes] = {}
        self._recent_low = log.last_index + 1
        self._recent_bytes = 0

    # --- opening ---

    @classmethod
    def open(
        cls,
        disk: Disk,
        *,
        cluster_id: int,
        member_id: int,
        options: JournalOptions | None = None,
        snapshot: Callable[[], Base | None] = lambda: None,
    ) -> Journal:
        """Read the journal in the folder, mend its end, and make all of it durable. Blocking.

        `snapshot` tells the newest good one; it is asked only about damage that no trim covers. An empty
        folder becomes a fresh journal without members. Raises UnknownFormat, WrongCluster, and
        JournalDamaged when the device fails; damage to records is no error here: see `damage`.
        """
        try:
            return cls._open(disk, cluster_id, member_id, options or JournalOptions(), snapshot)
        except OSError as error:
            if error.errno in FULL_ERRNOS:
                raise
            raise JournalDamaged(f"the journal cannot be read: {error}") from error

    @classmethod
    def create(
        cls,
        disk: Disk,
        *,
        cluster_id: int,
        member_id: int,
        configuration: Configuration,
        base_index: int = FIRST_INDEX,
        base_term: int = 0,
        options: JournalOptions | None = None,
    ) -> Journal:
        """A fresh journal behind `base_index`, durable on return. Blocking.

        Raises JournalDamaged when the folder holds a journal already, OSError.
        """
        present = [name for name in disk.names() if segment.segment_sequence(name) is not None]
        found = recover(present, lambda name: read_whole(disk, name), cluster_id=cluster_id, member_id=member_id)
        if found.segments or read_flag(disk) is not None:
            raise JournalDamaged("the folder holds a journal already: nothing was changed")
        for name in present:
            disk.remove(name)
        log = LogIndex(base_index, base_term, configuration)
        journal = cls(disk, log, cluster_id=cluster_id, member_id=member_id, options=options or JournalOptions())
        journal._begin_segment()
        journal._sync_now()
        return journal

    @classmethod
    def _open(
        cls,
        disk: Disk,
        cluster_id: int,
        member_id: int,
        options: JournalOptions,
        snapshot: Callable[[], Base | None],
    ) -> Journal:
        names = disk.names()
        found = recover(
            names,
            lambda name: read_whole(disk, name),
            cluster_id=cluster_id,
            member_id=member_id,
            snapshot=snapshot,
        )
        flag = read_flag(disk)
        if flag is not None and flag.term >= found.term:
            voted_for = flag.voted_for if flag.term > found.term else flag.voted_for or found.voted_for
            found.term, found.voted_for = flag.term, voted_for
        if found.damage is not None:
            flag = Flag(found.damage, found.term, found.voted_for)
            write_flag(disk, flag)
            set_aside(disk, found)
        for name in found.unused:
            disk.remove(name)
        log = found.log or LogIndex(FIRST_INDEX, 0, Configuration(cluster_id, ()))
        highest = max((sequence for name in names if (sequence := _any_sequence(name)) is not None), default=0)
        journal = cls(
            disk,
            log,
            cluster_id=cluster_id,
            member_id=member_id,
            options=options,
            segments=found.segments,
            next_sequence=highest + 1,
        )
        journal.damage = flag.damage if flag is not None else None
        journal._continue(found)
        return journal

    def _continue(self, found: Recovered) -> None:
        self.harmless = found.harmless
        self.term, self.voted_for = found.term, found.voted_for
        tail = found.tail
        if tail is not None:
            self._sequence, self._offset = tail.sequence, tail.offset
            self._salt = segment.segment_salt(self.cluster_id, self.member_id, tail.sequence)
            self._writer.adopt(tail.sequence, tail.offset, cut=not tail.clean)
        if found.log is None or tail is None:
            self._begin_segment()
        if found.rebased:
            self._write(segment.CHECKPOINT, 0, 0, segment.encode_checkpoint(self._checkpoint()))
        self._disk.sync_folder()
        self._sync_now()

    def _sync_now(self) -> None:
        work = self.take()
        if work is not None:
            work.run()
            self.finish(work, None)
        self.durable = self.written
        self.durable_index, self.durable_term = self.last_index, self.term

    # --- reading ---

    @property
    def base_index(self) -> int:
        return self._log.base_index

    @property
    def base_term(self) -> int:
        return self._log.base_term

    @property
    def base_configuration(self) -> Configuration:
        return self._log.base_configuration

    @property
    def last_term(self) -> int:
        return self._log.last_term

    def term_at(self, index: int) -> int | None:
        """None outside [base_index, last_index]."""
        return self._log.term_at(index)

    def entry(self, index: int) -> Entry:
        """Raises IndexError outside [base_index, last_index]; JournalDamaged when it cannot be read back."""
        if not self.base_index <= index <= self.last_index:
            raise IndexError(f"entry {index} is outside [{self.base_index}, {self.last_index}]")
        if index == self.base_index:
            return Entry(_BASE_PAYLOAD, index, self.base_term)
        payload = self._recent.get(index)
        if payload is None:
            payload = self._read_back(index)
        return Entry(payload, index, self._log.terms[index - self.base_index - 1])

    def entries(
        self, first: int, last: int | None = None, *, count_max: int = 512, bytes_max: int = MIB
    ) -> list[Entry]:
        """Entries [first, last], at least one and as many as the bounds allow; [] when first > last_index.

        Raises IndexError when `first` is below the base.
        """
        end = self.last_index if last is None else min(last, self.last_index)
        end = min(end, first + count_max - 1)
        found: list[Entry] = []
        size = 0
        for index in range(first, end + 1):
            entry = self.entry(index)
            size += len(entry.payload)
            if found and size > bytes_max:
                break
            found.append(entry)
        return found

    def configuration(self) -> tuple[int, Configuration]:
        """The newest in the log, committed or not, and the entry that brought it."""
        return self._log.configuration_at(self.last_index)

    def configured_at(self, index: int) -> tuple[int, Configuration]:
        return self._log.configuration_at(index)

    def configuration_at(self, index: int) -> Configuration:
        return self._log.configuration_at(index)[1]

    def _read_back(self, index: int) -> bytes:
        sequence, offset, length = self._log.locate(index)
        data = self._reader.read(sequence, offset, RECORD_EXTRA_BYTES + length)
        salt = segment.segment_salt(self.cluster_id, self.member_id, sequence)
        record = segment.read_record(data, 0, salt ^ offset)
        if record is None:
            name = segment.segment_name(sequence)
            raise JournalDamaged(f"entry {index} in {name} at offset {offset} went bad since it was written")
        return record.body

    # --- writing ---

    def append(self, payload: bytes, index: int, term: int) -> None:
        """Raises ValueError unless `index` is the next one, and for a payload too long for any record."""
        if index != self.last_index + 1:
            raise ValueError(f"entry {index} cannot follow entry {self.last_index}")
        log = self._log
        kind = segment.ENTRY
        if is_configuration(payload):
            log.configurations.append((index, decode_configuration(payload)))
            kind = segment.CONFIGURATION
        length = self._write(kind, index, term, payload)
        log.positions.append(position_of(self._sequence, self._offset - length - RECORD_EXTRA_BYTES))
        log.lengths.append(length)
        log.terms.append(term)
        self.last_index = index
        self._recent[index] = payload
        self._recent_bytes += len(payload)

    def truncate_from(self, index: int) -> None:
        """Drop the entries from `index` on. Raises ValueError when a snapshot holds it; beyond the end: nothing."""
        if index <= self.base_index:
            raise ValueError(f"entry {index} is in the snapshot at {self.base_index} and cannot be dropped")
        if index > self.last_index:
            return
        self._write(segment.TRUNCATE, index, self.term, b"")
        for dropped in range(max(index, self._recent_low), self.last_index + 1):
            self._recent_bytes -= len(self._recent.pop(dropped))
        self._recent_low = min(self._recent_low, index)
        self._log.truncate_from(index)
        self.last_index = index - 1
        self.durable_index = min(self.durable_index, index - 1)
        self._truncated_from = min(self._truncated_from, index)

    def set_vote(self, term: int, voted_for: int) -> None:
        """`voted_for` 0: nobody yet. Raises ValueError for an older term or a second vote."""
        if (term, voted_for) == (self.term, self.voted_for):
            return
        if term < self.term or (term == self.term and self.voted_for):
            raise ValueError(
                f"term {term} and vote {voted_for:x} after term {self.term} and vote {self.voted_for:x}: "
                "a member votes once per term"
            )
        self._write(segment.VOTE, voted_for, term, b"")
        self.durable_term = min(self.durable_term, term - 1)
        self.term, self.voted_for = term, voted_for

    def trim(self, index: int) -> None:
        """A durable snapshot holds everything up to `index`: the base moves there.

        Segments that lie wholly below are removed once this is on disk. Raises ValueError beyond last_index.
        """
        term = self._log.term_at(index)
        if index <= self.base_index:
            return
        if term is None:
            raise ValueError(f"entry {index} is beyond the log's end {self.last_index}")
        self._log.move_base(index, term, self.configuration_at(index))
        self._forget_up_to(index)
        self._write(segment.CHECKPOINT, 0, 0, segment.encode_checkpoint(self._checkpoint()))
        keep = 0
        for position, info in enumerate(self._segments):
            if info.start_index is not None and info.start_index <= index:
                keep = position
        self._drop_segments(keep)

    def reset(self, index: int, term: int, configuration: Configuration) -> None:
        """Start anew behind an installed snapshot: the log is empty at `index`. Drops every entry."""
        self._log = LogIndex(index, term, configuration)
        self.last_index = index
        self._recent.clear()
        self._recent_bytes = 0
        self._recent_low = index + 1
        self.durable_index = min(self.durable_index, index - 1)
        self._truncated_from = min(self._truncated_from, index)
        self._begin_segment()
        self._drop_segments(len(self._segments) - 1)

    def clear_damage(self) -> None:
        """This member holds again all it ever acknowledged; the note on disk goes with the next work."""
        if self.damage is not None:
            self.damage = None
            self._clears_damage = True
            self._write(segment.VOTE, self.voted_for, self.term, b"")

    # --- records ---

    def _write(self, kind: int, index: int, term: int, body: bytes) -> int:
        """Give a record its place; the length of its stored body."""
        if segment.needs_stuffing(body):
            body = segment.stuff(body)
            kind |= segment.FLAG_STUFFED
        length = len(body)
        size = length + RECORD_EXTRA_BYTES
        if self._offset + size > self._options.segment_bytes:
            self._make_room(length)
        if not self._chunks:
            self._chunks.append(Chunk(self._sequence, self._offset))
        chunk = self._chunks[-1]
        chunk.parts += segment.seal(kind | self._first_flag, index, term, body, self._salt, self._offset)
        chunk.size += size
        self._offset += size
        self._first_flag = 0
        self.written += 1
        return length

    def _make_room(self, length: int) -> None:
        if length > segment.BODY_BYTES_MAX:
            raise ValueError(f"a record of {length} bytes is beyond {segment.BODY_BYTES_MAX}")
        if self._offset > self._records_start:
            self._begin_segment()

    def _begin_segment(self) -> None:
        """Header and checkpoint of a new segment. The one before it is synced first, hence FIRST."""
        sequence = self._sequence = self._next_sequence
        self._next_sequence += 1
        self._salt = segment.segment_salt(self.cluster_id, self.member_id, sequence)
        self._segments.append(SegmentInfo(sequence, segment.segment_name(sequence), self.last_index))
        header = segment.Header(sequence, self.cluster_id, self.member_id, self.last_index, self.last_term)
        chunk = Chunk(sequence, 0)
        chunk.parts.append(segment.encode_header(header))
        body = segment.encode_checkpoint(self._checkpoint())
        chunk.parts += segment.seal(
            segment.CHECKPOINT | segment.FLAG_FIRST, 0, 0, body, self._salt, segment.RECORDS_START
        )
        chunk.size = self._offset = self._records_start = segment.RECORDS_START + RECORD_EXTRA_BYTES + len(body)
        self._chunks.append(chunk)
        self._first_flag = 0
        self.written += 1

    def _checkpoint(self) -> segment.Checkpoint:
        log = self._log
        return segment.Checkpoint(
            log.base_index, log.base_term, log.base_configuration, self.term, self.voted_for, self.last_index
        )

    def _drop_segments(self, count: int) -> None:
        """The first `count` segments are needed no more."""
        dropped, self._segments = self._segments[:count], self._segments[count:]
        self._removals += [info.name for info in dropped]
        self._reader.forget_below(self._segments[0].sequence)

    def _forget_up_to(self, index: int) -> None:
        for low in range(self._recent_low, index + 1):
            self._recent_bytes -= len(self._recent.pop(low))
        self._recent_low = max(self._recent_low, index + 1)

    # --- the disk ---

    def take(self) -> SyncWork | None:
        """All that waits, as one work for the journal lane; None when nothing does or one is in flight."""
        if self._in_flight is not None or self.failed is not None:
            return None
        work, self._retry = self._retry, None
        if work is None:
            if not self._chunks:
                return None
            work = SyncWork(
                self._writer,
                self._chunks,
                ahead_sequence=self._next_sequence,
                removals=self._removals,
                clears_damage=self._clears_damage,
                disk=self._disk,
                marks=Marks(self.written, self.last_index, self.term, self.voted_for),
            )
            self._chunks, self._removals, self._clears_damage = [], [], False
            self._first_flag = segment.FLAG_FIRST
            self._truncated_from = 1 << 63
        self._in_flight = work
        return work

    def finish(self, work: SyncWork, error: BaseException | None) -> None:
        """The lane is done with `work`. Raises JournalDamaged for any error but a full disk."""
        if work is not self._in_flight:
            raise ValueError("this work is not in flight")
        self._in_flight = None
        if self._closed:
            self._writer.close()
        if error is None:
            self._advance(work.marks)
        elif isinstance(error, OSError) and error.errno in FULL_ERRNOS:
            self._retry = work
        else:
            self.failed = JournalDamaged(
                f"writing the journal failed ({error}): what is on disk is not known, and this replica stops"
            )
            raise self.failed from error

    def _advance(self, marks: Marks) -> None:
        self.durable = marks.written
        self.durable_index = min(marks.last_index, self._truncated_from - 1, self.last_index)
        unvoted = marks.term == self.term and marks.voted_for != self.voted_for
        self.durable_term = marks.term - 1 if unvoted else marks.term
        low = self._recent_low
        while self._recent_bytes > self._options.recent_bytes and low <= self.durable_index:
            self._recent_bytes -= len(self._recent.pop(low))
            low += 1
        self._recent_low = low

    @property
    def disk_full(self) -> bool:
        """The last work found no room; it is taken again by the next `take`."""
        return self._retry is not None

    def close(self, *, lane_ended: bool = False) -> None:
        """Forget what was not taken. Files close now or, where their lane goes on, after the work in flight."""
        self._closed = True
        self._reader.close()
        if self._in_flight is None or lane_ended:
            self._writer.close()


def _any_sequence(name: str) -> int | None:
    """The number of a segment, also of one that was set aside."""
    return segment.segment_sequence(name[-len(segment.segment_name(0)) :])
