"""The few etcd v3 messages a load generator sends, encoded by hand, and the one field it reads back.

The load generators send bytes prepared ahead, so the generated classes would only add their cost. Field
numbers are those of etcd's rpc.proto (https://github.com/etcd-io/etcd/blob/release-3.4/etcdserver/etcdserverpb/rpc.proto).
"""

from __future__ import annotations

from collections.abc import Iterator

_LENGTH_DELIMITED = 2

PUT = "/etcdserverpb.KV/Put"
RANGE = "/etcdserverpb.KV/Range"
WATCH = "/etcdserverpb.Watch/Watch"
STATUS = "/etcdserverpb.Maintenance/Status"


def varint(value: int) -> bytes:
    """Base-128, least significant group first. Raises ValueError for a negative value."""
    if value < 0:
        raise ValueError(f"varint of {value}")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def delimited(field: int, content: bytes) -> bytes:
    return varint(field << 3 | _LENGTH_DELIMITED) + varint(len(content)) + content


def put_request(key: bytes, value: bytes) -> bytes:
    return delimited(1, key) + delimited(2, value)


def range_request(key: bytes, range_end: bytes = b"") -> bytes:
    """Linearizable: `serializable` is left false."""
    return delimited(1, key) + (delimited(2, range_end) if range_end else b"")


def watch_create_request(key: bytes) -> bytes:
    return delimited(1, delimited(1, key))


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(field number, value) of a message: integers of varint fields, bytes of delimited ones.

    Raises ValueError for a wire type that none of the messages read here uses, or a cut message.
    """
    offset = 0
    while offset < len(message):
        tag, offset = _read_varint(message, offset)
        if tag & 7 == 0:
            value, offset = _read_varint(message, offset)
            yield tag >> 3, value
        elif tag & 7 == _LENGTH_DELIMITED:
            length, offset = _read_varint(message, offset)
            if offset + length > len(message):
                raise ValueError("protobuf: message cut short")
            yield tag >> 3, message[offset : offset + length]
            offset += length
        else:
            raise ValueError(f"protobuf: unexpected wire type {tag & 7}")


def _read_varint(message: bytes, offset: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if offset >= len(message):
            raise ValueError("protobuf: message cut short")
        byte = message[offset]
        offset += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, offset


def integer(message: bytes, *path: int) -> int:
    """The integer at a path of field numbers; 0, protobuf's default, when a part of it is absent."""
    for depth, number in enumerate(path):
        found = next((value for field, value in fields(message) if field == number), None)
        if depth == len(path) - 1:
            return found if isinstance(found, int) else 0
        if not isinstance(found, bytes):
            return 0
        message = found
    return 0


def revision_of(response: bytes) -> int:
    """The revision in the header of any etcd response."""
    return integer(response, 1, 3)
