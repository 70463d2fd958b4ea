"""Who holds a TLS port up with handshakes that do not end, and who gets in nevertheless."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop
from tls_port import NAME, Certificates

from apiserver.listening import listener
from apiserver.listening.listener import TlsListener

WITHIN_S = 60.0
Loop = Callable[[], asyncio.AbstractEventLoop] | None
loops = pytest.mark.parametrize("loop", [None, uvloop.new_event_loop], ids=["asyncio", "uvloop"])


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport) or hasattr(transport, "write")
        self._write = transport.write

    def data_received(self, data: bytes) -> None:
        self._write(data)


class Port:
    """A listener of echoes on loopback."""

    def __init__(self, folder: Path, handshakes_max: int) -> None:
        self.listener = TlsListener(Echo, handshakes_max=handshakes_max)
        self._certificates = Certificates(folder)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Port]:
        self.listener.open("127.0.0.1", 0, self._certificates.server())
        try:
            async with asyncio.timeout(WITHIN_S):
                yield self
        finally:
            await self.listener.close()

    async def silent(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection that says nothing."""
        return await asyncio.open_connection("127.0.0.1", self.listener.port)

    async def echoes(self, sock: socket.socket | None = None) -> bool:
        to: dict[str, Any] = {"host": "127.0.0.1", "port": self.listener.port} if sock is None else {"sock": sock}
        reader, writer = await asyncio.open_connection(
            **to,
            ssl=self._certificates.client(),
            server_hostname=NAME,
        )
        writer.write(b"hello")
        said = await reader.readexactly(5)
        writer.close()
        return said == b"hello"


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # nobody tells
        await asyncio.sleep(0.001)


@loops
def test_who_is_silent_makes_room_and_who_is_not_gets_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loop: Loop
) -> None:
    monkeypatch.setattr(listener, "HANDSHAKE_TIMEOUT_S", 10 * WITHIN_S)  # nobody goes because of it

    async def story() -> None:
        async with Port(tmp_path, 3).open() as port:
            silent = []
            for number in range(10):
                silent.append(await port.silent())
                if number < 3:
                    await until(lambda count=number + 1: port.listener.handshakes == count)  # type: ignore[misc]  # a default
            for reader, _ in silent[:7]:
                assert await reader.read() == b"", "who came first goes first"
            assert port.listener.handshakes == 3
            assert not any(reader.at_eof() for reader, _ in silent[7:])
            for _ in range(5):
                assert await port.echoes()
            assert port.listener.handshakes <= 3
            for _, writer in silent:
                writer.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(story())


@loops
def test_who_shook_hands_takes_no_place_any_more(tmp_path: Path, loop: Loop) -> None:
    async def story() -> None:
        async with Port(tmp_path, 1).open() as port:
            for _ in range(20):
                assert await port.echoes()
            await until(lambda: port.listener.handshakes == 0)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(story())


@loops
def test_a_handshake_has_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loop: Loop) -> None:
    monkeypatch.setattr(listener, "HANDSHAKE_TIMEOUT_S", 0.05)

    async def story() -> None:
        async with Port(tmp_path, 3).open() as port:
            reader, writer = await port.silent()
            assert await reader.read() == b""
            writer.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(story())


@loops
def test_what_is_no_tls_harms_nobody(tmp_path: Path, loop: Loop) -> None:
    async def story() -> None:
        async with Port(tmp_path, 3).open() as port:
            reader, writer = await port.silent()
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            await reader.read()
            writer.close()
            _, writer = await port.silent()
            writer.transport.abort()
            assert await port.echoes()
            await until(lambda: port.listener.handshakes == 0)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(story())


@loops
def test_it_goes_on_after_it_could_not_accept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, loop: Loop
) -> None:
    monkeypatch.setattr(listener, "ACCEPT_AGAIN_S", 0.01)

    async def story() -> None:
        accept, failures = socket.socket.accept, [RuntimeError("unheard of"), OSError(24, "Too many open files")]

        def failing(listening: socket.socket) -> tuple[socket.socket, object]:
            if failures:
                raise failures.pop()
            return accept(listening)

        monkeypatch.setattr(socket.socket, "accept", failing)
        async with Port(tmp_path, 3).open() as port:
            assert await port.echoes()
        assert caplog.text.count("cannot be accepted") == 2

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(story())


@loops
@pytest.mark.parametrize("turns", range(4))
def test_who_comes_as_it_closes_is_hung_up_on(tmp_path: Path, loop: Loop, turns: int) -> None:
    """A socket that is left to the garbage collector fails the test by its warning."""

    async def story() -> None:
        async with Port(tmp_path, 3).open() as port:
            callers = [socket.create_connection(("127.0.0.1", port.listener.port), timeout=WITHIN_S) for _ in range(3)]
            for _ in range(turns):
                await asyncio.sleep(0)
        for caller in callers:
            with caller, suppress(ConnectionResetError):
                assert await asyncio.to_thread(caller.recv, 1) == b""

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(story())
    gc.collect()


@loops
def test_when_it_is_closed_nobody_waits(tmp_path: Path, loop: Loop) -> None:
    async def story() -> None:
        async with Port(tmp_path, 2).open() as port:
            silent = [await port.silent() for _ in range(3)]
            await until(lambda: port.listener.handshakes == 2)
        for reader, writer in silent:
            assert await asyncio.wait_for(reader.read(), WITHIN_S) == b""
            writer.close()
        with pytest.raises(ConnectionRefusedError):
            await port.silent()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(story())


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    async def story() -> None:
        async with Port(tmp_path, 1).open() as port:
            with pytest.raises(OSError, match="in use"):
                TlsListener(Echo, handshakes_max=1).open(
                    "127.0.0.1", port.listener.port, Certificates(tmp_path).server()
                )

    asyncio.run(story())
