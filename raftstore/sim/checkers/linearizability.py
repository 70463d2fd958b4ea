"""Linearizability by revision: cheap, complete, and it says which operation is wrong.

Every answer carries the store's revision. Order the operations by it, reads after the write of their
revision: the history is linearizable if (1) each answer is what the agreed state says at its revision
and (2) that order contradicts no real time order: what began after another had ended has a revision
that is not lower, and higher if it wrote. `registers` checks the same with no trust in revisions.
"""

from __future__ import annotations

from collections.abc import Iterator

from ...model import KeyValue
from ..history import LINEARIZABLE_READS, History, Kind, Operation, Outcome
from ..truth import TrueEvent, Truth, in_range
from . import Violation

CHECKER = "linearizability"


def check(history: History, truth: Truth) -> Iterator[Violation]:
    effects = {operation.number: _effect(operation, truth) for operation in history}
    for operation in history:
        message = _answer_is_wrong(operation, truth)
        if message is not None:
            yield Violation(CHECKER, f"{operation}: {message}", operation.completed_s)
    yield from _real_time_order(history, effects)


def _effect(operation: Operation, truth: Truth) -> int:
    """The revision at which a write took effect; 0 when it wrote nothing, or nobody knows."""
    for revision in [operation.revision] if operation.outcome is Outcome.OK else []:
        if any(in_range(event.key, operation.key, operation.range_end) for event in truth.events.get(revision, ())):
            return revision if _writes(operation) else 0
    return 0


def _writes(operation: Operation) -> bool:
    if operation.kind is Kind.DELETE:
        return operation.deleted > 0
    return operation.kind in (Kind.PUT, Kind.MULTI) or (operation.kind is Kind.SWAP and operation.succeeded)


# --- (1) answers


def _answer_is_wrong(operation: Operation, truth: Truth) -> str | None:
    if operation.outcome is not Outcome.OK:
        return None
    if operation.kind in (Kind.GET, Kind.RANGE, Kind.LOCAL_GET):
        return _read_is_wrong(operation, truth)
    if operation.kind is Kind.SWAP:
        return _swap_is_wrong(operation, truth)
    if operation.kind is Kind.DELETE:
        return _delete_is_wrong(operation, truth)
    return None


def same(kv: KeyValue, true: TrueEvent) -> bool:
    return (kv.key, kv.value, kv.mod_revision, kv.create_revision, kv.version, kv.lease) == (
        true.key,
        true.value,
        true.revision,
        true.create_revision,
        true.version,
        true.lease,
    )


def _read_is_wrong(operation: Operation, truth: Truth) -> str | None:
    expected = truth.range_at(operation.key, operation.range_end, operation.revision)
    if len(expected) == len(operation.read) and all(map(same, operation.read, expected)):
        return None
    return f"it returned {_short(operation.read)}; at that revision the state was {expected}"


def _swap_is_wrong(operation: Operation, truth: Truth) -> str | None:
    as_of = operation.revision - 1 if operation.succeeded else operation.revision
    found = truth.value_at(operation.key, as_of)
    mod_revision = found.revision if found is not None else 0
    if operation.succeeded != (mod_revision == operation.expected_revision):
        return (
            f"it {'succeeded' if operation.succeeded else 'failed'} expecting mod revision "
            f"{operation.expected_revision}, which was {mod_revision} at revision {as_of}"
        )
    return None if operation.succeeded else _read_is_wrong(operation, truth)


def _delete_is_wrong(operation: Operation, truth: Truth) -> str | None:
    before = operation.revision - 1 if operation.deleted else operation.revision
    existed = len(truth.range_at(operation.key, operation.range_end, before))
    if existed == operation.deleted:
        return None
    return f"it deleted {operation.deleted} keys; {existed} existed at revision {before}"


def _short(kvs: tuple[KeyValue, ...]) -> str:
    return str([(kv.key, kv.value, kv.mod_revision) for kv in kvs])


# --- (2) real time


def _real_time_order(history: History, effects: dict[int, int]) -> Iterator[Violation]:
    """Walk invocations and completions in time order, with the highest revision completed so far."""
    relevant = [
        operation
        for operation in history.with_outcome(Outcome.OK)
        if operation.kind in LINEARIZABLE_READS or _writes(operation) or operation.kind in (Kind.SWAP, Kind.DELETE)
    ]
    moments: list[tuple[float, int, int, Operation]] = []
    for operation in relevant:
        moments.append((operation.invoked_s, 1, operation.number, operation))
        moments.append((operation.completed_s, 0, operation.number, operation))
    highest = 0
    witness: Operation | None = None
    floors: dict[int, tuple[int, Operation | None]] = {}
    for _, is_invocation, number, operation in sorted(moments, key=lambda moment: moment[:3]):
        if is_invocation:
            floors[number] = (highest, witness)
            continue
        floor, before = floors.get(number, (0, None))
        if operation.revision < floor or (effects[number] and operation.revision == floor):
            yield Violation(CHECKER, f"stale: {operation} began after the end of {before}", operation.completed_s)
        if operation.revision > highest:
            highest, witness = operation.revision, operation
