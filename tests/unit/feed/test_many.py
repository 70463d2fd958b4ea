"""Many watches of one kind are told in several turns of the loop: nobody misses anything, and whoever drains waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from feed_world import FeedWorld, feed_world
from store_cluster import until

from apiserver.api.errors import ApiError
from apiserver.feed import feed as feed_module
from apiserver.feed.feed import Batch, Feed


class Noted:
    """Notes revisions, and who was told before and after it."""

    def __init__(self, told: list[Noted]) -> None:
        self.revisions: list[int] = []
        self.over: ApiError | None = None
        self._told = told

    def deliver(self, batch: Batch) -> None:
        self.revisions += [change.revision for change in batch.changes]
        self._told.append(self)

    def ended(self, error: ApiError) -> None:
        self.over = error


def with_subscribers(
    tmp_path: Path, test: Callable[[FeedWorld, Feed, list[Noted], list[Noted]], Awaitable[None]]
) -> None:
    """`test` gets ten subscribers, half of them of one namespace, and who was told, in order."""

    async def main() -> None:
        async with feed_world(tmp_path) as world:
            feed = world.feeds.of(world.maps)
            told: list[Noted] = []
            noted = [Noted(told) for _ in range(10)]
            for index, each in enumerate(noted):
                feed.subscribe(each, "default" if index % 2 else "")
            await test(world, feed, noted, told)

    asyncio.run(main())


@pytest.fixture(autouse=True)
def three_per_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "HANDED_PER_TURN", 3)


def test_all_are_told_everything_in_order(tmp_path: Path) -> None:
    async def test(world: FeedWorld, feed: Feed, noted: list[Noted], told: list[Noted]) -> None:
        written = [await world.put(f"m{number}") for number in range(5)]
        await until(lambda: not feed._late)
        assert [each.revisions for each in noted] == [written] * 10

    with_subscribers(tmp_path, test)


def test_others_get_a_turn_in_between(tmp_path: Path) -> None:
    async def test(world: FeedWorld, feed: Feed, noted: list[Noted], told: list[Noted]) -> None:
        seen: list[int] = []

        async def look() -> None:
            while len(told) < 10:
                seen.append(len(told))
                await asyncio.sleep(0)

        await asyncio.gather(look(), world.put("m"))
        assert max(later - before for before, later in zip(seen, [*seen[1:], 10], strict=True)) <= 3

    with_subscribers(tmp_path, test)


def test_whoever_drains_finds_all_told(tmp_path: Path) -> None:
    async def test(world: FeedWorld, feed: Feed, noted: list[Noted], told: list[Noted]) -> None:
        written = await world.put("m")
        feed.drain()
        assert [each.revisions for each in noted] == [[written]] * 10
        await asyncio.sleep(0)
        assert len(told) == 10

    with_subscribers(tmp_path, test)


def test_parts_of_the_server_come_first_and_never_wait(tmp_path: Path) -> None:
    async def test(world: FeedWorld, feed: Feed, noted: list[Noted], told: list[Noted]) -> None:
        inner = Noted(told)
        feed.subscribe(inner, inner=True)
        first = await world.put("m0")
        assert told[0] is inner
        feed._hand_late(1)  # the others are still being told when the next change comes
        second = await world.put("m1")
        assert inner.revisions == [first, second]

    with_subscribers(tmp_path, test)


def test_one_that_leaves_in_between_is_told_no_more(tmp_path: Path) -> None:
    async def test(world: FeedWorld, feed: Feed, noted: list[Noted], told: list[Noted]) -> None:
        real, gone = feed._publish, noted[8]

        def publish(changes: list[object], at_once: int | None) -> None:
            real(changes, at_once)  # type: ignore[arg-type]
            feed.unsubscribe(gone)

        feed._publish = publish  # type: ignore[assignment, method-assign]
        await world.put("m")
        await until(lambda: not feed._late)
        assert gone.revisions == []
        assert sum(len(each.revisions) for each in noted) == 9

    with_subscribers(tmp_path, test)


def test_too_many_that_wait_are_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "LATE_MAX", 5)

    async def test(world: FeedWorld, feed: Feed, noted: list[Noted], told: list[Noted]) -> None:
        feed._go_on_soon = lambda: None  # type: ignore[method-assign]  # the loop has no time
        first = await world.put("m0")
        assert len(told) == 3
        second = await world.put("m1")
        assert [each.revisions for each in noted] == [[first, second]] * 10

    with_subscribers(tmp_path, test)
