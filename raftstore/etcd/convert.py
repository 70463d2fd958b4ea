"""etcd's request messages to the store's own words.

Pure. Refuses, in etcd's words, what has no meaning to the store; everything else a request may be guilty
of (sizes, number of operations, keys written twice) is the store's to find, so that it is found once.
"""

from __future__ import annotations

from collections.abc import Iterator

import grpc

from ..model import (
    Compare,
    CompareOp,
    CompareTarget,
    Delete,
    Operation,
    Put,
    Range,
    SortOrder,
    SortTarget,
    Txn,
)
from .gen import rpc_pb2 as pb
from .identity import KeyRange
from .status import EMPTY_KEY, EMPTY_OPERATION, LEASE_PROVIDED, VALUE_PROVIDED, Refused, Status

_SORT_ORDERS = tuple(SortOrder)
_SORT_TARGETS = tuple(SortTarget)
_COMPARE_OPS = tuple(CompareOp)
#: target → the oneof member that holds its operand
_OPERANDS = {
    CompareTarget.VERSION: "version",
    CompareTarget.CREATE: "create_revision",
    CompareTarget.MOD: "mod_revision",
    CompareTarget.VALUE: "value",
    CompareTarget.LEASE: "lease",
}
_TXN_DEPTH_MAX = 32  # deeper nesting than any client writes; bounds our recursion (protobuf's own bound is 100)


def _unknown(field: str, number: int) -> Refused:
    return Refused(Status(grpc.StatusCode.INVALID_ARGUMENT, f"etcdserver: {field} {number} is not known"))


def range_of(message: pb.RangeRequest) -> Range:
    """Negative limits and revisions mean none and newest, as in etcd. Raises Refused."""
    if not message.key:
        raise Refused(EMPTY_KEY)
    if message.sort_order >= len(_SORT_ORDERS) or message.sort_order < 0:
        raise _unknown("sort_order", message.sort_order)
    if message.sort_target >= len(_SORT_TARGETS) or message.sort_target < 0:
        raise _unknown("sort_target", message.sort_target)
    return Range(
        key=message.key,
        range_end=message.range_end,
        limit=max(0, message.limit),
        revision=max(0, message.revision),
        sort_order=_SORT_ORDERS[message.sort_order],
        sort_target=_SORT_TARGETS[message.sort_target],
        keys_only=message.keys_only,
        count_only=message.count_only,
        min_mod_revision=message.min_mod_revision,
        max_mod_revision=message.max_mod_revision,
        min_create_revision=message.min_create_revision,
        max_create_revision=message.max_create_revision,
    )


def put_of(message: pb.PutRequest) -> Put:
    """Raises Refused."""
    key, value, lease = message.key, message.value, message.lease
    if not key:
        raise Refused(EMPTY_KEY)
    ignore_value, ignore_lease = message.ignore_value, message.ignore_lease
    if ignore_value and value:
        raise Refused(VALUE_PROVIDED)
    if ignore_lease and lease:
        raise Refused(LEASE_PROVIDED)
    return Put(key, value, lease, message.prev_kv, ignore_value, ignore_lease)


def delete_of(message: pb.DeleteRangeRequest) -> Delete:
    """Raises Refused."""
    if not message.key:
        raise Refused(EMPTY_KEY)
    return Delete(key=message.key, range_end=message.range_end, prev_kv=message.prev_kv)


def compare_of(message: pb.Compare) -> Compare:
    """The operand is the member of the oneof that belongs to the target; one not given is 0 or b""."""
    if not message.key:
        raise Refused(EMPTY_KEY)
    try:
        target = CompareTarget(message.target)
    except ValueError:
        raise _unknown("compare target", message.target) from None
    if not 0 <= message.result < len(_COMPARE_OPS):
        raise _unknown("compare result", message.result)
    return Compare(
        key=message.key,
        target=target,
        op=_COMPARE_OPS[message.result],
        operand=getattr(message, _OPERANDS[target]),
        range_end=message.range_end,
    )


def _operation_of(message: pb.RequestOp, depth: int) -> Operation:
    match message.WhichOneof("request"):
        case "request_range":
            return range_of(message.request_range)
        case "request_put":
            return put_of(message.request_put)
        case "request_delete_range":
            return delete_of(message.request_delete_range)
        case "request_txn":
            return txn_of(message.request_txn, depth + 1)
        case _:
            raise Refused(EMPTY_OPERATION)


def txn_of(message: pb.TxnRequest, depth: int = 0) -> Txn:
    """Raises Refused."""
    if depth > _TXN_DEPTH_MAX:
        raise Refused(Status(grpc.StatusCode.INVALID_ARGUMENT, "etcdserver: transactions nest too deep"))
    return Txn(
        compare=tuple(compare_of(compare) for compare in message.compare),
        success=tuple(_operation_of(operation, depth) for operation in message.success),
        failure=tuple(_operation_of(operation, depth) for operation in message.failure),
    )


def parts_of(txn: Txn) -> Iterator[tuple[str, KeyRange]]:
    """Every (rpc, keys) a transaction may touch, on both branches; a compare reads."""
    for compare in txn.compare:
        yield "KV.Range", KeyRange(compare.key, compare.range_end)
    for operation in (*txn.success, *txn.failure):
        match operation:
            case Range():
                yield "KV.Range", KeyRange(operation.key, operation.range_end)
            case Put():
                yield "KV.Put", KeyRange(operation.key)
            case Delete():
                yield "KV.DeleteRange", KeyRange(operation.key, operation.range_end)
            case Txn():
                yield from parts_of(operation)
