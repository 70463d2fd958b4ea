"""Frames on the wire: golden bytes, what was written is read however it is cut, and any bytes at all do no harm."""

from __future__ import annotations

import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.streams.spdy import frames
from nodeagent.streams.spdy.frames import (
    CONTROL_BYTES_MAX,
    Data,
    Frame,
    FrameReader,
    FrameWriter,
    GoAway,
    Headers,
    Ping,
    ProtocolError,
    RstStream,
    Settings,
    SynReply,
    SynStream,
    WindowUpdate,
)

IDS = st.integers(1, (1 << 31) - 1)
NUMBERS = st.integers(0, (1 << 32) - 1)
HEADERS = st.dictionaries(st.sampled_from(["streamtype", "port", "requestid", "x"]), st.text(max_size=10), max_size=3)
CONTROL = st.one_of(
    st.builds(SynStream, stream_id=IDS, headers=HEADERS, finished=st.booleans(), one_way=st.booleans()),
    st.builds(SynReply, stream_id=IDS, headers=HEADERS, finished=st.booleans()),
    st.builds(Headers, stream_id=IDS, headers=HEADERS, finished=st.booleans()),
    st.builds(RstStream, stream_id=IDS, status=NUMBERS),
    st.builds(Settings, values=st.dictionaries(st.integers(0, 0xFFFFFF), NUMBERS, max_size=4)),
    st.builds(Ping, ping_id=NUMBERS),
    st.builds(GoAway, last_stream_id=IDS, status=NUMBERS),
    st.builds(WindowUpdate, stream_id=st.integers(0, (1 << 31) - 1), delta=IDS),
)
FRAMES = st.one_of(CONTROL, st.builds(Data, stream_id=IDS, data=st.binary(max_size=50), finished=st.booleans()))


def written(*what: Frame) -> bytes:
    writer = FrameWriter()
    return b"".join(writer.write(each) for each in what)


def read(data: bytes) -> list[Frame]:
    return list(FrameReader().feed(data))


def control(kind: int, body: bytes, *, version: int = 3, flags: int = 0, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return struct.pack(">II", 0x80000000 | version << 16 | kind, flags << 24 | size) + body


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (Data(stream_id=1, data=b"hi", finished=True), "00000001 01000002 6869"),
        (Data(stream_id=0x7FFFFFFF, data=b""), "7fffffff 00000000"),
        (RstStream(stream_id=3, status=frames.CANCEL), "80030003 00000008 00000003 00000005"),
        (Settings(values={frames.INITIAL_WINDOW_SIZE: 65536}), "80030004 0000000c 00000001 00000007 00010000"),
        (Ping(ping_id=1), "80030006 00000004 00000001"),
        (GoAway(last_stream_id=5), "80030007 00000008 00000005 00000000"),
        (WindowUpdate(stream_id=0, delta=32768), "80030009 00000008 00000000 00008000"),
    ],
)
def test_golden_bytes(frame: Frame, expected: str) -> None:
    assert written(frame).hex() == expected.replace(" ", "")
    assert read(bytes.fromhex(expected)) == [frame]


def test_the_stream_that_a_go_client_opens_is_read() -> None:
    """What kubectl 1.27 sends first for an exec."""
    head, compressed = (
        "8003000100000029 00000001 00000000 0000",
        "78f9e3c6a7c26260606004a7b392a2d4c45c6851c29a0a0a6800000000ffff",
    )
    assert read(bytes.fromhex(head + compressed)) == [SynStream(stream_id=1, headers={"streamtype": "error"})]


@given(st.lists(CONTROL, max_size=6), st.integers(1, 40))
def test_control_frames_are_read_however_they_are_cut(what: list[Frame], size: int) -> None:
    data, reader, found = written(*what), FrameReader(), []
    for at in range(0, len(data), size):
        found += list(reader.feed(data[at : at + size]))
    assert found == what
    assert reader.held == 0


@given(st.lists(FRAMES, max_size=6), st.integers(1, 40))
def test_data_comes_in_parts_and_ends_once(what: list[Frame], size: int) -> None:
    data, reader = written(*what), FrameReader()
    found: list[Frame] = []
    for at in range(0, len(data), size):
        for frame in reader.feed(data[at : at + size]):
            last = found[-1] if found else None
            if isinstance(frame, Data) and isinstance(last, Data) and last in parts_open(last, what, found):
                found[-1] = Data(stream_id=frame.stream_id, data=last.data + frame.data, finished=frame.finished)
            else:
                found.append(frame)
    assert found == what


def parts_open(last: Data, what: list[Frame], found: list[Frame]) -> list[Data]:
    """Whether the frame that `last` is of has not come as a whole."""
    whole = what[len(found) - 1]
    assert isinstance(whole, Data)
    return [last] if len(last.data) < len(whole.data) else []


@pytest.mark.parametrize(
    "bad",
    [
        control(6, b"\0\0\0\1", version=2),
        control(6, b"\0\0\0\1\0"),
        control(3, b"\0\0\0\1"),
        control(7, b"\0\0\0\1"),
        control(9, struct.pack(">II", 1, 0)),
        control(4, struct.pack(">I", 2) + bytes(8)),
        control(1, b"\0\0\0\1"),
        control(2, b"\0\0"),
        control(1, bytes(CONTROL_BYTES_MAX + 1)),
        control(1, b"", length=0xFFFFFF),
        struct.pack(">II", 0, 5) + b"hello",
    ],
    ids=lambda each: each[:12].hex(),
)
def test_what_breaks_the_rules_is_an_error(bad: bytes) -> None:
    with pytest.raises(ProtocolError):
        read(bad)


def test_kinds_that_nobody_knows_are_skipped() -> None:
    assert read(control(11, b"whatever") + written(Ping(ping_id=7))) == [Ping(ping_id=7)]


def test_a_data_frame_of_16_mib_is_never_held() -> None:
    reader = FrameReader()
    parts = list(reader.feed(struct.pack(">II", 1, 0x01FFFFFF)))
    for _ in range(255):
        parts = list(reader.feed(bytes(65536)))
        assert [len(each.data) for each in parts if isinstance(each, Data)] == [65536]
        assert reader.held == 0
    (last,) = reader.feed(bytes(65535))
    assert last == Data(stream_id=1, data=bytes(65535), finished=True)


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_any_bytes_are_frames_or_a_protocol_error(chunks: list[bytes]) -> None:
    reader = FrameReader()
    for chunk in chunks:
        try:
            found = list(reader.feed(chunk))
        except ProtocolError:
            return
        assert len(found) <= len(chunk) // 8 + 2, "no frame without bytes"
        assert reader.held < 8 + CONTROL_BYTES_MAX


@given(st.lists(FRAMES, min_size=1, max_size=5), st.data())
def test_frames_with_a_byte_that_is_wrong_do_no_harm(what: list[Frame], data: st.DataObject) -> None:
    sent = bytearray(written(*what))
    sent[data.draw(st.integers(0, len(sent) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    reader = FrameReader()
    try:
        list(reader.feed(bytes(sent)))
    except ProtocolError:
        return
    assert reader.held <= len(sent)


def test_many_small_pieces_cost_no_more_than_their_bytes() -> None:
    """A control frame that comes byte by byte is not looked through again for each."""
    body = bytes(CONTROL_BYTES_MAX)
    began = time.process_time()
    reader = FrameReader()
    for byte in control(11, body):
        list(reader.feed(bytes([byte])))
    assert reader.held == 0
    assert time.process_time() - began < 5
