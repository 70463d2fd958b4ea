"""apply(command) -> result: deterministic, and nothing a command says can make it raise.

An `Applier` works within one write transaction. A command that breaks a rule gets a StoreError as its
result and changes nothing, for everything that can be refused is checked before the first write. Only
damage (IntegrityError, lmdb.Error) is raised, and then the whole transaction is given up.
"""

from __future__ import annotations

import msgspec

from ..command import Command, Compact, GrantLease, RegisterSession, Request, RevokeLease, SetAlarm
from ..errors import (
    Compacted,
    CorruptAlarm,
    FutureRevision,
    IntegrityError,
    LeaseExists,
    LeaseNotFound,
    NoSpace,
    StoreError,
    TooManyRequests,
)
from ..limits import ALARMS_MAX, LEASES_MAX
from ..model import (
    Alarm,
    AlarmResult,
    AlarmType,
    CompactResult,
    Delete,
    LeaseResult,
    Put,
    PutResult,
    Txn,
)
from .lease import Lease, keys_of, lease_row, remove_lease, store_lease
from .meta import in_order, store_alarms
from .outcome import Outcome, Result, SessionRegistered
from .sessions import SessionTable
from .transaction import check_put_state, run_txn, write_delete, write_put
from .validate import check, check_put, writes
from .writer import Writer

_encode = msgspec.msgpack.Encoder().encode


class Applier:
    """Applies requests in log order. The owner of the transaction stores what the sessions staged."""

    def __init__(self, writer: Writer, sessions: SessionTable, alarms: frozenset[Alarm]) -> None:
        self._writer = writer
        self._sessions = sessions
        self._set_alarms(alarms)

    def _set_alarms(self, alarms: frozenset[Alarm]) -> None:
        self.alarms = alarms
        self._full = any(alarm.type is AlarmType.NOSPACE for alarm in alarms)
        self._corrupt = any(alarm.type is AlarmType.CORRUPT for alarm in alarms)

    def request(self, request: Request, index: int) -> Outcome:
        """Apply one request of the entry at `index`, unless its session says that it must not be."""
        session, sequence, command = request.session, request.sequence, request.command
        if session and not isinstance(command, RegisterSession):
            refusal = self._sessions.admit(session, sequence, request.lowest, index)
            if refusal is not None:
                return Outcome(session, sequence, refusal)
        try:
            result: Result = self._put(command) if type(command) is Put else self._dispatch(command, index)
        except IntegrityError:
            raise
        except StoreError as error:
            # without its traceback, which would keep this transaction's frames alive as long as the result
            result = error.with_traceback(None)
        self._writer.end()
        return Outcome(session, sequence, result)

    def _put(self, put: Put) -> PutResult:
        check_put(put)
        if self._full or self._corrupt:
            self._check_alarms(put)
        check_put_state(self._writer, put)
        return write_put(self._writer, put)

    def _dispatch(self, command: Command, index: int) -> Result:
        check(command)
        self._check_alarms(command)
        if isinstance(command, Txn):
            return run_txn(self._writer, command)
        if isinstance(command, Delete):
            return write_delete(self._writer, command)
        if isinstance(command, RegisterSession):
            self._sessions.register(command.session, index)
            return SessionRegistered(command.session)
        return self._administer(command)

    def _administer(self, command: Command) -> Result:
        if isinstance(command, GrantLease):
            return self._grant(command)
        if isinstance(command, RevokeLease):
            return self._revoke(command)
        if isinstance(command, Compact):
            return self._compact(command)
        if isinstance(command, SetAlarm):
            return self._alarm(command)
        raise AssertionError(f"no code for {type(command).__name__}")  # the decoder's union is Command

    def _check_alarms(self, command: Command) -> None:
        """What an alarm stops. Alarms are replicated, so every replica decides alike."""
        if self._corrupt and not isinstance(command, SetAlarm | RegisterSession):
            raise CorruptAlarm("the CORRUPT alarm is raised: replicas differ and writes are stopped")
        if self._full and writes(command):
            raise NoSpace("the NOSPACE alarm is raised: delete keys and compact, it clears by itself")

    def _note(self, *words: int | str | bytes) -> None:
        """Let the digest cover a change that makes no event."""
        self._writer.records.append(_encode(words))

    def _grant(self, grant: GrantLease) -> LeaseResult:
        writer = self._writer
        if lease_row(writer.txn, writer.tables, grant.id) is not None:
            raise LeaseExists(f"lease {grant.id} exists already")
        if writer.txn.stat(writer.tables.leases)["entries"] >= LEASES_MAX:
            raise TooManyRequests(f"there are {LEASES_MAX} leases, which is the limit")
        lease = Lease(grant.id, max(1, grant.ttl))
        store_lease(writer.txn, writer.tables, lease)
        self._note("grant", lease.id, lease.granted_ttl_s)
        return LeaseResult(writer.revision, lease.id, lease.granted_ttl_s)

    def _revoke(self, revoke: RevokeLease) -> LeaseResult:
        """Delete the lease's keys, in key order, at one revision; then the lease."""
        writer = self._writer
        if lease_row(writer.txn, writer.tables, revoke.id) is None:
            raise LeaseNotFound(f"lease {revoke.id} does not exist")
        for key in keys_of(writer.txn, writer.tables, revoke.id):
            writer.delete_range(key, b"", prev_kv=False)
        remove_lease(writer.txn, writer.tables, revoke.id)
        self._note("revoke", revoke.id)
        return LeaseResult(writer.current, revoke.id, 0)

    def _compact(self, compact: Compact) -> CompactResult:
        writer = self._writer
        if compact.revision <= writer.compact_revision:
            raise Compacted(f"revision {compact.revision} is compacted already, up to {writer.compact_revision}")
        if compact.revision > writer.revision:
            raise FutureRevision(f"revision {compact.revision} has not happened yet, the newest is {writer.revision}")
        writer.compact_revision = compact.revision
        self._note("compact", compact.revision)
        return CompactResult(writer.revision, compact.revision)

    def _alarm(self, command: SetAlarm) -> AlarmResult:
        alarms = self.alarms | {command.alarm} if command.raised else self.alarms - {command.alarm}
        if len(alarms) > ALARMS_MAX:
            raise TooManyRequests(f"there are {ALARMS_MAX} alarms, which is the limit")
        self._set_alarms(alarms)
        store_alarms(self._writer.txn, self._writer.tables, alarms)
        self._note("alarm", command.alarm.member, int(command.alarm.type), int(command.raised))
        return AlarmResult(self._writer.revision, in_order(alarms))
