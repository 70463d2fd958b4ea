"""The port itself: who waits while the web server is loaded, and who holds it up."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from msgspec.structs import replace
from tls_port import Certificates

from apiserver.listening import listener as tls_listener
from apiserver.listening.connection import Connections
from nodeagent.errors import BadIdentity
from nodeagent.server import listener
from nodeagent.server.connection import LIMITS, NodeConnection
from nodeagent.server.listener import Listener, server_context, take_certificate
from nodeagent.server.replies import reply

WITHIN_S = 60.0
REQUEST = b"GET / HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n"
SERVERS = ("kmini:servers",)
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


async def hello(_request: web.BaseRequest) -> web.StreamResponse:
    return reply(b"hello", "text/plain")


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # nobody tells
        await asyncio.sleep(0.001)


class Port:
    """A listener on loopback, and how to get there."""

    def __init__(self, folder: Path, handler: Handler = hello, **limits: float) -> None:
        self.certificates = Certificates(folder)
        self.limits = replace(LIMITS, **limits)
        self.may_load = threading.Event()
        self.may_load.set()
        self.loads = 0
        self.failure: Exception | None = None
        self.tls = server_context(self.certificates.ca_file, self.certificates.pair_file)
        self.listener = Listener(self._load)
        self._handler = handler

    def _load(self) -> Callable[[], Connections]:
        self.loads += 1
        assert self.may_load.wait(WITHIN_S)
        if self.failure is not None:
            raise self.failure
        return lambda: Connections(self._handler, NodeConnection, self.limits)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Port]:
        self.listener.open("127.0.0.1", 0, self.tls)
        try:
            async with asyncio.timeout(WITHIN_S):
                yield self
        finally:
            self.may_load.set()
            await self.listener.close()

    @property
    def connections(self) -> Connections:
        loaded = self.listener._connections
        assert loaded is not None
        return loaded

    async def dial(self, *groups: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """With a certificate of these groups, if there are any."""
        context = self.certificates.client(*groups)
        return await asyncio.open_connection("127.0.0.1", self.listener.port, ssl=context, server_hostname="n")

    async def ask(self, *groups: str) -> bytes:
        """The answer; b"" when the connection is closed without one."""
        reader, writer = await self.dial(*groups)
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
            assert (port.loads, len(port.listener._held)) == (1, 0)

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
            assert len(port.listener._held) == 0
            assert (await port.ask()).endswith(b"hello")
            context = port.certificates.client()
            reader, writer = await asyncio.open_connection(sock=sock, ssl=context, server_hostname="n")
            writer.write(REQUEST)
            assert (await reader.read()).endswith(b"hello")
            writer.close()

    asyncio.run(story())


def test_who_does_not_shake_hands_makes_room_for_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "HANDSHAKES_MAX", 3)
    monkeypatch.setattr(tls_listener, "HANDSHAKE_TIMEOUT_S", 10 * WITHIN_S)

    async def story() -> None:
        async with Port(tmp_path).open() as port:
            silent = [await asyncio.open_connection("127.0.0.1", port.listener.port) for _ in range(10)]
            for reader, _ in silent[:7]:
                assert await reader.read() == b"", "the first ones are gone"
            assert (await port.ask()).endswith(b"hello")
            for _, writer in silent:
                writer.close()

    asyncio.run(story())


# --- who gets a place ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("groups", [(), ("system:nodes",)], ids=["without a certificate", "with another's"])
def test_strangers_have_few_places_and_do_not_keep_servers_out(tmp_path: Path, groups: tuple[str, ...]) -> None:
    async def story() -> None:
        long_s = 10 * WITHIN_S  # nobody goes because of it
        some = Port(tmp_path, connections=6, strangers=4, head_timeout_s=long_s, keep_alive_s=long_s)
        async with some.open() as port:
            assert (await port.ask()).endswith(b"hello")
            await until(lambda: len(port.connections.places) == 0)
            silent = [await port.dial(*groups) for _ in range(10)]
            for reader, _ in silent[:6]:
                assert await ended(reader), "who came first is gone"
            assert len(port.connections.places) == 4
            servers = [await port.dial(*SERVERS) for _ in range(6)]
            for reader, writer in servers:
                writer.write(REQUEST.replace(b"close", b"keep-alive"))
                assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200")
            for reader, _ in silent:
                assert await ended(reader), "they were in the way"
            assert await port.ask(*SERVERS) == b"", "all places are taken by servers"
            servers[0][1].transport.abort()
            await until(lambda: len(port.connections.places) == 5)
            assert (await port.ask(*SERVERS)).endswith(b"hello")
            for _, writer in (*silent, *servers):
                writer.transport.abort()

    asyncio.run(story())


def test_strangers_do_not_keep_servers_from_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "HELD_MAX", 3)
    monkeypatch.setattr(listener, "HELD_STRANGERS_MAX", 2)

    async def story() -> None:
        async with Port(tmp_path).open() as port:
            port.may_load.clear()
            strangers = [await port.dial() for _ in range(4)]
            for reader, _ in strangers[:2]:
                assert await ended(reader)
            servers = [asyncio.create_task(port.ask(*SERVERS)) for _ in range(3)]
            for reader, _ in strangers:
                assert await ended(reader)
            port.may_load.set()
            assert all(answer.endswith(b"hello") for answer in await asyncio.gather(*servers))
            for _, writer in strangers:
                writer.transport.abort()

    asyncio.run(story())


async def ended(reader: asyncio.StreamReader) -> bool:
    """It is closed by the other side, which said nothing."""
    try:
        return await reader.read() == b""
    except ConnectionError:
        return True


# --- what goes wrong ----------------------------------------------------------------------------------------


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
            await until(lambda: len(port.listener._held) > 0)
            writer.transport.abort()
            port.may_load.set()
            assert (await port.ask()).endswith(b"hello")
            await until(lambda: len(port.connections.places) == 0)

    asyncio.run(story())


def test_who_does_not_read_is_cut_off(tmp_path: Path) -> None:
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
        async with Port(tmp_path, endless, stall_s=0.1).open() as port:
            reader, writer = await port.dial()
            writer.write(REQUEST)
            await reader.readexactly(1)
            await asyncio.wait_for(ended.wait(), WITHIN_S)
            writer.transport.abort()

    asyncio.run(story())


def test_an_upgraded_connection_may_be_silent(tmp_path: Path) -> None:
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
            writer.write(f"GET / HTTP/1.1\r\nHost: n\r\n{fields}{key}\r\n".encode())
            await reader.readuntil(b"\r\n\r\n")
            port.connections.limits = replace(port.limits, head_bytes=100, head_timeout_s=0.05)
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
        lambda: server_context(tmp_path / "broken.pem", port.certificates.pair_file),
    ):
        with pytest.raises(BadIdentity, match="cannot use"):
            take()
