"""Blocks of headers: what goes in comes out, and nothing that is too large or none at all does."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.streams.spdy.headers import (
    BLOCK_BYTES_MAX,
    DICTIONARY,
    HEADERS_MAX,
    HeaderError,
    HeaderPacker,
    HeaderUnpacker,
)

NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20).map(str.lower)
HEADERS = st.dictionaries(NAMES, st.text(max_size=40), max_size=8)


def packed(block: bytes) -> bytes:
    compressor = zlib.compressobj(zdict=DICTIONARY)
    return compressor.compress(block) + compressor.flush(zlib.Z_SYNC_FLUSH)


def text(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def block(*pairs: tuple[bytes, bytes], count: int | None = None) -> bytes:
    number = len(pairs) if count is None else count
    return struct.pack(">I", number) + b"".join(text(name) + text(value) for name, value in pairs)


def test_the_dictionary_is_the_one_that_the_protocol_names() -> None:
    assert zlib.adler32(DICTIONARY) == 0xE3C6A7C2


@given(st.lists(HEADERS, max_size=5))
def test_what_was_packed_is_unpacked_one_after_the_other(blocks: list[dict[str, str]]) -> None:
    packer, unpacker = HeaderPacker(), HeaderUnpacker()
    assert [unpacker.unpack(packer.pack(each)) for each in blocks] == blocks


def test_values_that_are_no_utf_8_are_kept() -> None:
    found = HeaderUnpacker().unpack(packed(block((b"name", b"\xff\xfe"))))
    assert HeaderUnpacker().unpack(HeaderPacker().pack(found)) == found


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"\0\0\0",
        block((b"name", b"value"), count=2),
        block((b"name", b"value")) + b"more",
        block((b"Name", b"value")),
        block((b"", b"value")),
        block((b"name", b"1"), (b"name", b"2")),
        block(*((b"%d" % each, b"") for each in range(HEADERS_MAX + 1))),
        struct.pack(">I", 1) + struct.pack(">I", 0xFFFFFFFF) + b"name",
    ],
)
def test_a_block_that_is_none_is_refused(bad: bytes) -> None:
    with pytest.raises(HeaderError):
        HeaderUnpacker().unpack(packed(bad))


def test_few_bytes_that_would_become_many_are_refused() -> None:
    bomb = packed(block((b"name", bytes(64 * BLOCK_BYTES_MAX))))
    assert len(bomb) < BLOCK_BYTES_MAX
    with pytest.raises(HeaderError, match="more than"):
        HeaderUnpacker().unpack(bomb)


def test_compression_with_an_end_or_another_dictionary_is_refused() -> None:
    ended = zlib.compressobj(zdict=DICTIONARY)
    with pytest.raises(HeaderError):
        HeaderUnpacker().unpack(ended.compress(block()) + ended.flush())
    other = zlib.compressobj(zdict=b"another")
    with pytest.raises(HeaderError):
        HeaderUnpacker().unpack(other.compress(block()) + other.flush(zlib.Z_SYNC_FLUSH))


@given(st.binary(max_size=300))
def test_any_bytes_are_headers_or_a_header_error(data: bytes) -> None:
    for given_data in (data, packed(data)):
        try:
            found = HeaderUnpacker().unpack(given_data)
        except HeaderError:
            continue
        assert HeaderUnpacker().unpack(HeaderPacker().pack(found)) == found
