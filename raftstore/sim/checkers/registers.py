"""Linearizability of single keys as registers, by search (Wing and Gong, Lowe's just-in-time variant).

Uses nothing but values and times: no revision is believed. Configurations (register value, which open
operations have taken effect) are walked through the history; when an operation completes, those in which
it cannot have taken effect are dropped, and none left means no legal order exists. Writes without an
answer whose value nobody ever saw are left out first: a history is linearizable with them if and only
if it is without. The search has a bound; past it the key counts as unchecked, never as wrong.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..history import History, Kind, Operation, Outcome
from ..truth import in_range
from . import Violation

CHECKER = "register linearizability"
CONFIGURATIONS_MAX = 20_000

_REGISTER_KINDS = frozenset({Kind.PUT, Kind.DELETE, Kind.SWAP, Kind.GET})
_Configuration = tuple[bytes | None, frozenset[int]]


class TooWide(Exception):
    """The search passed its bound."""


def check(history: History) -> Iterator[Violation]:
    """Keys that transactions over several keys, ranges or leases also write are left to `linearizability`."""
    by_key: dict[bytes, list[Operation]] = {}
    ranges: list[tuple[bytes, bytes]] = []
    for operation in history:
        if operation.kind is Kind.MULTI or operation.lease:
            ranges.extend((key, b"") for key in operation.values)
        elif operation.range_end and operation.kind is Kind.DELETE:
            ranges.append((operation.key, operation.range_end))
        elif operation.kind in _REGISTER_KINDS:
            by_key.setdefault(operation.key, []).append(operation)
    for key in sorted(by_key):
        if any(in_range(key, first, range_end) for first, range_end in ranges):
            continue
        try:
            yield from check_key(by_key[key])
        except TooWide:
            continue


def check_key(operations: list[Operation]) -> Iterator[Violation]:
    """Raises TooWide when the bound is passed."""
    relevant = _without_noise(operations)
    moments: list[tuple[float, int, Operation]] = []
    for operation in relevant:
        moments.append((operation.invoked_s, 1, operation))
        if operation.outcome is Outcome.OK:
            moments.append((operation.completed_s, 0, operation))
    # at one instant completions come first: what begins at the instant another ends comes after it
    moments.sort(key=lambda moment: (moment[0], moment[1], moment[2].number))
    configurations: set[_Configuration] = {(None, frozenset())}
    pending: dict[int, Operation] = {}
    for _, is_invocation, operation in moments:
        if is_invocation:
            pending[operation.number] = operation
            continue
        reached = _linearize(configurations, pending, operation)
        if not reached:
            states = sorted({repr(state) for state, _ in configurations})
            yield Violation(
                CHECKER, f"no legal order explains {operation}; the register can hold {states}", operation.completed_s
            )
            return
        del pending[operation.number]
        configurations = {(state, done - {operation.number}) for state, done in reached}


def _without_noise(operations: list[Operation]) -> list[Operation]:
    seen: set[bytes | None] = {kv.value for operation in operations for kv in operation.read}
    swaps = (operation for operation in operations if operation.kind is Kind.SWAP)
    seen.update(swap.expected_value for swap in swaps if swap.succeeded or swap.outcome is not Outcome.OK)
    kept = []
    for operation in operations:
        if operation.outcome is Outcome.FAILED:
            continue
        if operation.outcome is Outcome.UNKNOWN:
            value = operation.values.get(operation.key)
            if operation.kind is Kind.GET or (value is not None and value not in seen):
                continue
        kept.append(operation)
    return kept


def _step(state: bytes | None, operation: Operation) -> tuple[bool, bytes | None]:
    """Whether the operation can take effect in `state` as it was answered, and the state after it."""
    answered = operation.outcome is Outcome.OK
    if operation.kind is Kind.PUT:
        return True, operation.values[operation.key]
    if operation.kind is Kind.DELETE:
        return True, None
    if operation.kind is Kind.SWAP and (operation.succeeded or not answered):
        return state == operation.expected_value, operation.values[operation.key]
    found = operation.read[0].value if operation.read else None
    return state == found, state


def _linearize(
    configurations: set[_Configuration], pending: dict[int, Operation], target: Operation
) -> set[_Configuration]:
    """All configurations in which `target` has taken effect, through any order of pending operations."""
    reached: set[_Configuration] = set()
    visited = set(configurations)
    frontier = list(configurations)
    while frontier:
        state, done = frontier.pop()
        if target.number in done:
            reached.add((state, done))
            continue
        for number, operation in pending.items():
            if number in done:
                continue
            legal, after = _step(state, operation)
            following = (after, done | {number})
            if legal and following not in visited:
                visited.add(following)
                frontier.append(following)
        if len(visited) > CONFIGURATIONS_MAX:
            raise TooWide
    return reached
