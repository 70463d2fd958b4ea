"""Put, delete and transactions on a `Writer`: etcd's rules, checked before the first write.

A transaction is decided on the state before it: all compares, also those of nested transactions, and all
checks of the chosen path. Then it runs, and its ranges see its own earlier writes. That is etcd's order
(server/etcdserver/apply.go: `compareToPath`, `checkRequests`, `applyTxn`), and it leaves nothing to undo.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import KeyNotFound, LeaseNotFound
from ..model import (
    Compare,
    CompareOp,
    CompareTarget,
    Delete,
    DeleteResult,
    KeyValue,
    Operation,
    Put,
    PutResult,
    Range,
    RangeResult,
    Txn,
    TxnResult,
)
from .lease import lease_row
from .read import check_revision, newest, read_range
from .writer import Writer

Response = RangeResult | PutResult | DeleteResult | TxnResult

#: What was decided: the branch taken, and the same of its nested transactions in order.
Path = tuple[bool, tuple["Path", ...]]

_ABSENT = KeyValue(b"", b"", 0, 0, 0)


def check_put_state(writer: Writer, put: Put) -> None:
    """What a put needs of the state. Raises LeaseNotFound, KeyNotFound."""
    if put.lease and lease_row(writer.txn, writer.tables, put.lease) is None:
        raise LeaseNotFound(f"lease {put.lease} does not exist")
    if (put.ignore_value or put.ignore_lease) and writer.index_of(put.key) is None:
        raise KeyNotFound(f"key {put.key!r} does not exist, so there is no value or lease to keep")


def write_put(writer: Writer, put: Put) -> PutResult:
    """Write a put that was checked."""
    if not (put.prev_kv or put.ignore_value or put.ignore_lease):
        writer.put(put.key, put.value, put.lease)
        return PutResult(writer.current)
    previous = newest(writer.view(), put.key)
    value, lease = put.value, put.lease
    if previous is not None:
        value = previous.value if put.ignore_value else value
        lease = previous.lease if put.ignore_lease else lease
    writer.put(put.key, value, lease)
    return PutResult(writer.current, previous if put.prev_kv else None)


def write_delete(writer: Writer, delete: Delete) -> DeleteResult:
    deleted, previous = writer.delete_range(delete.key, delete.range_end, prev_kv=delete.prev_kv)
    return DeleteResult(writer.current, deleted, previous)


def run_txn(writer: Writer, txn: Txn) -> TxnResult:
    """Decide, check and run. Raises RequestError before anything is written."""
    path = _decide(writer, txn)
    _check_path(writer, txn, path)
    return _run(writer, txn, path)


def _decide(writer: Writer, txn: Txn) -> Path:
    succeeded = all(_holds(writer, compare) for compare in txn.compare)
    return succeeded, tuple(_decide(writer, one) for one in _branch(txn, succeeded) if isinstance(one, Txn))


def _branch(txn: Txn, succeeded: bool) -> tuple[Operation, ...]:
    return txn.success if succeeded else txn.failure


def _holds(writer: Writer, compare: Compare) -> bool:
    """A key that is not there has version, revisions and lease 0, and a value that equals nothing."""
    by_value = compare.target is CompareTarget.VALUE
    kvs = read_range(writer.view(), Range(compare.key, compare.range_end, keys_only=not by_value)).kvs
    if not kvs:
        return not by_value and _compare(compare, _ABSENT)
    return all(_compare(compare, kv) for kv in kvs)


def _compare(compare: Compare, kv: KeyValue) -> bool:
    actual, operand = _aspect(compare.target, kv), compare.operand
    if compare.op is CompareOp.EQUAL:
        return actual == operand
    if compare.op is CompareOp.NOT_EQUAL:
        return actual != operand
    # check() saw to it that both sides are of one type
    if compare.op is CompareOp.GREATER:
        return actual > operand  # type: ignore[operator]
    return actual < operand  # type: ignore[operator]


def _aspect(target: CompareTarget, kv: KeyValue) -> int | bytes:
    if target is CompareTarget.VALUE:
        return kv.value
    if target is CompareTarget.VERSION:
        return kv.version
    if target is CompareTarget.CREATE:
        return kv.create_revision
    if target is CompareTarget.MOD:
        return kv.mod_revision
    return kv.lease


def _check_path(writer: Writer, txn: Txn, path: Path) -> None:
    succeeded, nested = path
    following = iter(nested)
    for operation in _branch(txn, succeeded):
        if isinstance(operation, Put):
            check_put_state(writer, operation)
        elif isinstance(operation, Range):
            check_revision(operation.revision, revision=writer.revision, compact_revision=writer.compact_revision)
        elif isinstance(operation, Txn):
            _check_path(writer, operation, next(following))


def _run(writer: Writer, txn: Txn, path: Path) -> TxnResult:
    succeeded, nested = path
    following = iter(nested)
    responses = [_run_operation(writer, operation, following) for operation in _branch(txn, succeeded)]
    return TxnResult(writer.current, succeeded, responses)


def _run_operation(writer: Writer, operation: Operation, paths: Iterator[Path]) -> Response:
    if isinstance(operation, Put):
        return write_put(writer, operation)
    if isinstance(operation, Range):
        return read_range(writer.view(), operation)
    if isinstance(operation, Delete):
        return write_delete(writer, operation)
    return _run(writer, operation, next(paths))
