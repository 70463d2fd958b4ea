"""The replicated session table: what makes a command apply at most once.

A session is registered through the log. Each of its requests carries a sequence and the lowest sequence
its origin still waits for; the table keeps which sequences from there on were applied. Everything is
decided from the log alone (positions, never time), so all replicas forget the same sessions at the same
entry. What must always hold: a sequence is admitted once while its session is known, and never after the
session was forgotten.

A row is: lowest (u64), index of last use (u64), then a bitmap, little-endian, of applied sequences counted
from lowest.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from ..errors import InvalidRequest, SessionExpired, TooManyRequests
from ..limits import SESSION_IDLE_ENTRIES_MAX, SESSION_WINDOW_MAX, SESSIONS_MAX
from .outcome import Duplicate
from .schema import Tables, Transaction, pack_number

_row = struct.Struct(">QQ")
_SEQUENCE_MAX = 2**63 - 1
_DUPLICATE = Duplicate()

Refusal = SessionExpired | TooManyRequests | InvalidRequest | Duplicate


class Session(NamedTuple):
    lowest: int
    last_used: int
    applied: int  # bit n: sequence lowest + n was applied

    def encode(self) -> bytes:
        return _row.pack(self.lowest, self.last_used) + self.applied.to_bytes(
            (self.applied.bit_length() + 7) // 8, "little"
        )

    @classmethod
    def decode(cls, row: bytes) -> Session:
        lowest, last_used = _row.unpack_from(row)
        return cls(lowest, last_used, int.from_bytes(row[_row.size :], "little"))


class SessionTable:
    """All sessions in memory (at most SESSIONS_MAX), and what the transaction under way changes of them."""

    def __init__(self, sessions: dict[int, Session]) -> None:
        self._sessions = sessions
        self._staged: dict[int, Session | None] = {}

    @classmethod
    def load(cls, txn: Transaction, tables: Tables) -> SessionTable:
        rows = txn.cursor(db=tables.sessions).iternext()
        return cls({int.from_bytes(key, "big"): Session.decode(row) for key, row in rows})

    def _find(self, session: int) -> Session | None:
        staged = self._staged
        return staged[session] if session in staged else self._sessions.get(session)

    def admit(self, session: int, sequence: int, lowest: int, index: int) -> Refusal | None:
        """None: apply it, and it counts as applied from now on. Otherwise the result to give instead."""
        known = self._find(session)
        if known is None:
            return SessionExpired(f"session {session} is not known or was forgotten: register a new one")
        if index - known.last_used > SESSION_IDLE_ENTRIES_MAX:
            self._staged[session] = None
            return SessionExpired(f"session {session} was idle for too many log entries: register a new one")
        if not 0 < sequence <= _SEQUENCE_MAX or lowest > sequence:
            return InvalidRequest(f"sequence {sequence} of session {session} with lowest {lowest} has no meaning")
        floor, _, applied = known
        if lowest > floor:
            applied >>= lowest - floor
            floor = lowest
        place = sequence - floor
        refusal: Refusal | None = None
        if place < 0:
            refusal = SessionExpired(f"sequence {sequence} of session {session} is below {floor}, which is forgotten")
        elif place >= SESSION_WINDOW_MAX:
            refusal = TooManyRequests(f"session {session} has more than {SESSION_WINDOW_MAX} unresolved requests")
        elif applied >> place & 1:
            refusal = _DUPLICATE
        else:
            applied |= 1 << place
        self._staged[session] = Session(floor, index, applied)
        return refusal

    def register(self, session: int, index: int) -> None:
        """Make a session known; when the table is full the one used longest ago goes, ties by number."""
        if self._find(session) is None:
            self._make_room(index)
            self._staged[session] = Session(1, index, 0)

    def _make_room(self, index: int) -> None:
        current = {session: row for session in self._sessions | self._staged if (row := self._find(session))}
        for session, row in current.items():
            if index - row.last_used > SESSION_IDLE_ENTRIES_MAX:
                self._staged[session] = None
        current = {session: row for session, row in current.items() if self._find(session)}
        if len(current) >= SESSIONS_MAX:
            oldest = min(current, key=lambda session: (current[session].last_used, session))
            self._staged[oldest] = None

    # --- the transaction ---

    def write(self, txn: Transaction, tables: Tables) -> None:
        """Store every session that was touched, once."""
        for session, row in self._staged.items():
            if row is None:
                txn.delete(pack_number(session), db=tables.sessions)
            else:
                txn.put(pack_number(session), row.encode(), db=tables.sessions)

    def commit(self) -> None:
        for session, row in self._staged.items():
            if row is None:
                self._sessions.pop(session, None)
            else:
                self._sessions[session] = row
        self._staged = {}

    def abort(self) -> None:
        self._staged = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def __contains__(self, session: int) -> bool:
        return session in self._sessions
