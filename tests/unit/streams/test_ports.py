"""Ports of a pod in the node's own network, so that nobody needs to be root: pairs of streams, and who ends first."""

from __future__ import annotations

import asyncio
import socket
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest
from bounded_run import run
from scripted_streaming import ScriptedRuntime, scripted_runtime
from stream_clients import Refusal, Spdy, everything, node_server, spdy, websocket

from nodeagent.runtime.interface import RuntimeFailure
from nodeagent.streams import PortForwardRequest, Streams, ports, runtime_side
from nodeagent.streams.connection import SpdyStream

PROTOCOL = "portforward.k8s.io"

Process = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(process: Process) -> AsyncIterator[int]:
    """The port at which a process serves each connection like this."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await process(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def node(*asked: int) -> AsyncIterator[tuple[ScriptedRuntime, int]]:
    async with scripted_runtime() as runtime:
        streams = Streams(runtime)
        wanted = PortForwardRequest(sandbox_id="s", ports=asked)
        async with node_server(lambda request: streams.port_forward(request, wanted)) as port:
            yield runtime, port


@asynccontextmanager
async def forwarding() -> AsyncIterator[Spdy]:
    async with node() as (_, port), spdy(port, PROTOCOL) as client:
        yield client


async def opened(client: Spdy, port: int, request: str = "0") -> tuple[SpdyStream, SpdyStream]:
    """Its error and data streams."""
    headers = {"port": str(port), "requestid": request}
    error = await client.open(streamtype="error", **headers)
    error.finish()
    return error, await client.open(streamtype="data", **headers)


async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers when it has heard everything."""
    writer.write((await reader.read()).upper())


def test_a_process_that_waits_for_the_end_of_its_input_answers() -> None:
    async def work() -> None:
        async with listening(shout) as port, forwarding() as client:
            error, data = await opened(client, port)
            await data.write(b"hello " * 50_000)
            data.finish()
            assert await everything(data) == b"HELLO " * 50_000
            assert await everything(error) == b""

    run(work())


def test_a_client_may_go_on_when_the_process_has_said_all_and_hears_that_no_error_comes() -> None:
    heard: asyncio.Future[bytes]

    async def process(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"all")
        writer.write_eof()
        heard.set_result(await reader.read())

    async def work() -> None:
        nonlocal heard
        heard = asyncio.get_running_loop().create_future()
        async with listening(process) as port, forwarding() as client:
            error, data = await opened(client, port)
            assert await everything(data) == b"all"
            assert await everything(error) == b"", "older clients wait for this before they end"
            await data.write(b"more")
            data.finish()
            assert await heard == b"more"

    run(work())


def test_a_client_that_resets_its_stream_breaks_the_connection() -> None:
    broke: asyncio.Future[bool]

    async def process(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        try:
            broke.set_result(await reader.read() == b"never")
        except ConnectionResetError:
            broke.set_result(True)

    async def work() -> None:
        nonlocal broke
        broke = asyncio.get_running_loop().create_future()
        async with listening(process) as port, forwarding() as client:
            _, data = await opened(client, port)
            assert await data.read() == b"hello"
            data.reset()
            assert await broke, "not an end as any other"

    run(work())


def test_a_process_that_breaks_off_resets_the_stream_and_says_nothing() -> None:
    async def process(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        await writer.drain()
        await reader.readexactly(1)
        writer.transport.abort()

    async def work() -> None:
        async with listening(process) as port, forwarding() as client:
            error, data = await opened(client, port)
            assert await data.read() == b"hello"
            await data.write(b"xx")
            assert await everything(data) == b""
            assert await everything(error) == b"", "newer clients would end everything"

    run(work())


def test_nobody_listens() -> None:
    async def work() -> None:
        async with listening(shout) as port, forwarding() as client:
            error, data = await opened(client, 1)
            assert await everything(data) == b""
            assert await everything(error) == (
                b"error forwarding port 1: cannot connect to localhost:1 in the pod's network: Connection refused"
            )
            _, data = await opened(client, port, "1")
            await data.write(b"x")
            data.finish()
            assert await everything(data) == b"X", "others go on"

    run(work())


@pytest.mark.parametrize(
    "headers",
    [
        {"streamtype": "data", "port": "80"},
        {"streamtype": "data", "requestid": "1"},
        {"streamtype": "data", "port": "80", "requestid": "1" * (ports.REQUEST_LENGTH_MAX + 1)},
        {"streamtype": "data", "port": "0", "requestid": "1"},
        {"streamtype": "data", "port": "65536", "requestid": "1"},
        {"streamtype": "data", "port": "-1", "requestid": "1"},
        {"streamtype": "stdin", "port": "80", "requestid": "1"},
    ],
    ids=str,
)
def test_streams_that_make_no_sense_are_reset(headers: dict[str, str]) -> None:
    async def work() -> None:
        async with forwarding() as client:
            stream = client.connection.open(headers)
            assert await everything(stream) == b""
            assert stream.broken

    run(work())


def test_a_second_stream_of_a_kind_and_one_of_another_port_are_reset() -> None:
    async def work() -> None:
        async with listening(shout) as port, forwarding() as client:
            _, data = await opened(client, port)
            for wrong in ({"streamtype": "data", "port": str(port)}, {"streamtype": "error", "port": "1"}):
                stream = client.connection.open({"requestid": "0", **wrong})
                assert await everything(stream) == b""
                assert stream.broken
            await data.write(b"x")
            data.finish()
            assert await everything(data) == b"X"

    run(work())


def test_a_stream_of_another_port_than_its_other_is_reset() -> None:
    async def work() -> None:
        async with forwarding() as client:
            await client.open(streamtype="error", port="1", requestid="0")
            stream = client.connection.open({"streamtype": "data", "port": "2", "requestid": "0"})
            assert await everything(stream) == b""
            assert stream.broken

    run(work())


def test_a_stream_without_its_other_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "PAIRED_WITHIN_S", 0.05)

    async def work() -> None:
        async with forwarding() as client:
            stream = await client.open(streamtype="data", port="80", requestid="1")
            assert await everything(stream) == b""
            assert stream.broken

    run(work())


def test_there_are_no_more_streams_than_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "STREAMS_MAX", 4)

    async def work() -> None:
        async with listening(shout) as port, forwarding() as client:
            pairs = [await opened(client, port, str(each)) for each in range(2)]
            refused = client.connection.open({"streamtype": "error", "port": str(port), "requestid": "2"})
            assert not await refused.taken()
            for _, data in pairs:
                data.finish()
                await everything(data)

    run(work())


def test_streams_that_come_and_go_leave_no_more_behind_than_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "STREAMS_MAX", 4)

    async def work() -> None:
        async with listening(shout) as port, forwarding() as client:
            for number in range(4):
                (await client.open(streamtype="data", port="80", requestid=str(number))).reset()
            one_more = client.connection.open({"streamtype": "data", "port": str(port), "requestid": "one more"})
            assert await everything(one_more) == b""
            assert one_more.broken, "four wait for their other stream already"

    run(work())


def test_many_connections_hold_no_more_than_one_may_and_go_on_side_by_side() -> None:
    """One that nobody reads does not stop the others for good: it is given up with its stream."""

    async def floods(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.readexactly(1) == b"f":
            while True:
                writer.write(bytes(65536))
                await writer.drain()
        writer.write(b"small")

    async def work() -> None:
        async with listening(floods) as port, forwarding() as client:
            _, flooded = await opened(client, port, "flood")
            await flooded.write(b"f")
            assert await flooded.read()
            flooded.reset()
            _, data = await opened(client, port, "small")
            await data.write(b"s")
            assert await everything(data) == b"small"

    run(work())


def test_what_a_client_does_not_read_of_many_connections_is_not_held_for_each_of_them() -> None:
    """It stays with the processes: 512 connections of one client held some 200 MiB of it."""
    connections, said = 64, bytes(65536)
    sent: list[int] = []
    all_are_open: asyncio.Event

    async def says_much(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await all_are_open.wait()
        with writer.get_extra_info("socket").dup() as told, suppress(ConnectionError):
            told.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, len(said))
            while True:
                await asyncio.get_running_loop().sock_sendall(told, said)  # a transport would hold some of it here too
                sent.append(len(said))

    async def work() -> None:
        nonlocal all_are_open
        all_are_open = asyncio.Event()
        async with listening(says_much) as port, forwarding() as client:
            for number in range(connections):
                await opened(client, port, str(number))
            before = await held_when_nothing_moves(sent)
            all_are_open.set()
            after = await held_when_nothing_moves(sent)
            assert len(sent) > connections, "and kept by nobody but the kernel"
            assert after - before < connections * 56 * 1024, "one piece of each is more"

    tracemalloc.start()
    try:
        run(work())
    finally:
        tracemalloc.stop()


async def held_when_nothing_moves(moved: list[int]) -> int:
    """In bytes, of this process."""
    still = 0
    while still < 200:
        seen = len(moved)
        await asyncio.sleep(0)
        still = still + 1 if len(moved) == seen else 0
    return tracemalloc.get_traced_memory()[0]


def test_libraries_that_open_no_streams_have_channels_for_the_ports_they_name() -> None:
    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"%d" % len(await reader.readexactly(100_000)))

    async def work() -> None:
        async with (
            listening(count) as port,
            node(port, 1, port) as (_, server),
            websocket(server, "v4.channel.k8s.io") as socket,
        ):
            for channel in (0, 4):
                for _ in range(10):
                    await socket.send_bytes(bytes([channel]) + bytes(10_000))
            found: dict[int, bytes] = {}
            async for message in socket:
                found[message.data[0]] = found.get(message.data[0], b"") + message.data[1:]
        said, nobody = port.to_bytes(2, "little"), b"\1\0"
        refused = b"error forwarding port 1: cannot connect to localhost:1 in the pod's network: Connection refused"
        assert found == {0: said + b"100000", 1: said, 2: nobody, 3: nobody + refused, 4: said + b"100000", 5: said}

    run(work())


def test_such_a_client_that_vanishes_breaks_its_connections() -> None:
    broke: asyncio.Future[bool]

    async def process(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        try:
            broke.set_result(await reader.read() == b"never")
        except ConnectionResetError:
            broke.set_result(True)

    async def work() -> None:
        nonlocal broke
        broke = asyncio.get_running_loop().create_future()
        async with listening(process) as port, node(port) as (_, server):
            async with websocket(server, "v4.channel.k8s.io") as socket:
                while await socket.receive_bytes() != b"\0hello":
                    continue
            assert await broke

    run(work())


@pytest.mark.parametrize("asked", [(), (1,) * 65])
def test_channels_need_ports(asked: tuple[int, ...]) -> None:
    async def work() -> None:
        async with node(*asked) as (_, server):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await ask(server)
            assert refused.value.status == 400

    async def ask(server: int) -> None:
        async with websocket(server, "v4.channel.k8s.io"):
            raise AssertionError("it was upgraded")

    run(work())


@pytest.mark.parametrize(("protocol", "status"), [("v4.channel.k8s.io", 403), ("", 400)])
def test_another_protocol_is_an_answer(protocol: str, status: int) -> None:
    async def work() -> None:
        async with node() as (_, port):
            with pytest.raises(Refusal) as refused:
                await ask(port)
            assert refused.value.status == status

    async def ask(port: int) -> None:
        async with spdy(port, *([protocol] if protocol else [])):
            raise AssertionError("it was upgraded")

    run(work())


@pytest.mark.parametrize("url", ["https://127.0.0.1:1/x", "http://127.0.0.1/x", "unix:///x", "http://127.0.0.1:1/x"])
def test_a_runtime_that_streams_where_nobody_can_go_is_said(url: str) -> None:
    async def work() -> None:
        with pytest.raises(RuntimeFailure, match="the runtime"):
            await runtime_side.dial(url, PROTOCOL)

    run(work())
