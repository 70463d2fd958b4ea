"""What we write by hand is read by the generated classes as meant, field for field."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from raftstore.etcd import wire
from raftstore.etcd.gen import kv_pb2, rpc_pb2
from raftstore.model import DeleteResult, Event, EventType, KeyValue, PutResult, RangeResult, TxnResult

INT64 = st.integers(-(2**63), 2**63 - 1)
COUNTS = st.one_of(st.sampled_from([0, 1, 127, 128, 16383, 16384, 2097151, 2097152, 2**63 - 1]), INT64)
KEY_VALUES = st.builds(
    KeyValue,
    key=st.binary(min_size=1, max_size=200),  # no key is empty
    value=st.binary(max_size=300),
    create_revision=COUNTS,
    mod_revision=COUNTS,
    version=COUNTS,
    lease=COUNTS,
)
HEADER = wire.Headers(2**63 - 3, 9).field(300, 4)


def message(kv: KeyValue) -> kv_pb2.KeyValue:
    return kv_pb2.KeyValue(
        key=kv.key,
        value=kv.value,
        create_revision=kv.create_revision,
        mod_revision=kv.mod_revision,
        version=kv.version,
        lease=kv.lease,
    )


def header_message() -> rpc_pb2.ResponseHeader:
    return rpc_pb2.ResponseHeader(cluster_id=2**63 - 3, member_id=9, revision=300, raft_term=4)


@given(KEY_VALUES)
def test_a_key_value_is_byte_for_byte_the_generated_one(kv: KeyValue) -> None:
    assert wire.key_value(kv) == message(kv).SerializeToString(deterministic=True)


@given(
    st.builds(
        RangeResult,
        revision=st.just(300),
        kvs=st.lists(KEY_VALUES, max_size=4),
        count=st.integers(0, 2**63 - 1),
        more=st.booleans(),
    )
)
def test_range(result: RangeResult) -> None:
    expected = rpc_pb2.RangeResponse(
        header=header_message(), kvs=map(message, result.kvs), more=result.more, count=result.count
    )
    assert rpc_pb2.RangeResponse.FromString(wire.range_response(HEADER, result)) == expected


@given(st.none() | KEY_VALUES)
def test_put(previous: KeyValue | None) -> None:
    expected = rpc_pb2.PutResponse(header=header_message(), prev_kv=message(previous) if previous is not None else None)
    written = wire.put_response(HEADER, PutResult(300, previous))
    assert rpc_pb2.PutResponse.FromString(written) == expected


RESULTS = st.recursive(
    st.one_of(
        st.builds(
            RangeResult,
            revision=COUNTS,
            kvs=st.lists(KEY_VALUES, max_size=2),
            count=st.integers(0, 9),
            more=st.booleans(),
        ),
        st.builds(PutResult, revision=COUNTS, prev_kv=st.none() | KEY_VALUES),
        st.builds(DeleteResult, revision=COUNTS, deleted=st.integers(0, 9), prev_kvs=st.lists(KEY_VALUES, max_size=2)),
    ),
    lambda inner: st.builds(TxnResult, revision=COUNTS, succeeded=st.booleans(), responses=st.lists(inner, max_size=3)),
    max_leaves=6,
)


def operation_message(
    result: RangeResult | PutResult | DeleteResult | TxnResult,
) -> rpc_pb2.ResponseOp:
    header = rpc_pb2.ResponseHeader(revision=result.revision)
    match result:
        case RangeResult():
            return rpc_pb2.ResponseOp(
                response_range=rpc_pb2.RangeResponse(
                    header=header, kvs=map(message, result.kvs), more=result.more, count=result.count
                )
            )
        case PutResult():
            previous = message(result.prev_kv) if result.prev_kv is not None else None
            return rpc_pb2.ResponseOp(response_put=rpc_pb2.PutResponse(header=header, prev_kv=previous))
        case DeleteResult():
            return rpc_pb2.ResponseOp(
                response_delete_range=rpc_pb2.DeleteRangeResponse(
                    header=header, deleted=result.deleted, prev_kvs=map(message, result.prev_kvs)
                )
            )
        case TxnResult():
            return rpc_pb2.ResponseOp(response_txn=txn_message(rpc_pb2.ResponseHeader(), result))


def txn_message(header: rpc_pb2.ResponseHeader, result: TxnResult) -> rpc_pb2.TxnResponse:
    return rpc_pb2.TxnResponse(
        header=header, succeeded=result.succeeded, responses=map(operation_message, result.responses)
    )


@given(st.builds(TxnResult, revision=st.just(300), succeeded=st.booleans(), responses=st.lists(RESULTS, max_size=4)))
def test_txn(result: TxnResult) -> None:
    read = rpc_pb2.TxnResponse.FromString(wire.txn_response(HEADER, result))
    assert read == txn_message(header_message(), result)


@given(st.sampled_from(EventType), KEY_VALUES, st.none() | KEY_VALUES, INT64, st.booleans())
def test_watch_events(kind: EventType, kv: KeyValue, previous: KeyValue | None, watch_id: int, fragment: bool) -> None:
    body = wire.event(Event(kind, kv, 0, previous))
    expected = kv_pb2.Event(
        type=kv_pb2.Event.DELETE if kind is EventType.DELETE else kv_pb2.Event.PUT,
        kv=message(kv),
        prev_kv=message(previous) if previous is not None else None,
    )
    response = rpc_pb2.WatchResponse.FromString(wire.watch_events(HEADER, watch_id, [body, body], fragment=fragment))
    assert response == rpc_pb2.WatchResponse(
        header=header_message(), watch_id=watch_id, fragment=fragment, events=[expected, expected]
    )


@given(INT64, st.text(max_size=40), st.integers(0, 2**63 - 1), st.booleans())
def test_watch_control_answers(watch_id: int, reason: str, compacted: int, created: bool) -> None:
    written = wire.watch_canceled(HEADER, watch_id, reason=reason, compact_revision=compacted, created=created)
    assert rpc_pb2.WatchResponse.FromString(written) == rpc_pb2.WatchResponse(
        header=header_message(),
        watch_id=watch_id,
        canceled=True,
        created=created,
        compact_revision=compacted,
        cancel_reason=reason,
    )
    assert rpc_pb2.WatchResponse.FromString(wire.watch_created(HEADER, watch_id)) == rpc_pb2.WatchResponse(
        header=header_message(), watch_id=watch_id, created=True
    )
