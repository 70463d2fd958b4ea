"""Commands between a client and a runtime that does what the test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from bounded_run import WITHIN_S, run
from scripted_streaming import SUCCESS, ScriptedRuntime, failed, scripted_runtime
from stream_clients import (
    Refusal,
    Result,
    command_by_spdy,
    command_by_websocket,
    everything,
    node_server,
    spdy,
    websocket,
)

from nodeagent.streams import ExecRequest, Streams, spdy_client, websocket_channels
from nodeagent.streams import connection as connections
from nodeagent.streams.connection import SpdyStream
from nodeagent.streams.websocket_channels import Inward

MUCH = 2 * 64 * 1024 * 1024  # more than any buffer holds
BUFFERS_MAX = 64 * 1024 * 1024  # the kernel's, of two connections over loopback, which grow; and ours
PROTOCOLS = ("spdy", "websocket")


class Node:
    def __init__(self, runtime: ScriptedRuntime, streams: Streams, port: int) -> None:
        self.runtime = runtime
        self.streams = streams
        self.port = port

    async def runtime_heard_the_end(self) -> None:
        while not self.runtime.ended:
            await self.runtime.changed.wait()


@asynccontextmanager
async def node(**options: Any) -> AsyncIterator[Node]:
    """Where exec of a command with these wishes can be asked for; `limits` are Streams'."""
    limits = options.pop("limits", {})
    wishes: dict[str, Any] = {"command": ["run"], "stdout": True}
    wanted = ExecRequest(container_id="c", **(wishes | options))
    async with scripted_runtime() as runtime:
        streams = Streams(runtime, **limits)
        async with node_server(lambda request: streams.exec(request, wanted)) as port:
            yield Node(runtime, streams, port)


async def ask(protocol: str, port: int, stdin: bytes | None = None) -> Result:
    if protocol == "spdy":
        return await command_by_spdy(port, stdin=stdin)
    return await command_by_websocket(port, stdin=stdin)


async def upper(streams: dict[str, SpdyStream]) -> bytes:
    """Gives stdin back in capitals, says so on stderr, and ends with 3."""
    while data := await streams["stdin"].read():
        await streams["stdout"].write(data.upper())
    await streams["stderr"].write(b"done\n")
    return failed(3)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_everything_reaches_the_other_side(protocol: str) -> None:
    async def work() -> None:
        async with node(stdin=True, stderr=True) as made:
            made.runtime.command = upper
            found = await ask(protocol, made.port, b"hello" * 100_000)
            assert (found.stdout, found.stderr, found.exit_code) == (b"HELLO" * 100_000, b"done\n", 3)
            (asked,) = made.runtime.asked
            assert asked == {
                "container_id": "c",
                "command": ["run"],
                "stdin": True,
                "stdout": True,
                "stderr": True,
                "tty": False,
            }

    run(work())


def test_a_terminal_has_sizes_and_no_stderr() -> None:
    sizes = [json.dumps({"Width": 80, "Height": 24}).encode(), json.dumps({"Width": 100, "Height": 33}).encode()]

    async def sized(streams: dict[str, SpdyStream]) -> bytes:
        assert set(streams) == {"error", "stdout", "resize"}
        for each in sizes:
            assert await streams["resize"].read() == each
            await streams["stdout"].write(b"seen ")
        return SUCCESS

    async def work() -> None:
        async with node(stderr=True, tty=True) as made, websocket(made.port, "v5.channel.k8s.io") as socket:
            made.runtime.command = sized
            assert await socket.receive_bytes() == b"\x01", "it is open"
            for each in sizes:
                await socket.send_bytes(b"\x04" + each)
                assert await socket.receive_bytes() == b"\x01seen "
            assert await socket.receive_bytes() == b"\x03" + SUCCESS

    run(work())


def test_text_is_taken_as_bytes() -> None:
    """As the Python client sends what is typed."""

    async def work() -> None:
        async with node(stdin=True, stderr=True) as made, websocket(made.port, "v4.channel.k8s.io") as socket:
            made.runtime.command = upper
            assert await socket.receive_bytes() == b"\x01"
            await socket.send_str("\x00h\u00e9llo")
            assert await socket.receive_bytes() == b"\x01H\xc3\xa9LLO"

    run(work())


@pytest.mark.parametrize(
    ("status", "expected"),
    [(SUCCESS, b""), (failed(3), b"command terminated with non-zero exit code: exit status 3")],
)
def test_clients_before_version_4_hear_words_and_only_when_it_failed(status: bytes, expected: bytes) -> None:
    async def ends(_: dict[str, SpdyStream]) -> bytes:
        return status

    async def work() -> None:
        async with node() as made, spdy(made.port, "v9.channel.k8s.io", "v2.channel.k8s.io") as client:
            made.runtime.command = ends
            assert client.fields["x-stream-protocol-version"] == "v2.channel.k8s.io"
            error = await client.open(streamtype="error")
            await client.open(streamtype="stdout")
            assert await everything(error) == expected

    run(work())


def test_a_connection_stays_until_its_client_has_ended_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client of Go's throws away what it has not read when the connection ends."""
    monkeypatch.setattr(connections, "LINGER_S", WITHIN_S)  # on a busy machine 10 s may pass in between

    async def work() -> None:
        async with node() as made, spdy(made.port, "v4.channel.k8s.io") as client:
            error = await client.open(streamtype="error")
            stdout = await client.open(streamtype="stdout")
            assert await everything(error) == SUCCESS
            await settled(lambda: 0)
            await error.write(b"not gone")
            for each in (error, stdout):
                each.finish()
            await client.running

    run(work())


def test_streams_that_were_not_asked_for_are_refused() -> None:
    async def waits(streams: dict[str, SpdyStream]) -> bytes:
        await streams["stdout"].write(b"begun")
        await everything(streams["error"])
        return b""

    async def work() -> None:
        async with node() as made, spdy(made.port, "v4.channel.k8s.io") as client:
            made.runtime.command = waits
            await client.open(streamtype="error")
            stdout = await client.open(streamtype="stdout")
            assert await stdout.read() == b"begun"
            for wrong in ("stdin", "stdout", "other"):
                stream = client.connection.open({"streamtype": wrong})
                assert await everything(stream) == b""
                assert stream.broken

    run(work())


@pytest.mark.parametrize(
    ("options", "protocol", "status"),
    [
        ({"stdout": False}, "v4.channel.k8s.io", 400),
        ({"stdout": False, "stderr": True, "tty": True}, "v4.channel.k8s.io", 400),
        ({"command": []}, "v4.channel.k8s.io", 400),
        ({"command": ["x"] * 5000}, "v4.channel.k8s.io", 400),
        ({}, "v9.channel.k8s.io", 403),
        ({}, "portforward.k8s.io", 403),
        ({"limits": {"streams_max": 0}}, "v4.channel.k8s.io", 429),
    ],
)
def test_what_cannot_be_is_an_answer(options: dict[str, Any], protocol: str, status: int) -> None:
    async def work() -> None:
        async with node(**options) as made:
            with pytest.raises(Refusal) as refused:
                await command(made.port)
            assert refused.value.status == status
            assert made.runtime.asked == []

    async def command(port: int) -> None:
        async with spdy(port, protocol):
            raise AssertionError("it was upgraded")

    run(work())


def test_what_the_runtime_refuses_is_an_answer() -> None:
    async def work() -> None:
        async with node() as made:
            made.runtime.refuses = "container is in CONTAINER_EXITED state"
            with pytest.raises(Refusal, match="CONTAINER_EXITED"):
                await command_by_spdy(made.port)
            assert made.streams.open == 0

    run(work())


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_runtime_that_breaks_off_is_told(protocol: str) -> None:
    async def breaks(streams: dict[str, SpdyStream]) -> bytes:
        await streams["stdout"].write(b"half")
        return b""

    async def work() -> None:
        async with node(stderr=True) as made:
            made.runtime.command = breaks
            found = await ask(protocol, made.port)
            assert (found.stdout, found.status["code"], found.status["reason"]) == (b"half", 500, "InternalError")
            assert "broke the connection off" in found.status["message"]

    run(work())


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_client_that_vanishes_ends_the_runtimes_side(protocol: str) -> None:
    async def work() -> None:
        async with node(stdin=True, stderr=True) as made:
            made.runtime.command = upper
            if protocol == "spdy":
                async with spdy(made.port, "v4.channel.k8s.io") as client:
                    streams = [await client.open(streamtype=each) for each in ("error", "stdin", "stdout", "stderr")]
                    await streams[1].write(b"x")
                    assert await streams[2].read() == b"X"
            else:
                async with websocket(made.port, "v5.channel.k8s.io") as socket:
                    await socket.receive_bytes()
            await made.runtime_heard_the_end()

    run(work())


async def never(streams: dict[str, SpdyStream]) -> bytes:
    """Says and takes nothing until its client is gone."""
    await streams["stdout"].write(b"begun")
    await everything(streams["error"])
    return b""


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_does_not_move_for_long_ends(protocol: str) -> None:
    """Maybe before all of it is open: we may have stood still. No status: nobody knows how it would have ended."""

    async def work() -> None:
        async with node(stderr=True, limits={"idle_s": 0.1}) as made:
            made.runtime.command = never
            if protocol == "spdy":
                async with spdy(made.port, "v4.channel.k8s.io") as client:
                    streams = [client.connection.open({"streamtype": each}) for each in ("error", "stdout", "stderr")]
                    assert await everything(streams[0]) == b""
                    await client.running
            else:
                assert (await command_by_websocket(made.port)).status == {}
            await made.runtime_heard_the_end()

    run(work())


def test_close_ends_what_is_open() -> None:
    async def work() -> None:
        async with node() as made, spdy(made.port, "v4.channel.k8s.io") as client:
            made.runtime.command = never
            await client.open(streamtype="error")
            stdout = await client.open(streamtype="stdout")
            assert await stdout.read() == b"begun"
            made.streams.close()
            assert await everything(stdout) == b""
            await made.runtime_heard_the_end()

    run(work())


def test_a_client_that_does_not_open_what_it_asked_for_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spdy_client, "OPENED_WITHIN_S", 0.5)

    async def work() -> None:
        async with node() as made, spdy(made.port, "v4.channel.k8s.io") as client:
            error = client.connection.open({"streamtype": "error"})  # not taken if we stood still meanwhile
            assert await everything(error) == b""
            await made.runtime_heard_the_end()

    run(work())


async def settled(count: Any) -> int:
    """The count, once it has not changed for a while."""
    before, same = -1, 0
    while same < 20:
        await asyncio.sleep(0.01)
        before, same = count(), same + 1 if count() == before else 0
    return before


async def full(count: Any) -> int:
    """The count, once it has begun, and has not changed for a while."""
    while not count():  # noqa: ASYNC110  # nobody tells
        await asyncio.sleep(0.01)
    return await settled(count)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_client_that_reads_nothing_stops_the_command(protocol: str) -> None:
    written = 0

    async def much(streams: dict[str, SpdyStream]) -> bytes:
        nonlocal written
        while True:
            await streams["stdout"].write(bytes(65536))
            written += 65536

    async def work() -> None:
        async with node() as made:
            made.runtime.command = much
            reader, writer = await asyncio.open_connection("127.0.0.1", made.port, limit=1024)
            head = ["GET / HTTP/1.1", "Host: node", "Connection: Upgrade"]
            if protocol == "spdy":
                await opened_and_left(made.port, lambda: written)
            else:
                key = "Sec-WebSocket-Key: " + "A" * 22 + "=="
                head += ["Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Protocol: v5.channel.k8s.io"]
                writer.write("\r\n".join([*head, key, "", ""]).encode())
                await reader.read(64)
                assert await full(lambda: written) < BUFFERS_MAX
            writer.transport.abort()

    async def opened_and_left(port: int, count: Any) -> None:
        async with spdy(port, "v4.channel.k8s.io") as client:
            await client.open(streamtype="error")
            await client.open(streamtype="stdout")
            assert await full(count) < BUFFERS_MAX

    run(work())


def test_a_command_that_reads_nothing_stops_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """And that its client goes away is noticed all the same."""
    monkeypatch.setattr(connections, "KEEPALIVE_S", 0.1)

    async def work() -> None:
        async with node(stdin=True) as made, spdy(made.port, "v4.channel.k8s.io") as client:
            made.runtime.command = never
            await client.open(streamtype="error")
            stdin, stdout = await client.open(streamtype="stdin"), await client.open(streamtype="stdout")
            sent = 0

            async def send() -> None:
                nonlocal sent
                while True:
                    await stdin.write(bytes(65536))
                    sent += 65536

            async with asyncio.TaskGroup() as group:
                sending = group.create_task(send())
                assert await full(lambda: sent) < BUFFERS_MAX
                assert await stdout.read() == b"begun", "output is in nobody's way"
                sending.cancel()
            client.wire.abort()
            await made.runtime_heard_the_end()

    run(work())


def test_a_client_by_websocket_is_noticed_to_be_gone_while_its_input_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_channels, "KEEPALIVE_S", 0.1)

    async def work() -> None:
        async with node(stdin=True) as made:
            made.runtime.command = never
            reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
            head = ["GET / HTTP/1.1", "Host: node", "Connection: Upgrade", "Upgrade: websocket"]
            head += ["Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {'A' * 22}=="]
            writer.write("\r\n".join([*head, "Sec-WebSocket-Protocol: v5.channel.k8s.io", "", ""]).encode())
            await reader.readuntil(b"\r\n\r\n")
            message = bytes.fromhex("82ff 0000000000010000 00000000") + bytes(65536)  # for stdin, masked with nothing
            writer.write(message * (MUCH // 65536))
            await full(writer.transport.get_write_buffer_size)
            writer.transport.abort()
            await made.runtime_heard_the_end()

    run(work())


@pytest.mark.parametrize("fields", [{}, {"Connection": "Upgrade", "Upgrade": "h2c"}, {"Upgrade": "SPDY/3.1"}], ids=str)
def test_a_request_that_does_not_upgrade_is_told_to(fields: dict[str, str]) -> None:
    protocol = {"X-Stream-Protocol-Version": "v4.channel.k8s.io"}

    async def work() -> None:
        async with (
            node() as made,
            aiohttp.ClientSession() as session,
            session.post(f"http://127.0.0.1:{made.port}/", headers=fields | protocol) as answer,
        ):
            assert answer.status == 400
            assert made.runtime.asked == []

    run(work())


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_input_that_nobody_takes_any_more_is_in_nobodys_way(protocol: str) -> None:
    async def closes(streams: dict[str, SpdyStream]) -> bytes:
        await streams["stdin"].read()
        streams["stdin"].reset()
        await everything(streams["error"])
        return b""

    async def work() -> None:
        async with node(stdin=True, stderr=True) as made:
            made.runtime.command = closes
            if protocol == "spdy":
                async with spdy(made.port, "v4.channel.k8s.io") as client:
                    streams = [await client.open(streamtype=each) for each in ("error", "stdin", "stdout", "stderr")]
                    await streams[1].write(bytes(MUCH))
            else:
                async with websocket(made.port, "v4.channel.k8s.io") as socket:
                    for _ in range(MUCH // 65536):
                        await socket.send_bytes(bytes(65536))

    run(work())


def test_input_by_websocket_is_bounded_too() -> None:
    async def work() -> None:
        inward = Inward()
        for _ in range(4):
            await inward.put(bytes(65536))
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(inward.put(b"more"))
            await asyncio.sleep(0)
            assert not waiting.done()
            assert len(await inward.read()) == 65536

    run(work())
