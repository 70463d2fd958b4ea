"""Messages encoded by hand are read by the real protobuf code and the other way round."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kmini.bench import protobuf


@given(value=st.integers(min_value=0, max_value=2**64 - 1))
def test_a_varint_field_is_read_back(value: int) -> None:
    assert list(protobuf.fields(b"\x18" + protobuf.varint(value))) == [(3, value)]


@given(key=st.binary(min_size=1, max_size=300), value=st.binary(max_size=2000))
def test_a_put_request_has_key_and_value(key: bytes, value: bytes) -> None:
    assert list(protobuf.fields(protobuf.put_request(key, value))) == [(1, key), (2, value)]


def test_a_range_without_end_is_one_key() -> None:
    assert list(protobuf.fields(protobuf.range_request(b"k"))) == [(1, b"k")]
    assert list(protobuf.fields(protobuf.range_request(b"k", b"l"))) == [(1, b"k"), (2, b"l")]


def test_the_revision_is_found_in_the_header() -> None:
    header = b"\x08" + protobuf.varint(7) + b"\x18" + protobuf.varint(1_000_000)
    assert protobuf.revision_of(protobuf.delimited(1, header) + protobuf.delimited(2, b"x")) == 1_000_000


def test_an_absent_field_is_zero() -> None:
    assert protobuf.revision_of(b"") == 0
    assert protobuf.integer(protobuf.delimited(1, b""), 1, 3) == 0


@pytest.mark.parametrize("cut", [b"\x0a\x05ab", b"\x0a", b"\x08\x80"])
def test_a_cut_message_is_refused(cut: bytes) -> None:
    with pytest.raises(ValueError, match="cut short"):
        list(protobuf.fields(cut))


def test_a_negative_number_is_refused() -> None:
    with pytest.raises(ValueError, match="-1"):
        protobuf.varint(-1)
