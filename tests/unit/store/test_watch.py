"""A watch as an iterator: batches as they come, progress when asked, an end that is clean."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from raftstore.errors import SlowWatcher
from raftstore.model import Event, EventType, KeyValue
from raftstore.watching import Watch, WatchBatch


def event(revision: int) -> Event:
    return Event(EventType.PUT, KeyValue(b"k", b"v", 1, revision, revision))


class FakeTaker:
    """What the hub would give, by hand."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.error: Exception | None = None
        self.progress_revision = 0
        self.canceled = False
        self.on_ready: Callable[[], None] = lambda: None

    def begin(self, on_ready: Callable[[], None]) -> FakeTaker:
        self.on_ready = on_ready
        return self

    def give(self, *revisions: int) -> None:
        self.events += [event(revision) for revision in revisions]
        self.on_ready()

    def take(self) -> list[Event]:
        taken, self.events = self.events, []
        if not taken and self.error is not None:
            raise self.error
        return taken

    def cancel(self) -> None:
        self.canceled = True


async def turn() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def test_batches_come_as_they_are_given() -> None:
    async def run() -> None:
        taker = FakeTaker()
        watch = Watch(taker.begin)
        waiting = asyncio.ensure_future(watch.__anext__())
        await turn()
        assert not waiting.done()
        taker.give(5, 6)
        assert await waiting == WatchBatch([event(5), event(6)], 6)

    asyncio.run(run())


def test_progress_comes_once_the_watch_has_caught_up() -> None:
    async def run() -> None:
        taker = FakeTaker()
        watch = Watch(taker.begin)
        waiting = asyncio.ensure_future(watch.__anext__())
        await turn()
        watch.request_progress()
        await turn()
        assert not waiting.done()
        taker.progress_revision = 9
        taker.on_ready()
        assert await waiting == WatchBatch((), 9)

    asyncio.run(run())


def test_events_come_before_progress() -> None:
    async def run() -> None:
        taker = FakeTaker()
        taker.progress_revision = 7
        watch = Watch(taker.begin)
        watch.request_progress()
        taker.give(7)
        assert (await watch.__anext__()).events
        assert await watch.__anext__() == WatchBatch((), 7)

    asyncio.run(run())


def test_cancelling_ends_the_iteration() -> None:
    async def run() -> None:
        taker = FakeTaker()
        async with Watch(taker.begin) as watch:
            waiting = asyncio.ensure_future(watch.__anext__())
            await turn()
        with pytest.raises(StopAsyncIteration):
            await waiting
        assert taker.canceled
        assert [batch async for batch in watch] == []

    asyncio.run(run())


def test_a_consumer_that_is_cancelled_loses_nothing() -> None:
    async def run() -> None:
        taker = FakeTaker()
        watch = Watch(taker.begin)
        waiting = asyncio.ensure_future(watch.__anext__())
        await turn()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        taker.give(3)
        assert (await watch.__anext__()).revision == 3

    asyncio.run(run())


def test_a_slow_watcher_is_told_where_to_go_on() -> None:
    async def run() -> None:
        taker = FakeTaker()
        taker.error = SlowWatcher("too slow", resume_revision=4)
        watch = Watch(taker.begin)
        with pytest.raises(SlowWatcher) as caught:
            await watch.__anext__()
        assert caught.value.resume_revision == 4

    asyncio.run(run())
