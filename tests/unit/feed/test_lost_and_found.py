"""A feed whose own watcher ends: what can go on goes on without a gap, everybody else is told to list anew."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from feed_world import FeedWorld, feed_world
from store_cluster import until

from apiserver.api.errors import ApiError, Gone, ServiceUnavailable
from apiserver.feed.feed import Batch
from apiserver.feed.mirror import Mirror
from raftstore.errors import SlowWatcher, Stopped, WatchCanceled

Test = Callable[[FeedWorld], Awaitable[None]]


def run(folder: Path, test: Test) -> None:
    async def body() -> None:
        async with feed_world(folder) as world:
            await test(world)

    asyncio.run(body())


class Noted:
    """A subscriber that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[int, str]] = []
        self.errors: list[ApiError] = []

    def deliver(self, batch: Batch) -> None:
        self.told += [(change.revision, change.type_for_all()) for change in batch.changes]

    def ended(self, error: ApiError) -> None:
        self.errors.append(error)


def cut(world: FeedWorld, error: WatchCanceled) -> None:
    """The store ends the feed's watcher, as its hub does."""
    watcher: Any = world.feeds.of(world.maps)._watcher
    world.store._replica.hub._end(watcher, error, drop=True)


def test_a_slow_feed_goes_on_where_it_was(tmp_path: Path) -> None:
    async def test(world: FeedWorld) -> None:
        feed, noted = world.feeds.of(world.maps), Noted()
        feed.subscribe(noted)
        feed._draining = True  # nobody takes what comes now
        written = [await world.put("a") for _ in range(3)]
        feed._draining = False
        cut(world, SlowWatcher("full", resume_revision=written[0]))
        feed.drain()
        written.append(await world.delete("a"))
        await until(lambda: len(noted.told) == 4)
        assert noted.told == list(zip(written, ["ADDED", "MODIFIED", "MODIFIED", "DELETED"], strict=True))
        assert noted.errors == []

    run(tmp_path, test)


def test_a_replaced_state_means_listing_anew(tmp_path: Path) -> None:
    async def test(world: FeedWorld) -> None:
        feed, noted = world.feeds.of(world.maps), Noted()
        feed.subscribe(noted)
        watch = world.watch(world.store.revision)
        await world.settled(watch)
        seen = await world.put("a")
        cut(world, WatchCanceled("the state was replaced", resume_revision=seen))
        assert [type(error) for error in noted.errors] == [Gone]
        await watch.task
        assert watch.told()[-1] == ("ERROR", "", "Expired", 410)
        assert feed.subscribers == 0
        feed.subscribe(noted)
        again = await world.put("a")
        assert noted.told[-1] == (again, "MODIFIED")

    run(tmp_path, test)


def test_nobody_joins_a_feed_that_is_not_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who joined while nothing watches the store would miss what happens until something does again."""

    async def test(world: FeedWorld) -> None:
        feed = world.feeds.of(world.maps)
        mirror: Mirror[str] = Mirror(world.storage, feed, lambda obj: str(obj.metadata.name))
        await mirror.ready()
        seen = await world.put("a")

        def refuse(*_: Any, **__: Any) -> None:
            raise Stopped("not now")

        monkeypatch.setattr(world.store, "watcher", refuse)
        cut(world, WatchCanceled("the state was replaced", resume_revision=seen))
        with pytest.raises(ServiceUnavailable):
            feed.subscribe(Noted())
        with pytest.raises(ServiceUnavailable):
            await mirror.ready()
        await world.put("b")
        monkeypatch.undo()
        feed._reopen()
        await mirror.ready()
        assert sorted(kept for _, kept in mirror.items()) == ["a", "b"]
        await world.put("c")
        assert mirror.revision == world.store.revision
        assert sorted(kept for _, kept in mirror.items()) == ["a", "b", "c"]
        mirror.close()

    run(tmp_path, test)


def test_a_mirror_is_rebuilt_and_tells_what_it_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apiserver.feed.mirror.REBUILD_AFTER_S", 0.0)

    async def test(world: FeedWorld) -> None:
        feed = world.feeds.of(world.maps)
        mirror: Mirror[int] = Mirror(world.storage, feed, lambda obj: len(obj.metadata.labels))
        told: dict[str, int | None] = {}
        mirror.listen(lambda _namespace, name, made: told.__setitem__(name, made))
        await world.put("a")
        await world.put("b")
        await mirror.ready()
        seen = await world.put("c", labels={"x": "y"})
        feed._draining = True
        await world.delete("a")
        feed._draining = False
        cut(world, WatchCanceled("the state was replaced", resume_revision=seen))
        feed.drain()
        await mirror.ready()
        assert told == {"a": None, "b": 0, "c": 1}
        assert len(mirror) == 2
        mirror.close()

    run(tmp_path, test)


def test_a_value_that_does_not_open_ends_those_who_wait_for_it(tmp_path: Path) -> None:
    async def test(world: FeedWorld) -> None:
        secrets = world.table.of_key("secrets")
        feed, noted = world.feeds.of(secrets), Noted()
        feed.subscribe(noted)
        await world.put("good", kind="secrets")
        await world.store.put(b"/registry/secrets/default/bad", b"\x01not an envelope")
        await until(lambda: bool(noted.errors))
        assert not isinstance(noted.errors[0], Gone)
        feed.subscribe(noted)
        await world.put("good", kind="secrets")
        assert [type_ for _, type_ in noted.told] == ["ADDED", "MODIFIED"]

    run(tmp_path, test)
