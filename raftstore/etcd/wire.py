"""Protobuf bytes of the answers that carry keys, written by hand.

A generated message copies every key and value into the message and out again; on a range of 10,000 keys
that is three times the work of writing the bytes once. So answers with keys (range, put, delete, txn, watch)
are encoded here straight from the store's own structs, and everything else uses the generated classes.
What must always hold: the generated classes read these bytes as the message meant, field for field
(tests/unit/etcd/test_wire.py). Like them we leave out fields that are zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..model import (
    DeleteResult,
    Event,
    EventType,
    KeyValue,
    PutResult,
    RangeResult,
    TxnResult,
)

_UINT64 = (1 << 64) - 1


def _varint_slow(number: int) -> bytes:
    """Negative numbers go out as their two's complement in 64 bits: ten bytes."""
    number &= _UINT64
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


_SMALL = tuple(_varint_slow(number) for number in range(1 << 14))


def varint(number: int) -> bytes:
    if 0 <= number < 16384:
        return _SMALL[number]
    if 0 < number < 2097152:  # three bytes: most revisions
        return bytes((number & 0x7F | 0x80, number >> 7 & 0x7F | 0x80, number >> 14))
    return _varint_slow(number)


def _message(tag: bytes, body: bytes) -> bytes:
    return b"%b%b%b" % (tag, varint(len(body)), body)


def _number(tag: bytes, number: int) -> bytes:
    return tag + varint(number) if number else b""


# Tags: field number << 3 | wire type (0 varint, 2 bytes).
_F1, _F2, _F3, _F11 = b"\x0a", b"\x12", b"\x1a", b"\x5a"  # length-delimited
_F6_BYTES = b"\x32"
_N1, _N2, _N3, _N4, _N5, _N7 = b"\x08", b"\x10", b"\x18", b"\x20", b"\x28", b"\x38"  # varint


def key_value(kv: KeyValue) -> bytes:
    """The body of an mvccpb.KeyValue."""
    key, value, created, modified, version, lease = (
        kv.key,
        kv.value,
        kv.create_revision,
        kv.mod_revision,
        kv.version,
        kv.lease,
    )
    if not (created and modified and version and value) or lease:
        return _sparse_key_value(kv)
    return b"\x0a%b%b\x10%b\x18%b\x20%b\x2a%b%b" % (
        varint(len(key)),
        key,
        varint(created),
        varint(modified),
        varint(version),
        varint(len(value)),
        value,
    )


def _sparse_key_value(kv: KeyValue) -> bytes:
    return b"".join(
        (
            _message(_F1, kv.key) if kv.key else b"",
            _number(_N2, kv.create_revision),
            _number(_N3, kv.mod_revision),
            _number(_N4, kv.version),
            _message(b"\x2a", kv.value) if kv.value else b"",
            _number(b"\x30", kv.lease),
        )
    )


def event(happened: Event) -> bytes:
    """The body of an mvccpb.Event."""
    body = _message(_F2, key_value(happened.kv))
    if happened.type is EventType.DELETE:
        body = b"\x08\x01" + body
    if happened.prev_kv is not None:
        body += _message(_F3, key_value(happened.prev_kv))
    return body


class Headers:
    """Response headers of one member: (cluster, member) never change, so they are encoded once."""

    __slots__ = ("_prefix",)

    def __init__(self, cluster_id: int, member_id: int) -> None:
        self._prefix = _number(_N1, cluster_id) + _number(_N2, member_id)

    def body(self, revision: int, term: int) -> bytes:
        """The bytes of an etcdserverpb.ResponseHeader."""
        return b"".join((self._prefix, _number(_N3, revision), _number(_N4, term)))

    def field(self, revision: int, term: int) -> bytes:
        """The header as field 1 of a response, which is where every response has it."""
        return _message(_F1, self.body(revision, term))


# --- responses; `header` is `Headers.field(...)`, or a revision alone within a transaction ---


def range_response(header: bytes, result: RangeResult) -> bytes:
    return range_head(header, result) + range_keys(result.kvs)


def range_head(header: bytes, result: RangeResult) -> bytes:
    """A RangeResponse but for its keys, which follow in any number of `range_keys`."""
    return b"".join((header, b"\x18\x01" if result.more else b"", _number(_N4, result.count)))


def range_keys(kvs: Sequence[KeyValue]) -> bytes:
    parts: list[bytes] = []
    for kv in kvs:
        body = key_value(kv)
        parts += (_F2, varint(len(body)), body)
    return b"".join(parts)


def put_response(header: bytes, result: PutResult) -> bytes:
    if result.prev_kv is None:
        return header
    return header + _message(_F2, key_value(result.prev_kv))


def delete_response(header: bytes, result: DeleteResult) -> bytes:
    parts = [header, _number(_N2, result.deleted)]
    parts.extend(_message(_F3, key_value(kv)) for kv in result.prev_kvs)
    return b"".join(parts)


def txn_response(header: bytes, result: TxnResult) -> bytes:
    parts = [header, b"\x10\x01" if result.succeeded else b""]
    parts.extend(_message(_F3, _operation_response(response)) for response in result.responses)
    return b"".join(parts)


def _operation_response(result: RangeResult | PutResult | DeleteResult | TxnResult) -> bytes:
    """A ResponseOp. As in etcd its header holds the revision and nothing else, a transaction's not even that."""
    header = _message(_F1, _number(_N3, result.revision))
    match result:
        case RangeResult():
            return _message(_F1, range_response(header, result))
        case PutResult():
            return _message(_F2, put_response(header, result))
        case DeleteResult():
            return _message(_F3, delete_response(header, result))
        case TxnResult():
            return _message(b"\x22", txn_response(_message(_F1, b""), result))


def watch_events(header: bytes, watch_id: int, events: Iterable[bytes], *, fragment: bool = False) -> bytes:
    """A WatchResponse of events that `event` has encoded."""
    parts = [header, _number(_N2, watch_id)]
    if fragment:
        parts.append(_N7 + b"\x01")
    for body in events:
        parts += (_F11, varint(len(body)), body)
    return b"".join(parts)


def watch_created(header: bytes, watch_id: int) -> bytes:
    return b"".join((header, _number(_N2, watch_id), _N3, b"\x01"))


def watch_canceled(
    header: bytes, watch_id: int, *, reason: str = "", compact_revision: int = 0, created: bool = False
) -> bytes:
    return b"".join(
        (
            header,
            _number(_N2, watch_id),
            _N3 + b"\x01" if created else b"",
            _N4 + b"\x01",
            _number(_N5, compact_revision),
            _message(_F6_BYTES, reason.encode()) if reason else b"",
        )
    )
