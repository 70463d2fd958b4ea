"""etcd v3's semantics on plain dicts: what the state machine must equal, written to be read, not to be fast.

Every revision keeps a whole copy of the state, so that reads of the past are a lookup.
"""

from __future__ import annotations

from typing import Any

from raftstore.command import Command, Compact, GrantLease, RevokeLease
from raftstore.errors import (
    Compacted,
    DuplicateKey,
    FutureRevision,
    InvalidRequest,
    KeyNotFound,
    LeaseExists,
    LeaseNotFound,
    StoreError,
    TooManyOperations,
)
from raftstore.model import (
    CompactResult,
    Compare,
    CompareOp,
    CompareTarget,
    Delete,
    DeleteResult,
    Event,
    EventType,
    KeyValue,
    LeaseResult,
    Put,
    PutResult,
    Range,
    RangeResult,
    SortOrder,
    SortTarget,
    Txn,
    TxnResult,
)

State = dict[bytes, KeyValue]


def covers(key: bytes, start: bytes, range_end: bytes) -> bool:
    if not range_end:
        return key == start
    return key >= start and (range_end == b"\0" or key < range_end)


class Model:
    def __init__(self) -> None:
        self.revision = 1
        self.compact_revision = 0
        self.state: State = {}
        self.past: dict[int, State] = {1: {}}
        self.leases: dict[int, int] = {}
        self.events: list[Event] = []
        self._changes = 0  # of the open revision

    # --- commands ---

    def apply(self, command: Command) -> Any:
        """The result, or the StoreError that is the result."""
        try:
            result = self._dispatch(command)
        except StoreError as error:
            assert not self._changes, "an error after a change"
            return error
        if self._changes:
            self.revision += 1
            self._changes = 0
        self.past[self.revision] = dict(self.state)
        return result

    def _dispatch(self, command: Command) -> Any:
        if isinstance(command, Put):
            check_put(command)
            self._check_put_state(command)
            return self._put(command)
        if isinstance(command, Delete):
            need_key(command.key)
            return self._delete(command)
        if isinstance(command, Txn):
            check_txn(command, 128)
            check_intervals(command.success)
            check_intervals(command.failure)
            plan = self._plan(command)
            self._check_plan(plan)
            return self._execute(plan)
        if isinstance(command, GrantLease):
            if command.id in self.leases:
                raise LeaseExists("")
            self.leases[command.id] = command.ttl
            return LeaseResult(self.revision, command.id, command.ttl)
        if isinstance(command, RevokeLease):
            return self._revoke(command)
        assert isinstance(command, Compact)
        return self._compact(command)

    @property
    def _current(self) -> int:
        return self.revision + bool(self._changes)

    def _revoke(self, command: RevokeLease) -> LeaseResult:
        if command.id not in self.leases:
            raise LeaseNotFound("")
        for key in sorted(self.keys_of(command.id)):
            self._remove(key)
        del self.leases[command.id]
        return LeaseResult(self._current, command.id, 0)

    def _compact(self, command: Compact) -> CompactResult:
        if command.revision <= self.compact_revision:
            raise Compacted("")
        if command.revision > self.revision:
            raise FutureRevision("")
        self.compact_revision = command.revision
        return CompactResult(self.revision, command.revision)

    def _check_put_state(self, put: Put) -> None:
        if put.lease and put.lease not in self.leases:
            raise LeaseNotFound("")
        if (put.ignore_value or put.ignore_lease) and put.key not in self.state:
            raise KeyNotFound("")

    def _put(self, put: Put) -> PutResult:
        old = self.state.get(put.key)
        main = self.revision + 1
        value = old.value if put.ignore_value and old else put.value
        lease = old.lease if put.ignore_lease and old else put.lease
        new = KeyValue(put.key, value, old.create_revision if old else main, main, old.version + 1 if old else 1, lease)
        self.state[put.key] = new
        self.events.append(Event(EventType.PUT, new, old.mod_revision if old else 0))
        self._changes += 1
        return PutResult(main, old if put.prev_kv else None)

    def _remove(self, key: bytes) -> KeyValue:
        old = self.state.pop(key)
        self.events.append(Event(EventType.DELETE, KeyValue(key, b"", 0, self.revision + 1, 0), old.mod_revision))
        self._changes += 1
        return old

    def _delete(self, delete: Delete) -> DeleteResult:
        keys = sorted(key for key in self.state if covers(key, delete.key, delete.range_end))
        old = [self._remove(key) for key in keys]
        return DeleteResult(self._current, len(keys), old if delete.prev_kv else [])

    # --- transactions ---

    def _plan(self, txn: Txn) -> tuple[bool, list[Any]]:
        succeeded = all(self._holds(compare) for compare in txn.compare)
        branch = txn.success if succeeded else txn.failure
        return succeeded, [self._plan(one) if isinstance(one, Txn) else one for one in branch]

    def _holds(self, compare: Compare) -> bool:
        found = [kv for key, kv in self.state.items() if covers(key, compare.key, compare.range_end)]
        if not found:
            if compare.target is CompareTarget.VALUE:
                return False
            found = [KeyValue(b"", b"", 0, 0, 0)]
        return all(holds_for(compare, kv) for kv in found)

    def _check_plan(self, plan: tuple[bool, list[Any]]) -> None:
        for one in plan[1]:
            if isinstance(one, Put):
                self._check_put_state(one)
            elif isinstance(one, Range):
                self._check_revision(one.revision)
            elif isinstance(one, tuple):
                self._check_plan(one)

    def _check_revision(self, revision: int) -> None:
        if revision > self.revision:
            raise FutureRevision("")
        if 0 < revision < self.compact_revision:
            raise Compacted("")

    def _execute(self, plan: tuple[bool, list[Any]]) -> TxnResult:
        responses: list[Any] = []
        for one in plan[1]:
            if isinstance(one, tuple):
                responses.append(self._execute(one))
            elif isinstance(one, Put):
                responses.append(self._put(one))
            elif isinstance(one, Delete):
                responses.append(self._delete(one))
            else:
                responses.append(self._select(one))
        return TxnResult(self._current, plan[0], responses)

    # --- reads ---

    def range(self, request: Range) -> RangeResult:
        need_key(request.key)
        self._check_revision(request.revision)
        return self._select(request)

    def _select(self, request: Range) -> RangeResult:
        state = self.state if request.revision <= 0 else self.past[request.revision]
        found = [state[key] for key in sorted(state) if covers(key, request.key, request.range_end)]
        count = len(found)
        found = [kv for kv in found if passes(request, kv)]
        found.sort(key=lambda kv: sort_key(request, kv), reverse=request.sort_order is SortOrder.DESCEND)
        more = bool(request.limit > 0 and len(found) > request.limit)
        if request.limit > 0:
            found = found[: request.limit]
        if request.keys_only:
            found = [KeyValue(kv.key, b"", *list_of(kv)[2:]) for kv in found]
        if request.count_only:
            found, more = [], False
        return RangeResult(self._current, found, count, more)

    def keys_of(self, lease: int) -> list[bytes]:
        return sorted(key for key, kv in self.state.items() if kv.lease == lease)


def list_of(kv: KeyValue) -> list[Any]:
    return [kv.key, kv.value, kv.create_revision, kv.mod_revision, kv.version, kv.lease]


def sort_key(request: Range, kv: KeyValue) -> Any:
    return {
        SortTarget.KEY: kv.key,
        SortTarget.VERSION: kv.version,
        SortTarget.CREATE: kv.create_revision,
        SortTarget.MOD: kv.mod_revision,
        SortTarget.VALUE: kv.value,
    }[request.sort_target]


def passes(request: Range, kv: KeyValue) -> bool:
    return (
        (not request.min_mod_revision or kv.mod_revision >= request.min_mod_revision)
        and (not request.max_mod_revision or kv.mod_revision <= request.max_mod_revision)
        and (not request.min_create_revision or kv.create_revision >= request.min_create_revision)
        and (not request.max_create_revision or kv.create_revision <= request.max_create_revision)
    )


def holds_for(compare: Compare, kv: KeyValue) -> bool:
    actual: Any = {
        CompareTarget.VERSION: kv.version,
        CompareTarget.CREATE: kv.create_revision,
        CompareTarget.MOD: kv.mod_revision,
        CompareTarget.VALUE: kv.value,
        CompareTarget.LEASE: kv.lease,
    }[compare.target]
    results: dict[CompareOp, bool] = {
        CompareOp.EQUAL: actual == compare.operand,
        CompareOp.NOT_EQUAL: actual != compare.operand,
        CompareOp.GREATER: actual > compare.operand,
        CompareOp.LESS: actual < compare.operand,
    }
    return results[compare.op]


def need_key(key: bytes) -> None:
    if not key:
        raise InvalidRequest("")


def check_put(put: Put) -> None:
    need_key(put.key)
    if (put.ignore_value and put.value) or (put.ignore_lease and put.lease):
        raise InvalidRequest("")


def check_txn(txn: Txn, allowed: int) -> None:
    widest = max(len(txn.compare), len(txn.success), len(txn.failure))
    if widest > allowed:
        raise TooManyOperations("")
    for compare in txn.compare:
        need_key(compare.key)
    for one in (*txn.success, *txn.failure):
        if isinstance(one, Txn):
            check_txn(one, allowed - widest)
        elif isinstance(one, Put):
            check_put(one)
        else:
            need_key(one.key)


def check_intervals(operations: Any) -> tuple[set[bytes], list[Delete]]:
    """etcd's checkIntervals, line by line, with ranges compared key by key."""
    deletes = [one for one in operations if isinstance(one, Delete)]
    puts: set[bytes] = set()

    def claim(key: bytes, safe: set[bytes]) -> None:
        if key in puts and key not in safe:
            raise DuplicateKey("")
        if any(covers(key, delete.key, delete.range_end) for delete in deletes):
            raise DuplicateKey("")
        puts.add(key)

    for one in operations:
        if isinstance(one, Txn):
            then_puts, then_deletes = check_intervals(one.success)
            else_puts, else_deletes = check_intervals(one.failure)
            for key in then_puts:
                claim(key, set())
            for key in else_puts:
                claim(key, then_puts)
            deletes = [*deletes, *then_deletes, *else_deletes]
    for one in operations:
        if isinstance(one, Put):
            claim(one.key, set())
    return puts, deletes
