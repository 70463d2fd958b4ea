"""Two ends of a SPDY connection over a real socket: what is slow, what breaks, what asks too much."""

from __future__ import annotations

import asyncio
import socket
import tracemalloc
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from bounded_run import run

from nodeagent.streams import connection as connections
from nodeagent.streams.connection import SpdyConnection, SpdyStream
from nodeagent.streams.signals import Activity
from nodeagent.streams.spdy.frames import Data, FrameReader, FrameWriter, GoAway, Ping, SynReply, SynStream
from nodeagent.streams.spdy.headers import BLOCK_BYTES_MAX
from nodeagent.streams.spdy.session import RECEIVED_BYTES_MAX
from nodeagent.streams.wires import BareWire, SocketWire

MIB = 1024 * 1024


async def wires() -> tuple[SocketWire, SocketWire]:
    one, other = socket.socketpair()
    return SocketWire(*await asyncio.open_connection(sock=one)), SocketWire(*await asyncio.open_connection(sock=other))


class Server:
    """Takes every stream."""

    def __init__(self, wire: SocketWire, streams_max: int = 100) -> None:
        self.streams: asyncio.Queue[SpdyStream] = asyncio.Queue()
        self.connection = SpdyConnection(
            wire, server=True, activity=Activity(), streams_max=streams_max, on_stream=self._take
        )

    def _take(self, stream: SpdyStream, headers: Mapping[str, str]) -> None:
        self.streams.put_nowait(stream)


@asynccontextmanager
async def served(**options: Any) -> AsyncIterator[tuple[SpdyConnection, Server]]:
    """A client and a server that run."""
    ours, theirs = await wires()
    client, server = SpdyConnection(ours, server=False, activity=Activity()), Server(theirs, **options)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each.run()) for each in (client, server.connection)]
        try:
            yield client, server
        finally:
            for each in tasks:
                each.cancel()
    client.abort()
    server.connection.abort()


@asynccontextmanager
async def raw(**options: Any) -> AsyncIterator[tuple[SocketWire, Server, asyncio.Task[None]]]:
    """A server that runs, and a bare wire to it."""
    ours, theirs = await wires()
    server = Server(theirs, **options)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(server.connection.run())
        try:
            yield ours, server, running
        finally:
            running.cancel()
    ours.abort()
    server.connection.abort()


async def everything(stream: SpdyStream) -> bytes:
    found = bytearray()
    while data := await stream.read():
        found += data
    return bytes(found)


async def settled(count: Any) -> int:
    """The count, once it has not changed for a while."""
    before, same = -1, 0
    while same < 20:
        await asyncio.sleep(0.005)
        before, same = count(), same + 1 if count() == before else 0
    return before


def test_much_goes_both_ways_at_once() -> None:
    data = bytes(range(256)) * (4 * MIB // 256)

    async def work() -> None:
        async with served() as (client, server):
            ours = client.open({"streamtype": "data"})
            assert await ours.taken()
            theirs = await server.streams.get()
            async with asyncio.TaskGroup() as group:
                for each in (ours, theirs):
                    group.create_task(send(each))
                found = [group.create_task(everything(each)) for each in (ours, theirs)]
            assert [each.result() for each in found] == [data, data]
            assert not ours.broken
            assert not theirs.broken

    async def send(stream: SpdyStream) -> None:
        await stream.write(data)
        stream.finish()

    run(work())


def test_whoever_reads_nothing_stops_the_one_who_writes() -> None:
    async def work() -> None:
        async with served() as (client, server):
            ours = client.open({})
            assert await ours.taken()
            theirs = await server.streams.get()
            sent = 0

            async def send() -> None:
                nonlocal sent
                for _ in range(1000):
                    await ours.write(bytes(65536))
                    sent += 65536
                ours.finish()

            async with asyncio.TaskGroup() as group:
                group.create_task(send())
                assert await settled(lambda: sent) < 4 * MIB
                assert len(await everything(theirs)) == 1000 * 65536

    run(work())


def test_small_pieces_are_read_as_one() -> None:
    """Else each byte would cost many."""

    async def work() -> None:
        async with served() as (client, server):
            ours = client.open({})
            assert await ours.taken()
            theirs = await server.streams.get()
            for _ in range(1000):
                await ours.write(b"x")
            ours.finish()
            while theirs.held < 1000:  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0)
            assert await theirs.read() == b"x" * 1000

    run(work())


def test_a_stream_that_is_reset_gives_back_what_it_held() -> None:
    """Else the streams beside it would wait for ever."""

    async def work() -> None:
        async with served() as (client, server):
            stuck, alive = client.open({}), client.open({})
            assert await alive.taken()
            their_stuck, their_alive = await server.streams.get(), await server.streams.get()

            async def send() -> None:
                with suppress(BrokenPipeError):
                    while True:
                        await stuck.write(bytes(65536))

            async with asyncio.TaskGroup() as group:
                group.create_task(send())
                assert await settled(lambda: their_stuck.held)
                their_stuck.reset()
                await alive.write(b"hello")
                assert await their_alive.read() == b"hello"

    run(work())


def test_when_one_side_is_gone_everything_of_the_other_ends() -> None:
    async def work() -> None:
        async with served() as (client, server):
            ours = client.open({})
            assert await ours.taken()
            theirs = await server.streams.get()
            client.abort()
            assert await theirs.read() == b""
            assert theirs.broken
            with pytest.raises(BrokenPipeError):
                await theirs.write(b"anybody?")
            assert not await server.connection.open({}).taken()

    run(work())


def test_a_goodbye_waits_until_the_other_side_has_ended_its_streams() -> None:
    async def work() -> None:
        async with served() as (client, server):
            ours = client.open({})
            assert await ours.taken()
            theirs = await server.streams.get()
            await theirs.write(b"last words")
            theirs.finish()
            async with asyncio.TaskGroup() as group:
                leaving = group.create_task(server.connection.say_goodbye())
                assert await everything(ours) == b"last words"
                assert not leaving.done()
                ours.finish()

    run(work())


def test_who_breaks_the_rules_is_told_and_let_go() -> None:
    async def work() -> None:
        async with raw() as (wire, server, running):
            await wire.write(FrameWriter().write(SynStream(stream_id=2, headers={})))
            await running
            async with asyncio.TaskGroup() as group:
                group.create_task(server.connection.close())
                said = b""
                while data := await wire.read():
                    said += data
            assert list(FrameReader().feed(said)) == [GoAway(last_stream_id=0, status=1)]

    run(work())


def test_who_asks_for_answers_without_reading_them_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "ANSWERS_BYTES_MAX", 64 * 1024)

    async def work() -> None:
        async with raw() as (wire, _, running):
            pings = FrameWriter().write(Ping(ping_id=1)) * 4096

            async def ask() -> None:
                while True:
                    await wire.write(pings)

            async with asyncio.TaskGroup() as group:
                asking = group.create_task(ask())
                await running
                asking.cancel()

    run(work())


def test_a_client_gives_no_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """What reaches a server that has closed makes the kernel throw away what it said last."""
    monkeypatch.setattr(connections, "KEEPALIVE_S", 0.01)

    async def work() -> None:
        ours, theirs = await wires()
        client = SpdyConnection(ours, server=False, activity=Activity())
        async with asyncio.TaskGroup() as group:
            running = group.create_task(client.run())
            heard = group.create_task(theirs.read())
            await settled(lambda: heard.done())
            assert not heard.done()
            running.cancel()
            client.abort()
        theirs.abort()

    run(work())


def test_an_end_is_noticed_while_nothing_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the sign of life that cannot be written any more."""
    monkeypatch.setattr(connections, "KEEPALIVE_S", 0.01)

    async def work() -> None:
        async with raw() as (wire, server, running):
            writer = FrameWriter()
            await wire.write(writer.write(SynStream(stream_id=1, headers={})))
            data = Data(stream_id=1, data=bytes(2 * RECEIVED_BYTES_MAX))
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(wire.write(writer.write(data)))
                stuck = await server.streams.get()
                assert await settled(lambda: stuck.held)
                assert not running.done()
                sending.cancel()
            wire.abort()
            await running

    run(work())


def test_headers_are_not_kept_as_long_as_their_streams() -> None:
    """As many as may be, each with as much as may be: for hours, they would be megabytes of a client's own choice."""
    count, length = 256, BLOCK_BYTES_MAX - 256

    async def work() -> None:
        async with raw(streams_max=count) as (wire, server, _):
            writer = FrameWriter()
            tracemalloc.start()
            try:
                for number in range(count):
                    headers = {"streamtype": "data", "filler": "x" * length}
                    await wire.write(writer.write(SynStream(stream_id=2 * number + 1, headers=headers)))
                    await server.streams.get()
                held, _ = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert held < count * length / 2

    run(work())


class TakesNoMore:
    """A wire whose other side said `last` and closed: writing fails, and only then that is read."""

    def __init__(self, last: bytes) -> None:
        self._last = last
        self.failed = asyncio.Event()
        self.comes = asyncio.Event()

    async def read(self) -> bytes:
        await self.comes.wait()
        said, self._last = self._last, b""
        return said

    async def write(self, data: bytes) -> None:
        self.failed.set()
        raise BrokenPipeError

    async def close(self) -> None: ...

    def abort(self) -> None:
        self._last = b""


def test_what_a_runtime_said_before_it_closed_is_heard_though_it_takes_no_more() -> None:
    """A command that ends without reading all of its input: how it ended is the last word."""
    writer = FrameWriter()
    replied = writer.write(SynReply(stream_id=1, headers={}))
    ended = writer.write(Data(stream_id=1, data=b"ended", finished=True))

    async def work() -> None:
        wire = TakesNoMore(replied + ended)
        client = SpdyConnection(wire, server=False, activity=Activity())
        stream = client.open({"streamtype": "error"})
        async with asyncio.TaskGroup() as group:
            group.create_task(client.run())
            await wire.failed.wait()
            with pytest.raises(BrokenPipeError):
                await stream.write(b"more")
            wire.comes.set()
            assert await stream.read() == b"ended"

    run(work())


def test_a_bare_wire_reads_what_came_before_writing_failed() -> None:
    async def work() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            wire = await BareWire.dial("127.0.0.1", server.getsockname()[1])
            theirs, _ = server.accept()
            await wire.write(b"never read")
            assert theirs.recv(1, socket.MSG_PEEK)
            theirs.sendall(b"last words")
            theirs.close()  # with something unread: a reset
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                await wire.write(bytes(64 * MIB))
            assert await wire.read() == b"last words"
            assert await wire.read() == b""
            wire.abort()

    run(work())


def test_a_bare_wire_that_is_given_up_lets_its_reader_and_writer_go() -> None:
    async def work() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            wire = await BareWire.dial("127.0.0.1", server.getsockname()[1])
            theirs, _ = server.accept()
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(wire.read())
                writing = group.create_task(all_taken(wire))
                for _ in range(5):
                    await asyncio.sleep(0)
                wire.abort()
                wire.abort()
            assert reading.result() == b""
            assert not writing.result()
            assert wire._socket.fileno() == -1
            theirs.close()

    async def all_taken(wire: BareWire) -> bool:
        try:
            await wire.write(bytes(64 * MIB))
        except OSError:
            return False
        return True

    run(work())
