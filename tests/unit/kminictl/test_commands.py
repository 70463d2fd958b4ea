"""Commands in containers: what goes over the WebSocket, in both directions, and how a command ends."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

import msgspec
import pytest
from command_server import END, STDIN, CommandServer, command_server
from kminictl.cluster.api import Api
from kminictl.cluster.commands import Streams, exit_code, run
from kminictl.cluster.session import Options, Session
from kminictl.cluster.terminal import standard_input
from kminictl.cluster.transport import LeanTransport
from kminictl.cluster.websocket import masked
from kminictl.failures import CommandError

from apiserver.client import Access, Client
from apiserver.client.access import Credentials


def do(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 20))


class Hearing:
    """What a command said; `until` waits for it."""

    def __init__(self) -> None:
        self.out, self.err = b"", b""
        self._more = asyncio.Event()

    def write(self, data: bytes) -> None:
        self.out += data
        self._more.set()

    def complain(self, data: bytes) -> None:
        self.err += data

    async def until(self, text: bytes) -> None:
        while text not in self.out:
            self._more.clear()
            await self._more.wait()


class _Session(Session):
    def __init__(self, client: Client) -> None:
        self.options = Options()
        self.namespace = "default"
        self.api = Api(client, lambda _text: None)
        self._catalogue = None


async def asked(server: CommandServer, hearing: Hearing, stdin: AsyncGenerator[bytes, None] | None = None) -> int:
    access = Access(servers=(f"http://127.0.0.1:{server.port}",))
    transport = LeanTransport(Credentials(access, clock=time.monotonic), user_agent="test")
    async with Client(access, learn=False, transport=transport) as client:
        streams = Streams(stdin=stdin, stdout=hearing.write, stderr=hearing.complain)
        return await run(_Session(client), "web", "default", "main", ["sh", "-c", "a b"], streams)


def test_a_conversation_in_which_nobody_waits_for_the_end() -> None:
    async def work() -> None:
        hearing = Hearing()

        async def stdin() -> AsyncGenerator[bytes, None]:
            await hearing.until(b"ready\n")
            yield b"one\n"
            await hearing.until(b"got one\n")
            yield b"two\n"
            await hearing.until(b"got two\n")

        async with command_server(first=b"ready\n") as server:
            assert await asked(server, hearing, stdin()) == 0
            assert hearing.out == b"ready\ngot one\ngot two\n"
            assert server.heard == [(STDIN, b"one\n"), (STDIN, b"two\n"), (END, bytes([STDIN]))]
            assert [pair for pair in server.queries[0] if pair[0] == "command"] == [
                ("command", "sh"),
                ("command", "-c"),
                ("command", "a b"),
            ]

    do(work())


def test_much_goes_both_ways_in_large_pieces() -> None:
    async def work() -> None:
        hearing = Hearing()
        pieces = [bytes([number]) * 70_000 for number in range(20)]

        async def stdin() -> AsyncGenerator[bytes, None]:
            for piece in pieces:
                yield piece

        async with command_server() as server:
            assert await asked(server, hearing, stdin()) == 0
            assert hearing.out == b"".join(b"got " + piece for piece in pieces)

    do(work())


def test_output_ends_a_command_whose_stdin_does_not() -> None:
    async def work() -> None:
        hearing = Hearing()

        async def stdin() -> AsyncGenerator[bytes, None]:
            yield b""
            await asyncio.Event().wait()

        failed = {"status": "Failure", "details": {"causes": [{"reason": "ExitCode", "message": "7"}]}}
        async with command_server(status=failed) as server:
            server._talk = lambda _socket: asyncio.sleep(0)  # type: ignore[method-assign,assignment]  # says nothing
            assert await asked(server, hearing, stdin()) == 7

    do(work())


def test_what_a_server_says_at_the_end_is_an_error_of_its_own() -> None:
    """Not a group of one: who asks looks for CommandError."""

    async def work() -> None:
        failed = {"status": "Failure", "message": "no task is there"}
        async with command_server(status=failed) as server:
            server._talk = lambda _socket: asyncio.sleep(0)  # type: ignore[method-assign,assignment]  # says nothing
            with pytest.raises(CommandError, match="no task is there"):
                await asked(server, Hearing())

    do(work())


def test_a_server_that_refuses_is_quoted() -> None:
    async def work() -> None:
        refusal = {"kind": "Status", "status": "Failure", "message": "pod web does not have a host", "code": 400}
        async with command_server(refuse=refusal) as server:
            with pytest.raises(CommandError, match="unable to upgrade connection: pod web does not have a host"):
                await asked(server, Hearing())

    do(work())


def test_how_a_command_ends() -> None:
    assert exit_code(b'{"status":"Success"}') == 0
    failed = {"status": "Failure", "message": "no such file", "details": {"causes": []}}
    with pytest.raises(CommandError, match="no such file"):
        exit_code(msgspec.json.encode(failed))
    with pytest.raises(CommandError, match="the connection ended before the command did"):
        exit_code(b"")
    with pytest.raises(CommandError, match="gibberish"):
        exit_code(b"gibberish")


@pytest.mark.parametrize("length", [0, 1, 3, 4, 5, 127, 1000])
def test_masks_are_put_on_byte_by_byte(length: int) -> None:
    data, mask = bytes(index % 256 for index in range(length)), b"\x01\xff\x00\x80"
    assert masked(data, mask) == bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))


def test_standard_input_that_pauses_stops_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked at, not waited for: a read that blocks would stop the output too."""
    reading, writing = os.pipe()
    with open(reading, encoding="utf-8") as stdin, open(writing, "wb", buffering=0) as typed:
        monkeypatch.setattr(sys, "stdin", stdin)

        async def work() -> None:
            pieces = standard_input()
            for word in (b"one", b"two"):
                typed.write(word)
                assert await anext(pieces) == word
                waiting = asyncio.ensure_future(anext(pieces))
                for _ in range(20):
                    await asyncio.sleep(0)
                assert not waiting.done()
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
                pieces = standard_input()
            typed.close()
            assert [piece async for piece in pieces] == []

        do(work())
