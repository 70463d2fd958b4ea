"""A subscriber that fails is its own affair: all others get every change."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from feed_world import FeedWorld, feed_world
from store_cluster import until

from apiserver.api.errors import ApiError, InternalError, NotAcceptable
from apiserver.feed.feed import Batch
from apiserver.feed.mirror import Mirror


def run(folder: Path, test: Callable[[FeedWorld], Awaitable[None]]) -> None:
    async def body() -> None:
        async with feed_world(folder) as world:
            await test(world)

    asyncio.run(body())


class Failing:
    def __init__(self, error: Exception) -> None:
        self._error = error
        self.errors: list[ApiError] = []

    def deliver(self, batch: Batch) -> None:
        raise self._error

    def ended(self, error: ApiError) -> None:
        self.errors.append(error)


@pytest.mark.parametrize("error", [ValueError("no such cell"), NotAcceptable("not this form")])
@pytest.mark.parametrize("namespace", ["", "default"])
def test_one_that_fails_is_ended_and_nobody_else(tmp_path: Path, error: Exception, namespace: str) -> None:
    async def test(world: FeedWorld) -> None:
        feed, failing = world.feeds.of(world.maps), Failing(error)
        feed.subscribe(failing, namespace)
        watches = [world.watch(world.store.revision, namespace=place) for place in ("", "default")]
        for watch in watches:
            await world.settled(watch)
        written = [await world.put("a"), await world.put("b")]
        await until(lambda: all(len(watch.told()) == len(written) for watch in watches))
        assert [type(each) for each in failing.errors] == [InternalError]
        assert feed.subscribers == len(watches)

    run(tmp_path, test)


def test_a_mirror_that_fails_is_built_again(tmp_path: Path) -> None:
    async def test(world: FeedWorld) -> None:
        broken = True

        def name_of(obj: Any) -> str:
            if broken and obj.metadata.name == "b":
                raise ValueError("no such object")
            return str(obj.metadata.name)

        mirror = Mirror(world.storage, world.feeds.of(world.maps), name_of)
        await world.put("a")
        await mirror.ready()
        await world.put("b")
        await until(lambda: mirror.revision == 0)
        broken = False
        await world.put("c")
        await until(lambda: mirror.revision == world.store.revision)
        assert sorted(kept for _, kept in mirror.items()) == ["a", "b", "c"]
        mirror.close()

    run(tmp_path, test)


def test_a_watch_has_no_list_of_partial_objects(tmp_path: Path) -> None:
    accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

    async def test(world: FeedWorld) -> None:
        with pytest.raises(NotAcceptable):
            world.framing(world.maps, accept)
        world.framing(world.maps, f"{accept}, application/json")

    run(tmp_path, test)
