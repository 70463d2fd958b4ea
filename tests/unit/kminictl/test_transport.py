"""The connection under everything: answers of every form, those that break off or break the rules, and what is sent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from typing import Any

import pytest
from kminictl.cluster import connection
from kminictl.cluster.transport import LeanTransport

from apiserver.api.errors import BadRequest
from apiserver.client import Access, Material
from apiserver.client.access import Credentials
from apiserver.client.requests import Request
from apiserver.client.transport import TransportError

GET = Request(method="GET", path="/api", headers=(("Accept", "application/json"),))
Work = Callable[[LeanTransport, str], Coroutine[Any, Any, None]]


class Canned:
    """A server that answers each connection's requests with these bytes, one after the other, and then hangs up."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = answers
        self.heard: list[bytes] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            for answer in self.answers:
                self.heard.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass  # the client has what it wanted
        finally:
            writer.close()


def run(canned: Canned, work: Work, *, access: Access | None = None) -> None:
    async def all_of_it() -> None:
        server = await asyncio.start_server(canned.serve, "127.0.0.1", 0)
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        credentials = Credentials(access or Access(servers=(address,)), clock=time.monotonic)
        transport = LeanTransport(credentials, user_agent="test")
        async with server:
            try:
                await work(transport, address)
            finally:
                await transport.close()

    asyncio.run(asyncio.wait_for(all_of_it(), 20))


def answer(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 " + status + b"\r\n" + b"".join(each + b"\r\n" for each in headers) + b"\r\n" + body


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        (answer(b"hello", b"Content-Length: 5"), b"hello"),
        (answer(b"", b"Content-Length: 0"), b""),
        (answer(b"5\r\nhello\r\n3;x=y\r\n, w\r\n0\r\nTrailer: t\r\n\r\n", b"Transfer-Encoding: chunked"), b"hello, w"),
        (answer(b"until the end"), b"until the end"),
        (answer(b"", status=b"204 No Content"), b""),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + answer(b"x", b"content-length: 1"), b"x"),
    ],
)
def test_bodies_of_every_form(raw: bytes, body: bytes) -> None:
    async def work(transport: LeanTransport, address: str) -> None:
        found = await transport.send(address, GET, timeout_s=5)
        assert found.body == body

    run(Canned(raw), work)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "ended without an answer"),
        (b"SSH-2.0-x\r\n\r\n", "what answers is no HTTP server"),
        (b"HTTP/1.1 20x OK\r\n\r\n", "what answers is no HTTP server"),
        (answer(b"hel", b"Content-Length: 5"), "cut off"),
        (answer(b"5\r\nhel", b"Transfer-Encoding: chunked"), "cut off"),
        (answer(b"x\r\nhello\r\n", b"Transfer-Encoding: chunked"), "a piece of no size"),
        (answer(b"-1\r\nhello\r\n", b"Transfer-Encoding: chunked"), "a piece of no size"),
        (answer(b"", b"Content-Length: -5"), "a length that is none"),
        (answer(b"", b"no header"), "a header that is none"),
        (answer(b"", b"X: " + b"x" * connection.HEAD_BYTES_MAX), "the head of the answer is larger than"),
    ],
)
def test_answers_that_are_none(raw: bytes, said: str) -> None:
    async def work(transport: LeanTransport, address: str) -> None:
        with pytest.raises(TransportError, match=said) as raised:
            await transport.send(address, GET, timeout_s=5)
        assert raised.value.sent, "the server may have acted on it"

    run(Canned(raw), work)


def test_bodies_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BODY_BYTES_MAX", 3)

    async def work(transport: LeanTransport, address: str) -> None:
        with pytest.raises(TransportError, match="larger than 3 bytes"):
            await transport.send(address, GET, timeout_s=5)

    run(Canned(answer(b"hello", b"Content-Length: 5")), work)


def test_a_connection_is_used_again_unless_the_server_ends_it() -> None:
    kept = answer(b"x", b"Content-Length: 1")
    last = answer(b"x", b"Content-Length: 1", b"Connection: close")
    canned = Canned(kept, last)

    async def work(transport: LeanTransport, address: str) -> None:
        for _ in range(4):
            assert (await transport.send(address, GET, timeout_s=5)).body == b"x"
        assert canned.connections == 2

    run(canned, work)


def test_what_is_sent() -> None:
    canned = Canned(answer(b"", b"Content-Length: 0"))
    access = Access(servers=("http://x",), token=Material(data=b"secret"), as_user="alice")

    async def work(transport: LeanTransport, address: str) -> None:
        await transport.send(
            f"{address}/below", Request(method="POST", path="/api", query=(("a", "b c"),), body=b"{}"), timeout_s=5
        )
        head = canned.heard[0].decode()
        assert head.startswith("POST /below/api?a=b%20c HTTP/1.1\r\nHost: 127.0.0.1:")
        for line in (
            "Content-Length: 2",
            "User-Agent: test",
            "Authorization: Bearer secret",
            "Impersonate-User: alice",
        ):
            assert f"\r\n{line}\r\n" in head

    run(canned, work, access=access)


def test_no_header_can_begin_another_one() -> None:
    async def work(transport: LeanTransport, address: str) -> None:
        wrong = GET.with_headers(("X", "a\r\nInjected: b"))
        with pytest.raises(TransportError, match="the header X holds a line end"):
            await transport.send(address, wrong, timeout_s=5)

    canned = Canned(answer(b""))
    run(canned, work)
    assert canned.heard == []


def test_headers_that_come_several_times_are_one() -> None:
    async def work(transport: LeanTransport, address: str) -> None:
        found = await transport.send(address, GET, timeout_s=5)
        assert found.headers["warning"] == '299 - "one", 299 - "two"'

    run(Canned(answer(b"", b'Warning: 299 - "one"', b'WARNING: 299 - "two"', b"Content-Length: 0")), work)


def test_lines_of_a_stream() -> None:
    body = b"4\r\none\n\r\n6\r\n\ntwo\nt\r\n5\r\nhree\n\r\n4\r\ncut \r\n0\r\n\r\n"

    async def work(transport: LeanTransport, address: str) -> None:
        async with (
            transport.stream(address, GET, timeout_s=5, idle_s=5) as stream,
            aclosing(stream.lines()) as lines,
        ):
            assert [line async for line in lines] == [b"one", b"two", b"three"]

    run(Canned(answer(body, b"Transfer-Encoding: chunked")), work)


def test_a_server_that_says_nothing_is_left() -> None:
    async def work(transport: LeanTransport, address: str) -> None:
        with pytest.raises(TransportError, match=r"no answer within 0\.2 s"):
            await transport.send(address, GET, timeout_s=0.2)

    run(Canned(b"HTTP/1.1 200 OK\r\n", b""), work)


def test_nobody_there_is_certain_not_to_have_heard() -> None:
    async def work(transport: LeanTransport, address: str) -> None:
        with pytest.raises(TransportError) as raised:
            await transport.send("http://127.0.0.1:1", GET, timeout_s=5)
        assert not raised.value.sent

    run(Canned(), work)


def test_a_server_that_does_not_switch_is_quoted() -> None:
    refusal = b'{"kind":"Status","status":"Failure","message":"no such container","reason":"BadRequest","code":400}'

    async def work(transport: LeanTransport, address: str) -> None:
        with pytest.raises(BadRequest, match="no such container"):
            await transport.upgraded(address, GET, timeout_s=5)

    run(Canned(answer(refusal, b"Content-Length: %d" % len(refusal), status=b"400 Bad Request")), work)
