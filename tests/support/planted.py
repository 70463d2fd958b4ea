"""Histories for tests of the simulator's checkers, built by hand: an agreed log and what clients saw of it."""

from __future__ import annotations

from typing import Any

from raftstore.model import Event, EventType, KeyValue
from raftstore.sim.history import History, Kind, Operation, Outcome
from raftstore.sim.truth import Truth


class Planted:
    """`commit` makes the truth, `answered` and `unanswered` the history. Revision 1 is the empty store."""

    def __init__(self) -> None:
        self.truth = Truth()
        self.history = History()
        self.revision = 1
        self.held: dict[bytes, KeyValue] = {}

    def commit(self, changes: dict[bytes, bytes | None], *, at_s: float = 0.0, lease: int = 0) -> int:
        """One revision that puts (or, for None, deletes) these keys."""
        self.revision += 1
        events = [self._event(key, value, lease) for key, value in changes.items()]
        self.truth.events_applied(1, events, at_s)
        return self.revision

    def _event(self, key: bytes, value: bytes | None, lease: int) -> Event:
        before = self.held.pop(key, None)
        if value is None:
            return Event(EventType.DELETE, KeyValue(key, b"", 0, self.revision, 0))
        created = before.create_revision if before else self.revision
        version = before.version + 1 if before else 1
        self.held[key] = KeyValue(key, value, created, self.revision, version, lease)
        return Event(EventType.PUT, self.held[key], before.mod_revision if before else 0)

    def asked(self, kind: Kind, key: bytes, start_s: float, **fields: Any) -> Operation:
        """An operation that never got an answer, unless `fields` say otherwise."""
        number = len(self.history.operations)
        return self.history.add(Operation(number, fields.pop("client", 1), 1, kind, key, start_s, **fields))

    def answered(self, kind: Kind, key: bytes, start_s: float, end_s: float, revision: int, **fields: Any) -> Operation:
        return self.asked(kind, key, start_s, completed_s=end_s, outcome=Outcome.OK, revision=revision, **fields)

    def put(self, key: bytes, value: bytes, start_s: float, end_s: float) -> Operation:
        """A put that is committed and answered."""
        revision = self.commit({key: value}, at_s=start_s)
        return self.answered(Kind.PUT, key, start_s, end_s, revision, values={key: value})

    def get(self, key: bytes, start_s: float, end_s: float, revision: int | None = None) -> Operation:
        """A get that is answered rightly as of `revision` (now unless given)."""
        as_of = revision or self.revision
        event = self.truth.value_at(key, as_of)
        read: tuple[KeyValue, ...] = ()
        if event is not None and event.value is not None:
            read = (KeyValue(key, event.value, event.create_revision, event.revision, event.version, event.lease),)
        return self.answered(Kind.GET, key, start_s, end_s, as_of, read=read, count=len(read))
