"""Requests come out as the store's words, and what has no meaning is refused in etcd's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftstore.etcd import convert, status
from raftstore.etcd.gen import rpc_pb2 as pb
from raftstore.etcd.identity import KeyRange
from raftstore.model import (
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

KEYS = st.binary(min_size=1, max_size=8)
ENDS = st.binary(max_size=8)
COUNTS = st.integers(0, 2**63 - 1)
OPERAND_FIELDS = {
    CompareTarget.VERSION: "version",
    CompareTarget.CREATE: "create_revision",
    CompareTarget.MOD: "mod_revision",
    CompareTarget.VALUE: "value",
    CompareTarget.LEASE: "lease",
}

RANGES = st.builds(
    Range,
    key=KEYS,
    range_end=ENDS,
    limit=COUNTS,
    revision=COUNTS,
    sort_order=st.sampled_from(SortOrder),
    sort_target=st.sampled_from(SortTarget),
    keys_only=st.booleans(),
    count_only=st.booleans(),
    min_mod_revision=COUNTS,
    max_mod_revision=COUNTS,
    min_create_revision=COUNTS,
    max_create_revision=COUNTS,
)
PUTS = st.one_of(
    st.builds(Put, key=KEYS, value=ENDS, lease=st.integers(-(2**63), 2**63 - 1), prev_kv=st.booleans()),
    st.builds(Put, key=KEYS, ignore_value=st.booleans(), ignore_lease=st.booleans()),
)
DELETES = st.builds(Delete, key=KEYS, range_end=ENDS, prev_kv=st.booleans())


@st.composite
def compares(draw: st.DrawFn) -> Compare:
    target = draw(st.sampled_from(CompareTarget))
    operands: st.SearchStrategy[int | bytes] = ENDS if target is CompareTarget.VALUE else COUNTS
    return Compare(draw(KEYS), target, draw(st.sampled_from(CompareOp)), draw(operands), draw(ENDS))


def txns(operations: st.SearchStrategy[Operation]) -> st.SearchStrategy[Txn]:
    several = st.lists(operations, max_size=3).map(tuple)
    return st.builds(Txn, compare=st.lists(compares(), max_size=3).map(tuple), success=several, failure=several)


OPERATIONS: st.SearchStrategy[Operation] = st.recursive(st.one_of(RANGES, PUTS, DELETES), txns, max_leaves=6)


def range_message(request: Range) -> pb.RangeRequest:
    return pb.RangeRequest(
        key=request.key,
        range_end=request.range_end,
        limit=request.limit,
        revision=request.revision,
        sort_order=int(request.sort_order),  # type: ignore[arg-type]  # the stubs want the enum's own type
        sort_target=int(request.sort_target),  # type: ignore[arg-type]
        keys_only=request.keys_only,
        count_only=request.count_only,
        min_mod_revision=request.min_mod_revision,
        max_mod_revision=request.max_mod_revision,
        min_create_revision=request.min_create_revision,
        max_create_revision=request.max_create_revision,
    )


def put_message(request: Put) -> pb.PutRequest:
    return pb.PutRequest(
        key=request.key,
        value=request.value,
        lease=request.lease,
        prev_kv=request.prev_kv,
        ignore_value=request.ignore_value,
        ignore_lease=request.ignore_lease,
    )


def delete_message(request: Delete) -> pb.DeleteRangeRequest:
    return pb.DeleteRangeRequest(key=request.key, range_end=request.range_end, prev_kv=request.prev_kv)


def operation_message(operation: Operation) -> pb.RequestOp:
    match operation:
        case Range():
            return pb.RequestOp(request_range=range_message(operation))
        case Put():
            return pb.RequestOp(request_put=put_message(operation))
        case Delete():
            return pb.RequestOp(request_delete_range=delete_message(operation))
        case Txn():
            return pb.RequestOp(request_txn=txn_message(operation))


def compare_message(compare: Compare) -> pb.Compare:
    message = pb.Compare(
        result=int(compare.op),  # type: ignore[arg-type]
        target=int(compare.target),  # type: ignore[arg-type]
        key=compare.key,
        range_end=compare.range_end,
    )
    setattr(message, OPERAND_FIELDS[compare.target], compare.operand)
    return message


def txn_message(txn: Txn) -> pb.TxnRequest:
    return pb.TxnRequest(
        compare=map(compare_message, txn.compare),
        success=map(operation_message, txn.success),
        failure=map(operation_message, txn.failure),
    )


@given(RANGES)
def test_range_round_trip(request: Range) -> None:
    assert convert.range_of(range_message(request)) == request


@given(PUTS)
def test_put_round_trip(request: Put) -> None:
    assert convert.put_of(put_message(request)) == request


@given(txns(OPERATIONS))
def test_txn_round_trip(txn: Txn) -> None:
    sent = pb.TxnRequest.FromString(txn_message(txn).SerializeToString())
    assert convert.txn_of(sent) == txn


@given(txns(OPERATIONS))
def test_every_key_a_transaction_names_is_put_before_the_rule(txn: Txn) -> None:
    def named(txn: Txn) -> list[tuple[bytes, bytes]]:
        found = [(compare.key, compare.range_end) for compare in txn.compare]
        for operation in txn.success + txn.failure:
            match operation:
                case Txn():
                    found += named(operation)
                case Put():
                    found.append((operation.key, b""))
                case Range() | Delete():
                    found.append((operation.key, operation.range_end))
        return found

    assert sorted(keys for _, keys in convert.parts_of(txn)) == sorted(KeyRange(*pair) for pair in named(txn))


def test_negative_limit_and_revision_mean_none_and_newest() -> None:
    request = convert.range_of(pb.RangeRequest(key=b"k", limit=-1, revision=-5))
    assert (request.limit, request.revision) == (0, 0)


@pytest.mark.parametrize(
    ("refused", "expected"),
    [
        (lambda: convert.range_of(pb.RangeRequest()), status.EMPTY_KEY),
        (lambda: convert.put_of(pb.PutRequest(value=b"v")), status.EMPTY_KEY),
        (lambda: convert.put_of(pb.PutRequest(key=b"k", value=b"v", ignore_value=True)), status.VALUE_PROVIDED),
        (lambda: convert.put_of(pb.PutRequest(key=b"k", lease=3, ignore_lease=True)), status.LEASE_PROVIDED),
        (lambda: convert.delete_of(pb.DeleteRangeRequest(range_end=b"z")), status.EMPTY_KEY),
        (lambda: convert.txn_of(pb.TxnRequest(compare=[pb.Compare()])), status.EMPTY_KEY),
        (lambda: convert.txn_of(pb.TxnRequest(success=[pb.RequestOp()])), status.EMPTY_OPERATION),
    ],
)
def test_refusals_in_etcds_words(refused: object, expected: status.Status) -> None:
    with pytest.raises(status.Refused) as caught:
        refused()  # type: ignore[operator]
    assert caught.value.status == expected


def test_unknown_enumerations_are_refused_by_number() -> None:
    for message in (pb.RangeRequest(key=b"k"), pb.RangeRequest(key=b"k")):
        message.sort_order = 17  # type: ignore[assignment]  # what a newer client could send
        with pytest.raises(status.Refused, match="sort_order 17"):
            convert.range_of(message)
    compare = pb.Compare(key=b"k")
    compare.target = 9  # type: ignore[assignment]
    with pytest.raises(status.Refused, match="target 9"):
        convert.compare_of(compare)


def test_transactions_nested_without_end_are_refused() -> None:
    message = pb.TxnRequest()
    for _ in range(40):
        message = pb.TxnRequest(success=[pb.RequestOp(request_txn=message)])
    with pytest.raises(status.Refused, match="nest too deep"):
        convert.txn_of(message)
