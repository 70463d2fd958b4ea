"""Acknowledged writes are never lost, refused ones never happen, and no write happens twice.

A value names its write, so the agreed events show directly what became of each. The last state of every
replica that caught up is compared with the agreed one too: an event applied but gone from the disk shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...model import KeyValue
from ..history import History, Kind, Operation, Outcome
from ..truth import TrueEvent, Truth
from . import Violation
from .linearizability import same

LOST = "acknowledged write lost"

_VALUE_WRITERS = frozenset({Kind.PUT, Kind.SWAP, Kind.MULTI})


def check(history: History, truth: Truth) -> Iterator[Violation]:
    by_value = truth.by_value()
    written: dict[bytes, Operation] = {}
    for operation in history:
        if operation.kind in _VALUE_WRITERS:
            written.update(dict.fromkeys(operation.values.values(), operation))
            yield from _fate(operation, by_value)
        elif _deleted(operation) and all(event.value is not None for event in truth.events.get(operation.revision, ())):
            yield Violation(LOST, f"{operation}: no such delete", operation.completed_s)
    yield from _not_before_its_request(by_value, written, history)
    for value, events in by_value.items():
        if value not in written:
            yield Violation("no write from nowhere", f"nobody wrote {events[0]}")


def _deleted(operation: Operation) -> bool:
    return operation.kind is Kind.DELETE and operation.outcome is Outcome.OK and operation.deleted > 0


def _fate(operation: Operation, by_value: dict[bytes, list[TrueEvent]]) -> Iterator[Violation]:
    acknowledged = operation.outcome is Outcome.OK and (operation.kind is not Kind.SWAP or operation.succeeded)
    refused = not acknowledged and operation.outcome is not Outcome.UNKNOWN
    for key, value in operation.values.items():
        events = by_value.get(value, [])
        if len(events) > 1:
            revisions = [event.revision for event in events]
            yield Violation("exactly once", f"{operation} took effect at revisions {revisions}", operation.completed_s)
        if refused and events:
            yield Violation(
                "refused writes never happen",
                f"{operation} ({operation.error or 'compare failed'}) took effect at revision {events[0].revision}",
                operation.completed_s,
            )
        if acknowledged and not any(e.revision == operation.revision and e.key == key for e in events):
            yield Violation(LOST, f"{operation}: no such event of {value!r}", operation.completed_s)


def _not_before_its_request(
    by_value: dict[bytes, list[TrueEvent]], written: dict[bytes, Operation], history: History
) -> Iterator[Violation]:
    """A write without an answer may happen late, but never before it was asked for."""
    completed = sorted((operation.completed_s, operation.revision) for operation in history.with_outcome(Outcome.OK))
    invoked = sorted(
        ((o.invoked_s, o.number, o, by_value[value][0].revision) for value, o in written.items() if value in by_value),
        key=lambda item: item[:2],
    )
    position = highest = 0
    for invoked_s, _, operation, revision in invoked:
        while position < len(completed) and completed[position][0] < invoked_s:
            highest = max(highest, completed[position][1])
            position += 1
        if revision <= highest:
            yield Violation(
                "no write before its request",
                f"{operation} took effect at revision {revision}; revision {highest} had been answered before it began",
                invoked_s,
            )


def check_final_state(
    replica: int, revision: int, kvs: Sequence[KeyValue], history: History, truth: Truth
) -> Iterator[Violation]:
    """What a healed replica holds at the end is everything acknowledged and nothing else."""
    newest = max(history.with_outcome(Outcome.OK), key=lambda operation: operation.revision, default=None)
    if newest is not None and newest.revision > revision:
        yield Violation(LOST, f"replica {replica} ends at revision {revision}, but {newest}")
    held = {kv.key: kv for kv in kvs}
    agreed = {event.key: event for event in truth.range_at(b"\0", b"\0", revision)}
    wrong = [key for key in sorted(held.keys() | agreed.keys()) if not _agree(held.get(key), agreed.get(key))]
    if wrong:
        details = [(key, held.get(key), agreed.get(key)) for key in wrong[:3]]
        message = f"replica {replica} at revision {revision} differs in {len(wrong)} keys: {details}"
        yield Violation("state equals the log", message)


def _agree(kv: KeyValue | None, event: TrueEvent | None) -> bool:
    return kv is not None and event is not None and same(kv, event)
