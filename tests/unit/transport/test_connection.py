"""One connection: it stops when TLS says stop, and is silent once it was dropped."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from raftstore.raft.connection import Connection, LinkMetrics
from raftstore.raft.engine import Message
from raftstore.raft.frames import encode

FRAME = encode({"type": "x"})
LARGE = encode({"type": "bulk", "payload": b"x" * 300_000})


class Tls(asyncio.Transport):
    """What TLS was given; it says stop when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.aborted = self.closing = False
        self.full_after: int | None = None
        self.protocol: Connection | None = None

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.limits = (high, low)

    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))
        if self.full_after is not None and len(self.writes) >= self.full_after and self.protocol is not None:
            self.protocol.pause_writing()

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        self.closing = True


class Handler:
    def __init__(self, *, drop_at: str = "") -> None:
        self.heard: list[Any] = []
        self.drop_at = drop_at

    def made(self, connection: Connection) -> None:
        self.heard.append("made")

    def frame(self, connection: Connection, message: Message) -> None:
        self.heard.append(message["type"])
        if message["type"] == self.drop_at:
            connection.drop("enough")

    def drained(self, connection: Connection) -> None:
        self.heard.append("drained")

    def lost(self, connection: Connection) -> None:
        self.heard.append("lost")


def connected(handler: Handler, **options: int) -> tuple[Connection, Tls]:
    connection, tls = Connection(handler, LinkMetrics(), **options), Tls()
    tls.protocol = connection
    connection.connection_made(tls)
    return connection, tls


async def one_iteration() -> None:
    await asyncio.sleep(0)


def run(body: Coroutine[Any, Any, None]) -> None:
    asyncio.run(body)


def test_it_writes_no_more_once_tls_says_stop_and_goes_on_when_it_may() -> None:
    async def body() -> None:
        handler = Handler()
        connection, tls = connected(handler, high=1_000_000, low=400_000)
        tls.full_after = 1
        while connection.send(LARGE):
            pass
        waiting = connection.waiting_bytes
        assert waiting >= 1_000_000
        await one_iteration()
        assert len(tls.writes) == 1
        assert connection.waiting_bytes == waiting - len(LARGE)
        await one_iteration()
        assert len(tls.writes) == 1
        assert "drained" not in handler.heard
        tls.full_after = None
        connection.resume_writing()
        assert connection.waiting_bytes == 0
        assert handler.heard.count("drained") == 1

    run(body())


def test_small_frames_of_one_iteration_are_one_write_and_large_ones_are_not_joined() -> None:
    async def body() -> None:
        connection, tls = connected(Handler())
        for _ in range(3):
            connection.send(FRAME)
        connection.send(LARGE)
        await one_iteration()
        assert tls.writes == [FRAME * 3, LARGE]

    run(body())


def test_drained_comes_only_after_a_refusal() -> None:
    async def body() -> None:
        handler = Handler()
        connection, _ = connected(handler, high=1000, low=100)
        assert connection.send(FRAME)
        await one_iteration()
        assert "drained" not in handler.heard

    run(body())


def test_nothing_is_handed_over_once_it_was_dropped() -> None:
    """Not even frames of the same chunk that came behind the one at which it was dropped."""

    async def body() -> None:
        handler = Handler(drop_at="last")
        connection, tls = connected(handler)
        connection.data_received(FRAME + encode({"type": "last"}) + FRAME * 5)
        connection.data_received(FRAME)
        assert handler.heard == ["made", "x", "last"]
        assert tls.aborted
        assert not connection.send(FRAME)
        await one_iteration()
        assert tls.writes == []
        connection.connection_lost(None)
        assert handler.heard[-1] == "lost"
        assert connection.ending == "enough"

    run(body())


def test_the_last_frame_is_sent_alone_before_closing() -> None:
    async def body() -> None:
        handler = Handler()
        connection, tls = connected(handler)
        connection.send(LARGE)
        connection.finish(FRAME, "done")
        await one_iteration()
        assert tls.writes == [FRAME]
        assert tls.closing
        connection.data_received(FRAME)
        assert handler.heard == ["made"]

    run(body())


def test_a_deadline_drops_it_unless_kept() -> None:
    async def body() -> None:
        connection, tls = connected(Handler())
        connection.end_after(0.0, "too late")
        connection.keep()
        await one_iteration()
        assert not tls.aborted
        connection.end_after(0.0, "too late")
        await asyncio.wait_for(dropped(connection), 60)
        assert connection.ending == "too late"

    async def dropped(connection: Connection) -> None:
        while not connection.dropped:
            await one_iteration()

    run(body())


def test_an_end_in_the_middle_of_a_frame_is_counted() -> None:
    async def body() -> None:
        metrics = LinkMetrics()
        connection = Connection(Handler(), metrics)
        connection.connection_made(Tls())
        connection.data_received(FRAME[:-1])
        connection.connection_lost(None)
        assert metrics.refused["truncated"] == 1

    run(body())
