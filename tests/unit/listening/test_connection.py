"""An HTTP connection within its bounds, whoever's port it is at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from msgspec.structs import replace
from tls_port import NAME, Certificates

from apiserver.listening.connection import Connection, Connections, Fault, Limits
from apiserver.listening.listener import TlsListener

WITHIN_S = 30.0
LONG_S = 10 * WITHIN_S
LIMITS = Limits(
    connections=10,
    strangers=10,
    head_timeout_s=LONG_S,
    head_bytes=4096,
    line_bytes=1024,
    body_bytes=100_000,
    keep_alive_s=LONG_S,
    stall_s=LONG_S,
)
HELLO = b"GET / HTTP/1.1\r\nHost: n\r\n\r\n"
WAIT = b"GET /wait HTTP/1.1\r\nHost: n\r\n\r\n"
Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Said(Connection):
    def last_words(self, fault: Fault) -> bytes:
        return fault.name.encode()

    def refusal(
        self, request: web.BaseRequest, status: int, error: BaseException | None, message: str
    ) -> web.StreamResponse:
        answer = web.Response(status=status, text="refused")
        answer.force_close()
        return answer


class Port:
    def __init__(self, folder: Path, limits: Limits) -> None:
        self.begun = asyncio.Semaphore(0)
        self.may_end = asyncio.Event()
        self.certificates = Certificates(folder)
        self.connections = Connections(self._handle, Said, limits)
        self._listener = TlsListener(self.connections, handshakes_max=100)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/wait":
            self.begun.release()
            await self.may_end.wait()
        if request.path == "/broken":
            raise RuntimeError("broken")
        return web.Response(text=f"{len(await request.read())} bytes.")

    async def dial(self, *groups: str) -> Line:
        context = self.certificates.client(*groups)
        return await asyncio.open_connection("127.0.0.1", self._listener.port, ssl=context, server_hostname=NAME)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Port]:
        self._listener.open("127.0.0.1", 0, self.certificates.server())
        try:
            async with asyncio.timeout(WITHIN_S):
                yield self
        finally:
            await self._listener.close()
            await self.connections.shutdown(timeout=1.0)


def run(folder: Path, limits: dict[str, float], story: Callable[[Port], Awaitable[None]]) -> None:
    async def main() -> None:
        async with Port(folder, replace(LIMITS, **limits)).open() as port:
            await story(port)

    asyncio.run(main())


async def everything(line: Line) -> bytes:
    """Until the other side closes."""
    try:
        return await line[0].read()
    except ConnectionError:
        return b""
    finally:
        line[1].transport.abort()


async def answer(line: Line, request: bytes = b"") -> bytes:
    line[1].write(request)
    return await line[0].readuntil(b"bytes.")


def test_a_stranger_that_asks_for_nothing_makes_room(tmp_path: Path) -> None:
    async def story(port: Port) -> None:
        lines = [await port.dial() for _ in range(3)]
        assert b" 200 " in await answer(lines[0], HELLO)
        lines.append(await port.dial())
        assert await everything(lines[0]) == b"", "it was answered, and waited for nothing"
        assert b" 200 " in await answer(lines[3], HELLO)
        for _, writer in lines:
            writer.transport.abort()

    run(tmp_path, {"strangers": 3}, story)


def test_a_stranger_that_is_served_stays_and_who_comes_is_told_why_not(tmp_path: Path) -> None:
    async def story(port: Port) -> None:
        first = await port.dial()
        first[1].write(WAIT)
        await port.begun.acquire()
        assert await everything(await port.dial()) == b"CROWDED"
        known = await port.dial("somebody")
        assert b" 200 " in await answer(known, HELLO), "with a certificate there is room"
        port.may_end.set()
        assert b" 200 " in await answer(first)
        first[1].transport.abort()
        known[1].transport.abort()

    run(tmp_path, {"strangers": 1}, story)


def test_with_a_certificate_one_is_turned_away_only_by_others_with_one(tmp_path: Path) -> None:
    async def story(port: Port) -> None:
        strangers = [await port.dial() for _ in range(2)]
        known = [await port.dial("somebody") for _ in range(2)]
        for line in known:
            assert b" 200 " in await answer(line, HELLO)
        for line in strangers:
            assert await everything(line) == b""
        assert await everything(await port.dial("somebody")) == b"CROWDED"
        for _, writer in known:
            writer.transport.abort()

    run(tmp_path, {"connections": 2, "strangers": 2}, story)


@pytest.mark.parametrize("begun", [b"", b"GET / HT"])
def test_a_head_that_does_not_come(tmp_path: Path, begun: bytes) -> None:
    async def story(port: Port) -> None:
        line = await port.dial()
        line[1].write(begun)
        assert await everything(line) == b"HEAD_LATE"

    run(tmp_path, {"head_timeout_s": 0.05}, story)


def test_a_second_head_that_does_not_come(tmp_path: Path) -> None:
    async def story(port: Port) -> None:
        line = await port.dial()
        assert b" 200 " in await answer(line, HELLO)
        port.connections.limits = replace(LIMITS, head_timeout_s=0.05)
        line[1].write(b"GET / HT")
        assert await everything(line) == b"HEAD_LATE"

    run(tmp_path, {}, story)


def test_heads_have_a_size_and_bodies_are_none(tmp_path: Path) -> None:
    async def story(port: Port) -> None:
        line = await port.dial()
        line[1].write(b"POST /wait HTTP/1.1\r\nHost: n\r\nContent-Length: 50000\r\n\r\n")
        await port.begun.acquire()
        port.may_end.set()
        line[1].write(b"x" * 50_000)
        assert (await answer(line)).endswith(b"50000 bytes.")
        line[1].write(b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"a" * 900) for n in range(9)))
        assert await everything(line) == b"HEAD_LARGE"

    run(tmp_path, {}, story)


class Slow(asyncio.Transport):
    """`unsent` is what nobody took yet."""

    def __init__(self, unsent: int) -> None:
        super().__init__()
        self.unsent = unsent
        self.aborted = False

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def abort(self) -> None:
        self.aborted = True


def test_who_takes_something_of_an_answer_at_every_look_is_not_cut_off(tmp_path: Path) -> None:
    async def story(port: Port) -> None:
        connection = Said(port.connections, loop=asyncio.get_running_loop())
        connection.transport = slow = Slow(100)
        connection.pause_writing()
        for left in (99, 50, 1):
            slow.unsent = left
            connection._look()
            assert not slow.aborted
        connection._look()
        assert slow.aborted
        connection.transport = None
        connection.connection_lost(None)

    run(tmp_path, {}, story)


def test_what_is_refused_and_what_breaks(tmp_path: Path) -> None:
    async def story(port: Port) -> None:
        for request, status in ((b"no HTTP\r\n\r\n", b" 400 "), (HELLO.replace(b"/ ", b"/broken ", 1), b" 500 ")):
            line = await port.dial()
            line[1].write(request)
            said = await everything(line)
            assert status in said
            assert said.endswith(b"refused")

    run(tmp_path, {}, story)
