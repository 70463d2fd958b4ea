"""What can be said about a request without looking at the state: limits and forbidden combinations.

`check` runs before a proposal and again when it is applied, so it depends on nothing but the command. The
rules are etcd's (server/etcdserver/api/v3rpc/key.go: `checkTxnRequest`, `checkIntervals`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..command import Command, GrantLease, RegisterSession, SetAlarm
from ..errors import (
    DuplicateKey,
    InvalidRequest,
    KeyTooLarge,
    LeaseTTLTooLarge,
    RequestTooLarge,
    TooManyOperations,
)
from ..limits import LEASE_TTL_S_MAX, REQUEST_BYTES_MAX, TXN_OPERATIONS_MAX
from ..model import AlarmType, Compare, CompareTarget, Delete, Operation, Put, Range, Txn
from .schema import KEY_BYTES_MAX, within

ID_MAX = 2**63 - 1


def check(command: Command) -> None:
    """Raises a RequestError that names the rule the command breaks."""
    if isinstance(command, Put):
        check_put(command)
    elif isinstance(command, Txn):
        _check_size(_txn_bytes(command))
        _check_txn(command, TXN_OPERATIONS_MAX)
        check_overlaps(command.success)
        check_overlaps(command.failure)
    elif isinstance(command, Delete):
        _check_size(_check_key(command.key) + len(command.range_end))
    else:
        _check_other(command)


def check_put(command: Put) -> None:
    """Raises a RequestError when this put cannot be right whatever the state."""
    key = command.key
    if not key:
        raise InvalidRequest("the key is empty")
    if len(key) > KEY_BYTES_MAX:
        raise KeyTooLarge(f"a key of {len(key)} bytes is longer than the limit of {KEY_BYTES_MAX}")
    _check_size(len(key) + len(command.value))
    if command.ignore_value and command.value:
        raise InvalidRequest("ignore_value is set and a value is given")
    if command.ignore_lease and command.lease:
        raise InvalidRequest("ignore_lease is set and a lease is given")


def check_range(request: Range) -> None:
    """Raises InvalidRequest for a Range without a key."""
    _check_key(request.key)


def writes(command: Command) -> bool:
    """Whether the command makes the state grow: what the NOSPACE alarm stops."""
    if isinstance(command, Txn):
        return any(isinstance(operation, Put) for operation in _all_operations(command))
    return isinstance(command, Put | GrantLease)


def _check_other(command: Command) -> None:
    if isinstance(command, GrantLease):
        if not 0 < abs(command.id) <= ID_MAX:
            raise InvalidRequest(f"lease id {command.id} is not a 64-bit number other than 0")
        if command.ttl > LEASE_TTL_S_MAX:
            raise LeaseTTLTooLarge(f"a time to live of {command.ttl} s passes the limit of {LEASE_TTL_S_MAX} s")
    elif isinstance(command, RegisterSession):
        if not 0 < command.session <= ID_MAX:
            raise InvalidRequest(f"session {command.session} is not in [1, 2**63)")
    elif isinstance(command, SetAlarm) and (
        command.alarm.type is AlarmType.NONE or not 0 <= command.alarm.member <= ID_MAX
    ):
        raise InvalidRequest(f"alarm {command.alarm} names no alarm or no member")


def _check_size(size_bytes: int) -> None:
    if size_bytes > REQUEST_BYTES_MAX:
        raise RequestTooLarge(f"a request of {size_bytes} bytes is larger than the limit of {REQUEST_BYTES_MAX}")


def _check_key(key: bytes) -> int:
    if not key:
        raise InvalidRequest("the key is empty")
    return len(key)


def _check_txn(txn: Txn, operations_max: int) -> None:
    """A nested transaction has what its parent leaves of the limit, so nesting is bounded too."""
    count = max(len(txn.compare), len(txn.success), len(txn.failure))
    if count > operations_max:
        raise TooManyOperations(f"a transaction has {count} operations where {operations_max} are allowed")
    for compare in txn.compare:
        _check_compare(compare)
    for operation in (*txn.success, *txn.failure):
        if isinstance(operation, Txn):
            _check_txn(operation, operations_max - count)
        elif isinstance(operation, Put):
            check_put(operation)
        else:
            _check_key(operation.key)


def _check_compare(compare: Compare) -> None:
    _check_key(compare.key)
    wanted = bytes if compare.target is CompareTarget.VALUE else int
    if not isinstance(compare.operand, wanted):
        raise InvalidRequest(f"{compare.target.name.lower()} is compared with {wanted.__name__}")


def _all_operations(txn: Txn) -> Iterator[Operation]:
    for operation in (*txn.success, *txn.failure):
        yield operation
        if isinstance(operation, Txn):
            yield from _all_operations(operation)


def _txn_bytes(txn: Txn) -> int:
    """Keys and values of the whole tree. Counted without recursion: depth is not checked yet."""
    size, pending = 0, [txn]
    while pending:
        one = pending.pop()
        for compare in one.compare:
            operand = compare.operand
            size += len(compare.key) + len(compare.range_end) + (len(operand) if isinstance(operand, bytes) else 8)
        for operation in (*one.success, *one.failure):
            if isinstance(operation, Txn):
                pending.append(operation)
            elif isinstance(operation, Put):
                size += len(operation.key) + len(operation.value)
            else:
                size += len(operation.key) + len(operation.range_end)
    return size


# --- one key written twice ------------------------------------------------------------------------


class _Interval:
    """Deleted ranges of one level, as plain [start, end) pairs: at most TXN_OPERATIONS_MAX of them."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: list[tuple[bytes, bytes]]) -> None:
        self.pairs = pairs

    def contains(self, key: bytes) -> bool:
        return any(start <= key < end for start, end in self.pairs)


def check_overlaps(operations: Sequence[Operation]) -> None:
    """Raises DuplicateKey when one branch may put a key twice, or put it and delete it.

    The two branches of a nested transaction never run both, so they may write the same keys.
    """
    _puts_and_deletes(operations)


def _puts_and_deletes(operations: Sequence[Operation]) -> tuple[set[bytes], _Interval]:
    deletes = _Interval([(one.key, within(one.key, one.range_end)) for one in operations if isinstance(one, Delete)])
    puts: set[bytes] = set()
    for nested in operations:
        if isinstance(nested, Txn):
            then_puts, then_deletes = _puts_and_deletes(nested.success)
            else_puts, else_deletes = _puts_and_deletes(nested.failure)
            _refuse(then_puts, puts, deletes)
            _refuse(else_puts, puts, deletes)
            puts |= then_puts | else_puts
            deletes.pairs += then_deletes.pairs + else_deletes.pairs
    for operation in operations:
        if isinstance(operation, Put):
            _refuse({operation.key}, puts, deletes)
            puts.add(operation.key)
    return puts, deletes


def _refuse(new: set[bytes], puts: set[bytes], deletes: _Interval) -> None:
    for key in new:
        if key in puts or deletes.contains(key):
            raise DuplicateKey(f"a transaction writes key {key!r} twice")
