"""The whole machine against a model on plain dicts: every command, every read, every revision."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mvcc_model import Model, covers
from mvcc_world import ENDS, KEYS, World, batch, histories, in_entries, reads, world

from raftstore.command import Command, Compact
from raftstore.errors import Compacted, FutureRevision, StoreError
from raftstore.model import Put, Range

QUIET = settings(deadline=None, max_examples=250, suppress_health_check=[HealthCheck.too_slow])


def same(actual: Any, expected: Any) -> bool:
    """Errors are equal when they are of one class."""
    if isinstance(expected, StoreError):
        return type(actual) is type(expected)
    return bool(actual == expected)


def outcome_of(read: Any, request: Range) -> Any:
    try:
        return read(request)
    except StoreError as error:
        return error


def check_reads(world: World, model: Model) -> None:
    """Everything that can be seen without being asked for."""
    machine = world.machine
    assert machine.revision == model.revision
    assert machine.compact_revision == model.compact_revision
    for revision in range(max(1, model.compact_revision), model.revision + 1):
        request = Range(b"\0", b"\0", revision=revision)
        assert machine.range(request) == model.range(request), revision
    for key, kv in model.state.items():
        assert machine.get(key) == kv
    assert {lease.id: lease.granted_ttl_s for lease in machine.leases()} == model.leases
    for lease in model.leases:
        assert machine.lease_keys(lease) == model.keys_of(lease)


@QUIET
@given(history=histories(), sizes=st.lists(st.integers(1, 4), min_size=1), last=reads())
def test_machine_equals_the_model(history: list[Command], sizes: list[int], last: list[Range]) -> None:
    model = Model()
    with world() as actual:
        for step in in_entries(history, sizes):
            before = len(model.events)
            expected = [model.apply(command) for command in step]
            applied = actual.apply(batch(step))
            for outcome, wanted, command in zip(applied.outcomes, expected, step, strict=True):
                assert same(outcome.result, wanted), (command, outcome.result, wanted)
            assert applied.events == model.events[before:]
            actual.machine.compact_step(2)
        check_reads(actual, model)
        for request in last:
            wanted = outcome_of(model.range, request)
            assert same(outcome_of(actual.machine.range, request), wanted), request
        actual.reopen()
        check_reads(actual, model)


@QUIET
@given(
    history=histories(),
    start=st.integers(0, 20),
    key=st.sampled_from(KEYS),
    range_end=st.sampled_from(ENDS),
    revisions_max=st.integers(1, 5),
    bytes_max=st.sampled_from([1, 100, 5000]),
)
def test_history_is_read_whole_and_in_pieces(
    history: list[Command], start: int, key: bytes, range_end: bytes, revisions_max: int, bytes_max: int
) -> None:
    model = Model()
    with world() as actual:
        for command in history:
            model.apply(command)
            actual.do(command)
        actual.compact_fully()
        found, following = [], start
        if start < model.compact_revision:
            assert type(_raised(actual, start, key, range_end)) is Compacted
            return
        while following <= model.revision:
            before = following
            piece, following = actual.machine.events(
                following, key, range_end, revisions_max=revisions_max, bytes_max=bytes_max
            )
            assert following > before
            found.append(piece)
        events = [
            event for event in model.events if event.kv.mod_revision >= start and covers(event.kv.key, key, range_end)
        ]
        assert [event for piece in found for event in piece] == events
        for earlier, later in itertools.pairwise(found):
            mains = {event.kv.mod_revision for event in earlier}
            assert mains.isdisjoint(event.kv.mod_revision for event in later), "a revision was split"


def _raised(actual: World, start: int, key: bytes, range_end: bytes) -> StoreError | None:
    try:
        actual.machine.events(start, key, range_end, revisions_max=1, bytes_max=1)
    except StoreError as error:
        return error
    return None


@QUIET
@given(history=histories())
def test_previous_values_can_be_looked_up_until_they_are_compacted(history: list[Command]) -> None:
    model = Model()
    with world() as actual:
        for command in history:
            before = dict(model.state)
            seen = len(model.events)
            model.apply(command)
            actual.do(command)
            actual.machine.compact_step(1)
            for event in model.events[seen:]:
                old = before.get(event.kv.key)
                if old is not None and event.previous_revision == old.mod_revision:
                    assert actual.machine.value_at(event.kv.key, event.previous_revision) == old
        assert actual.machine.value_at(b"nobody", 5) is None


def test_what_is_drawn_is_worth_applying() -> None:
    """A strategy that draws mostly refusals would test little; this counts."""
    seen: Counter[str] = Counter()

    @settings(deadline=None, max_examples=150, database=None, derandomize=True)
    @given(history=histories())
    def count(history: list[Command]) -> None:
        model = Model()
        for command in history:
            result = model.apply(command)
            name = type(command).__name__
            seen[name] += 1
            seen[name + " refused"] += isinstance(result, StoreError)
        mains = Counter(event.kv.mod_revision for event in model.events)
        seen["several at one revision"] += any(
            count > 1 and revision >= model.compact_revision for revision, count in mains.items()
        )
        seen["compacted"] += model.compact_revision > 0

    count()
    for name in ("Put", "Delete", "Txn"):
        assert seen[name] > 200
        assert seen[name + " refused"] < seen[name] * 0.4, (name, seen)
    assert seen["several at one revision"] > 50, seen
    assert seen["compacted"] > 50, seen


def test_revisions_out_of_reach_are_named() -> None:
    with world() as actual:
        actual.do(Put(b"a"), Put(b"a"), Put(b"a"), Compact(3))
        assert type(outcome_of(actual.machine.range, Range(b"a", revision=2))) is Compacted
        assert type(outcome_of(actual.machine.range, Range(b"a", revision=5))) is FutureRevision
        assert actual.machine.range(Range(b"a", revision=3)).kvs[0].version == 2
