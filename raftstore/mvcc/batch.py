"""Entries of one `apply` call: decoded, applied, and staged until their transaction commits."""

from __future__ import annotations

import msgspec

from ..command import KIND_BATCH, KIND_CONFIGURATION, KIND_NOOP, decode_batch
from ..errors import IntegrityError, StateDamaged, UnknownFormat
from ..model import Alarm
from ..raft.configuration import decode_configuration
from ..raft.engine import Configuration, Entry
from .apply import Applier
from .digest import chain
from .outcome import Outcome
from .schema import META_CONFIGURATION, META_STATE, State, Tables, Transaction
from .sessions import SessionTable
from .writer import Writer


class Batch:
    """Everything an `apply` call will have changed. Nothing outside it changes before the commit."""

    def __init__(
        self, txn: Transaction, tables: Tables, state: State, sessions: SessionTable, alarms: frozenset[Alarm]
    ) -> None:
        self._txn = txn
        self._tables = tables
        self._sessions = sessions
        self._writer = Writer(txn, tables, state.revision, state.compact_revision)
        self._applier = Applier(self._writer, sessions, alarms)
        self._index, self._term, self._digest = state.applied_index, state.applied_term, state.digest
        self.outcomes: list[Outcome] = []
        self.digests: list[tuple[int, bytes]] = []
        self.events = self._writer.events
        self.configuration: Configuration | None = None

    @property
    def alarms(self) -> frozenset[Alarm]:
        return self._applier.alarms

    @property
    def state(self) -> State:
        writer = self._writer
        return State(self._index, self._term, writer.revision, writer.compact_revision, self._digest)

    def entry(self, entry: Entry) -> None:
        """Raises UnknownFormat, StateDamaged for what this version cannot read or what is out of order."""
        payload, index, term = entry
        if index != self._index + 1:
            raise StateDamaged(f"log entry {index} was given to a state that holds {self._index}")
        kind = payload[0] if payload else -1
        if kind == KIND_BATCH:
            self._requests(payload, index)
        elif kind == KIND_CONFIGURATION:
            self._configure(payload, index)
        elif kind != KIND_NOOP:
            raise UnknownFormat(f"log entry {index} is of kind {kind:#04x}, unknown here: upgrade this replica first")
        self._index, self._term = index, term
        self._digest = chain(self._digest, index, self._writer.records)
        self._writer.records.clear()
        self.digests.append((index, self._digest))

    def _requests(self, payload: bytes, index: int) -> None:
        try:
            requests = decode_batch(payload)
        except (msgspec.DecodeError, IndexError, RecursionError) as error:
            raise StateDamaged(f"log entry {index} does not decode: {error}") from error
        apply, add = self._applier.request, self.outcomes.append
        for request in requests:
            add(apply(request, index))

    def _configure(self, payload: bytes, index: int) -> None:
        try:
            self.configuration = decode_configuration(payload)
        except UnknownFormat:
            raise
        except IntegrityError as error:
            raise StateDamaged(f"log entry {index} does not decode: {error}") from error
        self._txn.put(META_CONFIGURATION, payload, db=self._tables.meta)
        self._writer.records.append(payload)

    def finish(self) -> None:
        """Store what moved beside the data."""
        self._sessions.write(self._txn, self._tables)
        self._txn.put(META_STATE, self.state.encode(), db=self._tables.meta)
