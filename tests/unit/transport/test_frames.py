"""Frames: what is written is read, however it is cut; anything else is a FrameError and nothing more."""

from __future__ import annotations

import itertools
import pickle
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftstore.limits import FRAME_BYTES_MAX, FRAME_ITEMS_MAX, GREETING_BYTES_MAX
from raftstore.raft.engine import Entry
from raftstore.raft.frames import FORMAT_VERSION, FrameError, FrameReader, FrameTooLarge, decode_body, encode

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=50) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
messages = st.dictionaries(st.text(max_size=8), plain, max_size=5).map(lambda fields: fields | {"type": "x"})


def cut(stream: bytes, cuts: list[int]) -> list[bytes]:
    marks = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    return [stream[start:stop] for start, stop in itertools.pairwise(marks)]


@given(st.lists(messages, min_size=1, max_size=5), st.lists(st.integers(0, 10_000), max_size=12))
def test_what_is_written_is_read_however_the_stream_is_cut(sent: list[dict[str, Any]], cuts: list[int]) -> None:
    reader = FrameReader()
    stream = b"".join(encode(message) for message in sent)
    assert [message for part in cut(stream, cuts) for message in reader.feed(part)] == sent
    assert not reader.incomplete


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=4))
def test_garbage_is_a_frame_error_or_waits_for_more(garbage: bytes, cuts: list[int]) -> None:
    reader = FrameReader()
    reasons: list[str] = []
    try:
        for part in cut(garbage, cuts):
            for message in reader.feed(part):
                assert type(message["type"]) is str
    except FrameError as error:
        reasons.append(error.reason)
    assert set(reasons) <= {"bad_frame", "oversized", "unknown_format"}


@given(messages, st.data())
def test_a_damaged_frame_never_raises_anything_else(message: dict[str, Any], data: st.DataObject) -> None:
    frame = bytearray(encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = list(FrameReader().feed(bytes(frame)))
    except FrameError:
        return
    assert all(type(one) is dict for one in read)


@given(messages, st.integers(1, 10_000))
def test_a_truncated_frame_is_incomplete_and_gives_nothing(message: dict[str, Any], missing: int) -> None:
    frame = encode(message)
    reader = FrameReader()
    kept = frame[: max(0, len(frame) - missing)]
    assert list(reader.feed(kept)) == []
    assert reader.incomplete == bool(kept)


def test_an_oversized_frame_is_refused_at_its_header() -> None:
    reader = FrameReader(1000)
    for size in (0, 1, 1001, 0xFFFFFFFF):
        with pytest.raises(FrameError) as caught:
            list(reader.feed(size.to_bytes(4, "big") + bytes((FORMAT_VERSION,))))
        assert caught.value.reason == "oversized"
    assert FrameReader().bytes_max == GREETING_BYTES_MAX < FRAME_BYTES_MAX


def test_another_format_is_refused_by_name() -> None:
    frame = bytearray(encode({"type": "x"}))
    frame[4] = 77
    with pytest.raises(FrameError, match=r"format 77, this version reads 1"):
        list(FrameReader().feed(bytes(frame)))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x80",
        b"\x90",
        b"\xc0",
        b"\x81\xa4type\x01",
        b"\x81\xa4type\xc4\x01x",  # type as bytes
        b"\x81\xa4type\xa1x\x00",  # something behind the map
        b"\x81\x90\x01",  # an array as a key
        b"\x81\x01\x01",  # a number as a key
        b"\x81\xa4type\xd4\x05a",  # extension types
        b"\x82\xa4type\xa1x\xa1e\xc7\x00\x05",
        b"\x82\xa4type\xa1x\xa1e\xd6\xff\0\0\0\1",  # a time stamp
        b"\x82\xa4type\xa1x\xa1e\xa2\xff\xfe",  # not UTF-8
        b"\x82\xa4type\xa1x\xa1e\xdd\xff\xff\xff\xff",  # an array of four milliards
        b"\x82\xa4type\xa1x\xa1e\xdf\xff\xff\xff\xff",
        b"\x82\xa4type\xa1x\xa1e\xc6\xff\xff\xff\xff",
        b"\x91" * 60_000,  # deep
        pickle.dumps({"type": "x"}),
    ],
)
def test_bodies_that_are_no_message(body: bytes) -> None:
    with pytest.raises(FrameError):
        decode_body(body)


def test_every_size_has_a_bound() -> None:
    for value in (
        [0] * (FRAME_ITEMS_MAX + 1),
        {str(n): 0 for n in range(FRAME_ITEMS_MAX + 1)},
        "x" * (FRAME_ITEMS_MAX + 1),
    ):
        with pytest.raises(FrameError):
            decode_body(msgpack.packb({"type": "x", "value": value}))


def test_a_message_of_ours_that_is_too_large_is_refused() -> None:
    with pytest.raises(FrameTooLarge, match="'bulk'"):
        encode({"type": "bulk", "payload": b"x" * FRAME_BYTES_MAX})
    with pytest.raises(FrameTooLarge):
        encode({"type": "bulk", "payload": b"x" * 100}, bytes_max=100)


def test_a_failed_packing_leaves_nothing_behind_in_the_next_frame() -> None:
    with pytest.raises(TypeError):
        encode({"type": "x", "value": object()})
    assert list(FrameReader().feed(encode({"type": "y"}))) == [{"type": "y"}]


def test_entries_travel_as_arrays() -> None:
    entry = Entry(b"\x10payload", 7, 3)
    (message,) = FrameReader().feed(encode({"type": "append", "entries": [entry]}))
    assert message["entries"] == [[b"\x10payload", 7, 3]]
    assert Entry(*message["entries"][0]) == entry


def test_no_pickle_is_imported_by_the_transport() -> None:
    room = Path(__file__).parents[3] / "raftstore"
    files = [room / "identity.py"] + [
        room / "raft" / f"{name}.py"
        for name in ("frames", "connection", "hello", "asking", "sockets", "transport", "founding", "founding_file")
    ]
    for file in files:
        text = file.read_text()
        assert "import pickle" not in text
        assert "marshal" not in text
