"""The port itself: who waits while the web server is loaded, and who holds it up."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop
from aiohttp import web

from apiserver.auth import pki
from nodeagent.errors import BadIdentity
from nodeagent.server import connection, listener
from nodeagent.server.connection import Connections
from nodeagent.server.listener import Listener, server_context, take_certificate
from nodeagent.server.replies import reply

WITHIN_S = 20.0
REQUEST = b"GET / HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n"
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


async def hello(_request: web.BaseRequest) -> web.StreamResponse:
    return reply(b"hello", "text/plain")


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # nobody tells
        await asyncio.sleep(0.001)


class Port:
    """A listener on loopback, and how to get there."""

    def __init__(self, folder: Path, handler: Handler = hello) -> None:
        pki.init_shared(folder)
        self.authority = pki.load_authority(folder, pki.CLUSTER_CA)
        self.folder = folder
        self.may_load = threading.Event()
        self.may_load.set()
        self.loads = 0
        self.failure: Exception | None = None
        self.certify()
        self.tls = server_context(folder / "ca.crt", folder / "serving.pem")
        self.listener = Listener(self._load)
        self._handler = handler

    def certify(self) -> None:
        pair = pki.issue_serving(self.authority, ["n"])
        (self.folder / "serving.pem").write_bytes(pair.certificate_pem + pair.key_pem)

    def _load(self) -> Callable[[], Connections]:
        self.loads += 1
        assert self.may_load.wait(WITHIN_S)
        if self.failure is not None:
            raise self.failure
        return lambda: Connections(self._handler)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Port]:
        await self.listener.open("127.0.0.1", 0, self.tls)
        try:
            async with asyncio.timeout(WITHIN_S):
                yield self
        finally:
            self.may_load.set()
            await self.listener.close()

    async def dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        context = ssl.create_default_context(cafile=str(self.folder / "ca.crt"))
        return await asyncio.open_connection("127.0.0.1", self.listener.port, ssl=context, server_hostname="n")

    async def ask(self) -> bytes:
        reader, writer = await self.dial()
        writer.write(REQUEST)
        try:
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()


def test_the_first_wait_until_it_is_loaded_once(tmp_path: Path) -> None:
    async def story() -> None:
        async with Port(tmp_path).open() as port:
            port.may_load.clear()
            asking = [asyncio.create_task(port.ask()) for _ in range(5)]
            await until(lambda: len(port.listener._held) == 5)
            assert not any(task.done() for task in asking)
            port.may_load.set()
            assert all(answer.endswith(b"hello") for answer in await asyncio.gather(*asking))
            assert (await port.ask()).endswith(b"hello")
            assert (port.loads, port.listener._held) == (1, set())

    asyncio.run(story())


def test_only_so_many_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "HELD_MAX", 2)

    async def story() -> None:
        async with Port(tmp_path).open() as port:
            port.may_load.clear()
            asking = [asyncio.create_task(port.ask()) for _ in range(5)]
            await until(lambda: sum(task.done() for task in asking) == 3)
            port.may_load.set()
            answers = await asyncio.gather(*asking)
            assert sorted(answer.endswith(b"hello") for answer in answers) == [False] * 3 + [True] * 2

    asyncio.run(story())


def test_loaded_while_somebody_shakes_hands(tmp_path: Path) -> None:
    """Accepted before, ready after."""

    async def story() -> None:
        async with Port(tmp_path).open() as port:
            sock = await asyncio.to_thread(socket.create_connection, ("127.0.0.1", port.listener.port))
            assert not port.listener._held
            assert (await port.ask()).endswith(b"hello")
            context = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
            reader, writer = await asyncio.open_connection(sock=sock, ssl=context, server_hostname="n")
            writer.write(REQUEST)
            assert (await reader.read()).endswith(b"hello")
            writer.close()

    asyncio.run(story())


@pytest.mark.parametrize("loop_factory", [None, uvloop.new_event_loop])
def test_who_does_not_shake_hands_makes_room_for_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loop_factory: Callable[[], asyncio.AbstractEventLoop] | None
) -> None:
    monkeypatch.setattr(listener, "HANDSHAKES_MAX", 3)

    async def main() -> None:
        async with Port(tmp_path).open() as port:
            silent = []
            for number in range(10):
                silent.append(await asyncio.open_connection("127.0.0.1", port.listener.port))
                expected = min(3, number + 1)
                await until(lambda count=expected: len(port.listener._shaking) == count)  # type: ignore[misc]
            for reader, _ in silent[:7]:
                assert await reader.read() == b"", "the first ones are gone"
            assert not any(reader.at_eof() for reader, _ in silent[7:])
            for _ in range(2):
                assert (await port.ask()).endswith(b"hello")
            assert len(port.listener._shaking) <= 3
            for _, writer in silent:
                writer.close()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main())


def test_what_cannot_be_loaded_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async with Port(tmp_path).open() as port:
            port.failure = ImportError("broken")
            assert await port.ask() == b""
            assert "cannot be loaded" in caplog.text
            port.failure = None
            assert (await port.ask()).endswith(b"hello")

    asyncio.run(story())


def test_who_goes_while_it_waits_does_no_harm(tmp_path: Path) -> None:
    async def story() -> None:
        async with Port(tmp_path).open() as port:
            port.may_load.clear()
            _, writer = await port.dial()
            await until(lambda: bool(port.listener._held))
            writer.transport.abort()
            port.may_load.set()
            assert (await port.ask()).endswith(b"hello")
            connections = port.listener._connections
            assert connections is not None
            await until(lambda: connections.open == 0)

    asyncio.run(story())


def test_who_does_not_read_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "STALL_S", 0.1)
    ended = asyncio.Event()

    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65536)
        finally:
            ended.set()

    async def story() -> None:
        async with Port(tmp_path, endless).open() as port:
            reader, writer = await port.dial()
            writer.write(REQUEST)
            await reader.readexactly(1)
            await asyncio.wait_for(ended.wait(), WITHIN_S)
            writer.transport.abort()

    asyncio.run(story())


def test_who_reads_slowly_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has taken something at every look."""
    monkeypatch.setattr(connection, "STALL_S", 0.3)
    size = 24 * 1024 * 1024

    async def large(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(size // 65536):
            await response.write(b"x" * 65536)
        await response.write_eof()
        return response

    async def story() -> None:
        async with Port(tmp_path, large).open() as port:
            reader, writer = await port.dial()
            writer.write(REQUEST)
            read = 0
            while data := await reader.read(1 << 22):
                read += len(data)
                await asyncio.sleep(0.01)
            assert read > size
            writer.close()

    asyncio.run(story())


def test_an_upgraded_connection_may_be_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_TIMEOUT_S", 0.05)

    async def echo(request: web.BaseRequest) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_bytes(message.data)
        return socket

    async def story() -> None:
        async with Port(tmp_path, echo).open() as port:
            reader, writer = await port.dial()
            fields = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            monkeypatch.setattr(connection, "HEAD_BYTES_MAX", 10_000)
            writer.write(f"GET / HTTP/1.1\r\nHost: n\r\n{fields}{key}\r\n".encode())
            await reader.readuntil(b"\r\n\r\n")
            monkeypatch.setattr(connection, "HEAD_BYTES_MAX", 100)
            frame = b"\x82\xfe\x00\xc8" + b"\0" * 4 + b"y" * 200
            for _ in range(3):
                await asyncio.sleep(0.06)
                writer.write(frame)
                assert await reader.readexactly(204) == b"\x82\x7e\x00\xc8" + b"y" * 200
            writer.transport.abort()

    asyncio.run(story())


def test_certificates_that_cannot_be_used(tmp_path: Path) -> None:
    port = Port(tmp_path)
    (tmp_path / "broken.pem").write_text("broken")
    for take in (
        lambda: take_certificate(port.tls, tmp_path / "broken.pem"),
        lambda: take_certificate(port.tls, tmp_path / "none.pem"),
        lambda: server_context(tmp_path / "broken.pem", tmp_path / "serving.pem"),
    ):
        with pytest.raises(BadIdentity, match="cannot use"):
            take()
