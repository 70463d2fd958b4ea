"""Whatever comes as protobuf, the answer is one BadRequest in plain words, soon, and never anything else."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from protobuf_world import body, field, recorded, recorded_body, recorded_type, varint

from apiserver.api.coordination import Lease
from apiserver.api.core.config import ConfigMap
from apiserver.api.core.event import Event
from apiserver.api.core.pod import Pod
from apiserver.api.core.service import Service
from apiserver.api.errors import BadRequest, UnsupportedMediaType
from apiserver.api.v1alpha1.pods import Pod as AlphaPod
from apiserver.decode import DEPTH_MAX, PROTOBUF_FIELDS_MAX, VALUES_MAX, decode_object
from apiserver.protobuf import MEDIA_TYPE
from apiserver.protobuf.body import MAGIC
from apiserver.protobuf.messages import Message
from apiserver.protobuf.wire import BYTES, Piece, Wire, WireError

_DEEP_JSON = b'{"a":' * 100 + b"1" + b"}" * 100


def _fields_v1(raw: bytes) -> bytes:
    return body(field(1, field(17, field(7, field(1, raw)))), "ConfigMap")


@pytest.mark.parametrize(
    ("raw", "type_", "words"),
    [
        (b"", Pod, "does not begin with"),
        (b"{}", Pod, "does not begin with"),
        (MAGIC[:3], Pod, "does not begin with"),
        (MAGIC + b"\x0a", Pod, "it is cut short"),
        (MAGIC + b"\x0a\x05ab", Pod, "it is cut short"),
        (MAGIC + b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7f", Pod, "it is cut short"),
        (MAGIC + b"\x80" * 9 + b"\x02", Pod, "more than 64 bits"),
        (MAGIC + b"\x80" * 11, Pod, "more than 64 bits"),
        (MAGIC + b"\x00", Pod, "number 0"),
        (MAGIC + varint(1 << 32), Pod, "number 536870912"),
        (MAGIC + b"\x13", Pod, "wire type 3"),
        (MAGIC + b"\x14", Pod, "wire type 4"),
        (MAGIC + b"\x17", Pod, "wire type 7"),
        (MAGIC + b"\x19\x00", Pod, "it is cut short"),
        (MAGIC + b"\x1d\x00", Pod, "it is cut short"),
        (MAGIC + field(2, 7), Pod, "the object must be a message"),
        (MAGIC + field(1, 7), Pod, "must be a text or message, not a number"),
        (MAGIC + field(3, "gzip"), Pod, "encoded as 'gzip'"),
        (MAGIC + field(4, "application/json"), Pod, "of type 'application/json'"),
        (body(b"", "Node"), Pod, "Node in version 'v1' cannot be handled as a Pod"),
        (body(field(1, 7), "Pod"), Pod, ": metadata: must be a text or message, not a number"),
        (body(field(1, field(1, 7)), "Pod"), Pod, ": metadata.name: must be a text or message, not a number"),
        (body(field(1, field(7, "x")), "Pod"), Pod, ": metadata.generation: must be a number, not a text or message"),
        (body(field(1, field(1, b"\xff")), "Pod"), Pod, ": metadata.name: the text is not UTF-8"),
        (
            body(field(2, field(2, b"") + field(2, field(1, b"\xff"))), "Pod"),
            Pod,
            ": spec.containers[1].name: the text is not UTF-8",
        ),
        (
            body(field(2, field(1, field(2, field(6, field(1, 1))))), "Pod"),
            Pod,
            ": spec.volumes[0].secret.secretName: must be a text or message",
        ),
        (body(field(2, field(1, "a") + field(2, b"\xff")), "ConfigMap"), ConfigMap, ": data[a]: the text is not UTF-8"),
        (body(field(2, field(1, b"\xff")), "ConfigMap"), ConfigMap, ": data: the text is not UTF-8"),
        (
            body(field(2, field(1, field(4, field(1, 5)))), "Service"),
            Service,
            ": spec.ports[0].targetPort: must be a number (type 0) or a text (type 1), not of type 5",
        ),
        (body(field(2, field(1, field(3, 1 << 40))), "Service"), Service, "spec.ports[0].port: expected"),
        (
            body(field(1, field(8, field(1, 1 << 62))), "Pod"),
            Pod,
            ": metadata.creationTimestamp: the time lies",
        ),
        (
            body(field(1, field(8, field(1, 1 << 40))), "Pod"),
            Pod,
            ": metadata.creationTimestamp: the time lies",
        ),
        (body(field(2, field(3, field(2, -1))), "Lease"), Lease, ": spec.acquireTime: the nanoseconds"),
        (body(field(2, field(3, field(2, 10**9))), "Lease"), Lease, ": spec.acquireTime: the nanoseconds"),
        (_fields_v1(b"{"), ConfigMap, ": metadata.managedFields[0].fieldsV1: its content is not valid JSON"),
        (_fields_v1(b"\xff"), ConfigMap, ": metadata.managedFields[0].fieldsV1: its content is not valid JSON"),
        (_fields_v1(b"[]"), ConfigMap, "metadata.managedFields[0].fieldsV1: expected"),
        (_fields_v1(_DEEP_JSON), ConfigMap, f"nested deeper than {DEPTH_MAX} levels"),
        (_fields_v1(b"[" * 100_000), ConfigMap, "not valid JSON"),
    ],
)
def test_a_bad_body_is_refused_in_plain_words(raw: bytes, type_: type, words: str) -> None:
    with pytest.raises(BadRequest) as refused:
        decode_object(raw, MEDIA_TYPE, type_)
    assert words in str(refused.value)


def test_the_number_of_fields_is_bounded_wherever_they_stand() -> None:
    many = PROTOBUF_FIELDS_MAX + 1
    for content in (
        field(2, field(2, b"") * many),
        field(2, field(14, field(4, b"\x01" * many))),
        field(900, 1) * many,
    ):
        with pytest.raises(BadRequest, match=f"more than {PROTOBUF_FIELDS_MAX} values"):
            decode_object(body(content, "Pod"), MEDIA_TYPE, Pod)


def test_the_number_of_values_is_that_of_json_also_of_json_within() -> None:
    containers = body(field(2, field(2, b"") * (VALUES_MAX + 1)), "Pod")
    within = _fields_v1(b'{"a":[' + b"1," * VALUES_MAX + b"1]}")
    for raw, type_ in ((containers, Pod), (within, ConfigMap)):
        with pytest.raises(BadRequest, match=f"more than {VALUES_MAX} values"):
            decode_object(raw, MEDIA_TYPE, type_)


def test_a_map_may_have_as_many_entries_as_in_json() -> None:
    entries = b"".join(field(2, field(1, str(number)) + field(2, "")) for number in range(VALUES_MAX - 10))
    assert len(decode_object(body(entries, "ConfigMap"), MEDIA_TYPE, ConfigMap).obj.data) == VALUES_MAX - 10


def test_depth_is_bounded_even_for_a_type_that_holds_itself() -> None:
    endless = Message({})
    endless.takes[1] = ("a", lambda wire, piece, values: values.update(a=endless.read(wire, piece, None)))

    def nested(levels: int) -> bytes:
        raw = b""
        for _ in range(levels - 1):
            raw = field(1, raw)
        return raw

    def read(raw: bytes) -> None:
        wire = Wire(raw, depth_max=DEPTH_MAX, fields_max=VALUES_MAX)
        endless.read(wire, Piece(1, BYTES, 0, len(raw)), None)

    read(nested(DEPTH_MAX))
    with pytest.raises(WireError, match=f"nested deeper than {DEPTH_MAX} levels"):
        read(nested(DEPTH_MAX + 1))


def test_messages_side_by_side_are_not_deep() -> None:
    raw = body(field(2, field(2, field(1, "a")) * (DEPTH_MAX * 2)), "Pod")
    assert len(decode_object(raw, MEDIA_TYPE, Pod).obj.spec.containers) == DEPTH_MAX * 2


def test_kinds_of_our_own_version_have_no_such_form() -> None:
    with pytest.raises(UnsupportedMediaType, match="send it as application/json"):
        decode_object(body(b"", "Pod", "v1alpha1"), MEDIA_TYPE, AlphaPod)


def test_cbor_is_refused() -> None:
    with pytest.raises(UnsupportedMediaType, match="accepted media types include"):
        decode_object(b"\xd9\xd9\xf7\xa0", "application/cbor", Pod)


def _decode_or_refuse(raw: bytes, type_: type) -> None:
    with contextlib.suppress(BadRequest):
        decode_object(raw, MEDIA_TYPE, type_)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([Pod, Event, ConfigMap, Lease]))
def test_random_bytes_are_read_or_refused(raw: bytes, type_: type) -> None:
    _decode_or_refuse(MAGIC + raw, type_)
    _decode_or_refuse(body(raw, type_.__name__), type_)


@settings(max_examples=500, deadline=None)
@given(st.data(), st.sampled_from(recorded()))
def test_recorded_bodies_with_bytes_changed_or_cut_are_read_or_refused(data: st.DataObject, name: str) -> None:
    raw = bytearray(recorded_body(name))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(len(MAGIC), len(raw) - 1))
        change = data.draw(st.sampled_from(["set", "remove", "insert", "cut"]))
        if change == "set":
            raw[at] = data.draw(st.integers(0, 255))
        elif change == "remove":
            del raw[at]
        elif change == "insert":
            raw[at:at] = data.draw(st.binary(min_size=1, max_size=12))
        else:
            del raw[at:]
        if len(raw) <= len(MAGIC):
            break
    _decode_or_refuse(bytes(raw), recorded_type(name))
