"""The six watch guarantees of etcd, each with its own judge that quotes it.

Text of the guarantees: https://etcd.io/docs/v3.5/learning/api_guarantees/#watch-apis. A watcher's log is
compared with the agreed events of its range; `prev_kv` and the answer to "compacted" are checked as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from ..history import WatchBatch, WatchedEvent, WatchLog, WatchProgress, WatchSegment
from ..truth import TrueEvent, Truth
from . import Violation

ORDERED = "Ordered - events are ordered by revision"
UNIQUE = "Unique - an event will never appear on a watch twice"
RELIABLE = "Reliable - a sequence of events will never drop any subsequence of events"
ATOMIC = "Atomic - a list of events is guaranteed to encompass complete revisions"
RESUMABLE = (
    "Resumable - a broken watch can be resumed by establishing a new watch starting after the last revision received"
)
BOOKMARKABLE = "Bookmarkable - progress notification events guarantee that all events up to a revision were delivered"


def check(log: WatchLog, truth: Truth) -> Iterator[Violation]:
    for judge in (ordered, unique, atomic, reliable, resumable, bookmarkable, previous_values, compacted):
        yield from judge(log, truth)


def _broke(guarantee: str, log: WatchLog, segment: WatchSegment, message: str, at_s: float = 0.0) -> Violation:
    where = f"client {log.client}, watch of {log.key!r}..{log.range_end!r} from {segment.start_revision}"
    return Violation("watch", f"broke {guarantee} ({where} on replica {segment.replica}): {message}", at_s)


def _batches(segment: WatchSegment) -> list[WatchBatch]:
    return [item for item in segment.received if isinstance(item, WatchBatch)]


def _events(segment: WatchSegment) -> list[WatchedEvent]:
    return [event for batch in _batches(segment) for event in batch.events]


def ordered(log: WatchLog, truth: Truth) -> Iterator[Violation]:
    for segment in log.segments:
        last = 0
        for batch in _batches(segment):
            for event in batch.events:
                if event.revision < last:
                    message = f"revision {event.revision} after {last}"
                    yield _broke(ORDERED, log, segment, message, batch.received_s)
                last = max(last, event.revision)


def unique(log: WatchLog, truth: Truth) -> Iterator[Violation]:
    seen: set[tuple[int, bytes]] = set()
    for segment in log.segments:
        for event in _events(segment):
            if (event.revision, event.key) in seen:
                yield _broke(UNIQUE, log, segment, f"{event.key!r} at revision {event.revision} came again")
            seen.add((event.revision, event.key))


def atomic(log: WatchLog, truth: Truth) -> Iterator[Violation]:
    for segment in log.segments:
        for before, after in pairwise(batch for batch in _batches(segment) if batch.events):
            if before.events[-1].revision == after.events[0].revision:
                message = f"revision {after.events[0].revision} was split over two lists"
                yield _broke(ATOMIC, log, segment, message, after.received_s)


def reliable(log: WatchLog, truth: Truth) -> Iterator[Violation]:
    """Within one watch: exactly the agreed events of the range, from its start to the last one received."""
    for segment in log.segments:
        received = _events(segment)
        if not received:
            continue
        first = segment.start_revision
        expected = truth.between(log.key, log.range_end, first, max(event.revision for event in received))
        difference = _first_difference(sorted(received, key=lambda e: e.revision), expected)
        if difference is not None:
            yield _broke(RELIABLE, log, segment, difference)


def _first_difference(received: list[WatchedEvent], expected: list[TrueEvent]) -> str | None:
    got = [(event.revision, event.key, event.value, event.version) for event in received]
    want = [(event.revision, event.key, event.value, event.version) for event in expected]
    for mine, true in zip(got, want, strict=False):
        if mine != true:
            return f"received {mine} where {true} happened"
    if len(want) > len(got):
        return f"missed {want[len(got)]}"
    return f"received {got[len(want)]}, which never happened" if len(got) > len(want) else None


def resumable(log: WatchLog, truth: Truth) -> Iterator[Violation]:
    """Over all resumptions together nothing is missing and nothing twice."""
    last = 0
    for position, segment in enumerate(log.segments):
        if position and segment.start_revision > last + 1:
            gap = truth.between(log.key, log.range_end, last + 1, segment.start_revision - 1)
            compacted = log.segments[position - 1].compacted_revision
            lost = [event for event in gap if event.revision > compacted]
            if lost:
                message = f"resumed at {segment.start_revision} after {last}, over {lost[0]}"
                yield _broke(RESUMABLE, log, segment, message)
        last = max(last, segment.start_revision - 1, _reached(segment))


def _reached(segment: WatchSegment) -> int:
    """Up to which revision a watch has told everything."""
    reached = 0
    for item in segment.received:
        if isinstance(item, WatchProgress):
            reached = max(reached, item.revision)
        elif item.events:
            reached = max(reached, item.events[-1].revision)
    return reached


def bookmarkable(log: WatchLog, truth: Truth) -> Iterator[Violation]:
    for segment in log.segments:
        delivered: set[tuple[int, bytes]] = set()
        bookmark = 0
        for item in segment.received:
            if isinstance(item, WatchBatch):
                delivered.update((event.revision, event.key) for event in item.events)
                early = [event for event in item.events if event.revision <= bookmark]
                if early:
                    message = f"revision {early[0].revision} after a bookmark of {bookmark}"
                    yield _broke(BOOKMARKABLE, log, segment, message, item.received_s)
                continue
            due = truth.between(log.key, log.range_end, max(segment.start_revision, bookmark + 1), item.revision)
            missing = [event for event in due if (event.revision, event.key) not in delivered]
            if missing:
                message = f"bookmark {item.revision} came before {missing[0]}"
                yield _broke(BOOKMARKABLE, log, segment, message, item.received_s)
            bookmark = max(bookmark, item.revision)


def previous_values(log: WatchLog, truth: Truth) -> Iterator[Violation]:
    """`prev_kv` is the value this event replaced (it may be missing when that was compacted)."""
    if not log.previous_wanted:
        return
    for segment in log.segments:
        for event in _events(segment):
            before = truth.value_at(event.key, event.revision - 1)
            previous = event.previous
            if previous is None:
                if before is not None and before.revision > truth.compact_revision:
                    yield _broke("prev_kv", log, segment, f"{event} has none, {before} stood before it")
            elif before is None or (previous.value, previous.mod_revision) != (before.value, before.revision):
                yield _broke("prev_kv", log, segment, f"{event} replaced {before}")


def compacted(log: WatchLog, truth: Truth) -> Iterator[Violation]:
    """A watch may end as compacted only when its next revision is."""
    for segment in log.segments:
        next_revision = max(segment.start_revision, _reached(segment) + 1)
        if segment.compacted_revision and next_revision > segment.compacted_revision:
            message = f"ended as compacted at {segment.compacted_revision} though it needs only {next_revision} on"
            yield _broke("compaction", log, segment, message)


def check_complete(log: WatchLog, truth: Truth, *, up_to: int) -> Iterator[Violation]:
    """After healing a watch that stands must have been told everything up to `up_to`."""
    if not log.segments:
        return
    segment = log.segments[-1]
    if segment.compacted_revision:
        return
    first = max(segment.start_revision, max((event.revision for event in _events(segment)), default=0) + 1)
    due = truth.between(log.key, log.range_end, first, up_to)
    if due:
        yield _broke(RELIABLE, log, segment, f"after healing still untold: {due[0]} and {len(due) - 1} more")
