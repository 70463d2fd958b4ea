"""The client by hand against a server by hand: frames may come in any pieces and order."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import pytest
from kmini.bench.h2load import grpc_frame
from kmini.bench.http2 import GrpcConnection, frame, header_block

DATA, HEADERS, RST, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 3, 4, 6, 8
END_STREAM = 1


class FakeTransport(asyncio.Transport):
    """Keeps what was written; `frames` parses it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.aborted = False

    def write(self, data: Any) -> None:
        self.written += data

    def abort(self) -> None:
        self.aborted = True

    def frames(self) -> list[tuple[int, int, int, bytes]]:
        """(kind, flags, stream, payload) written since the last call, without the preface."""
        raw = bytes(self.written).removeprefix(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        self.written.clear()
        found = []
        while raw:
            length = int.from_bytes(raw[:3], "big")
            found.append((raw[3], raw[4], int.from_bytes(raw[5:9], "big"), raw[9 : 9 + length]))
            raw = raw[9 + length :]
        return found


@pytest.fixture
def transport() -> FakeTransport:
    return FakeTransport()


@pytest.fixture
def connection(transport: FakeTransport) -> GrpcConnection:
    made = GrpcConnection()
    made.connection_made(transport)
    transport.frames()
    return made


def answered(stream: int, message: bytes) -> bytes:
    return (
        frame(HEADERS, 4, stream, b"\x88")
        + frame(DATA, 0, stream, grpc_frame(message))
        + frame(HEADERS, 4 | END_STREAM, stream, b"\x88")
    )


def test_a_call_is_headers_and_one_data_frame(connection: GrpcConnection, transport: FakeTransport) -> None:
    connection.call_soon("/a/B", b"hello", lambda answer: None)
    assert transport.frames() == [(HEADERS, 4, 1, header_block("/a/B")), (DATA, END_STREAM, 1, grpc_frame(b"hello"))]


@pytest.mark.parametrize("piece", [1, 2, 9, 10, 13, 1000])
def test_answers_may_come_in_any_pieces(connection: GrpcConnection, piece: int) -> None:
    answers: list[bytes | None] = []
    for _ in range(2):
        connection.call_soon("/a/B", b"", answers.append)
    raw = answered(3, b"second" * 5) + answered(1, b"first")
    for offset in range(0, len(raw), piece):
        connection.data_received(raw[offset : offset + piece])
    assert answers == [b"second" * 5, b"first"]


def test_an_answer_without_a_message_has_failed(connection: GrpcConnection) -> None:
    answers: list[bytes | None] = []
    connection.call_soon("/a/B", b"", answers.append)
    connection.data_received(frame(HEADERS, 4 | END_STREAM, 1, b"\x88"))
    assert answers == [None]


def test_a_reset_stream_has_failed(connection: GrpcConnection) -> None:
    answers: list[bytes | None] = []
    connection.call_soon("/a/B", b"", answers.append)
    connection.data_received(frame(RST, 0, 1, bytes(4)))
    assert answers == [None]


def test_a_lost_connection_fails_every_call_once(connection: GrpcConnection) -> None:
    answers: list[bytes | None] = []
    connection.call_soon("/a/B", b"", answers.append)
    connection.connection_lost(None)
    connection.call_soon("/a/B", b"", answers.append)
    assert answers == [None, None]
    assert connection.closed


def test_data_waits_for_the_servers_window(connection: GrpcConnection, transport: FakeTransport) -> None:
    message = bytes(16_000)
    for _ in range(5):  # 80 KB against a window of 65,535 bytes
        connection.call_soon("/a/B", message, lambda answer: None)
    sent = [found for found in transport.frames() if found[0] == DATA]
    assert [found[2] for found in sent] == [1, 3, 5, 7]
    connection.data_received(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 20_000)))
    assert [found[2] for found in transport.frames() if found[0] == DATA] == [9]


def test_a_smaller_stream_window_is_respected(connection: GrpcConnection, transport: FakeTransport) -> None:
    connection.data_received(frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 100)))
    connection.call_soon("/a/B", bytes(200), lambda answer: None)
    assert [found[0] for found in transport.frames()] == [SETTINGS, HEADERS]
    connection.data_received(frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 200)))
    assert [found[0] for found in transport.frames()] == [DATA]


def test_pings_are_answered(connection: GrpcConnection, transport: FakeTransport) -> None:
    connection.data_received(frame(PING, 0, 0, b"12345678"))
    assert transport.frames() == [(PING, 1, 0, b"12345678")]


def test_a_stream_gets_every_message_of_one_frame(connection: GrpcConnection, transport: FakeTransport) -> None:
    messages: list[bytes] = []
    connection.stream("/a/Watch", b"create", messages.append)
    assert transport.frames()[1][1] == 0  # the stream stays open
    connection.data_received(frame(DATA, 0, 1, grpc_frame(b"one") + grpc_frame(b"two")))
    assert messages == [b"one", b"two"]


def test_a_message_that_does_not_fit_a_frame_is_refused(connection: GrpcConnection) -> None:
    with pytest.raises(ValueError, match="16379"):
        connection.call_soon("/a/B", bytes(16_384), lambda answer: None)
