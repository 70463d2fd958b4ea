"""What deciders look up: objects and whole kinds are decoded once, and never shown as they no longer are."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from feed_world import FeedWorld, feed_world

from apiserver.lookup import StorageLookup
from raftstore.errors import WatchCanceled

KIND = "scheduling.k8s.io/priorityclasses"


def cut(world: FeedWorld, error: WatchCanceled) -> None:
    """The store's watcher of the kind ends."""
    watcher: Any = world.feeds.of(world.table.of_key(KIND))._watcher
    world.store._replica.hub._end(watcher, error, drop=True)


async def names(lookup: StorageLookup) -> list[str]:
    return [each.metadata.name for each in await lookup.list(KIND)]


def test_a_kind_is_read_again_only_when_it_changed(tmp_path: Path) -> None:
    async def scenario(world: FeedWorld) -> None:
        lookup = StorageLookup(world.storage, world.table, world.feeds)
        assert await names(lookup) == []
        await world.put("low", "", kind=KIND)
        first = await lookup.list(KIND)
        assert [each.metadata.name for each in first] == ["low"]
        await world.put("a", kind="configmaps")  # another kind
        assert await lookup.list(KIND) is first
        await world.put("high", "", kind=KIND)
        assert await names(lookup) == ["high", "low"]
        await world.delete("low", "", kind=KIND)
        assert await names(lookup) == ["high"]

    async def main() -> None:
        async with feed_world(tmp_path) as world:
            await scenario(world)

    asyncio.run(main())


def test_a_kind_whose_feed_was_lost_is_read_again_and_followed_anew(tmp_path: Path) -> None:
    async def main() -> None:
        async with feed_world(tmp_path) as world:
            lookup = StorageLookup(world.storage, world.table, world.feeds)
            await world.put("low", "", kind=KIND)
            first = await lookup.list(KIND)
            cut(world, WatchCanceled("the state was replaced", resume_revision=1))
            assert await lookup.list(KIND) is not first
            await world.put("high", "", kind=KIND)
            assert await names(lookup) == ["high", "low"]

    asyncio.run(main())
