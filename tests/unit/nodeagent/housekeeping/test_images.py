"""Images go when the disk is full, longest unused first, and never one that is used."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from hypothesis import given
from hypothesis import strategies as st
from virtual_time import run

from nodeagent.housekeeping.images import Disk, ImageCollector, ImageOptions
from nodeagent.runtime.interface import Container, ContainerPhase, Image, PodKey, RuntimeFailure

OPTIONS = ImageOptions(every_s=300.0, age_s=120.0)
POD = PodKey(namespace="default", name="a", uid="u")


class World:
    """A disk of 1,000 bytes; each image has what it is said to have."""

    def __init__(self, sizes: dict[str, int], *, other: int = 0) -> None:
        self.images = {name: Image(id=f"id-{name}", names=(name,), size_bytes=size) for name, size in sizes.items()}
        self.used_by: list[str] = []
        self.stuck = ""
        self.other = other

    async def list_images(self) -> list[Image]:
        return list(self.images.values())

    async def list_containers(self) -> list[Container]:
        return [
            Container(
                id=name,
                sandbox_id="s",
                pod=POD,
                name="main",
                attempt=0,
                image=name,
                image_id=f"id-{name}",
                phase=ContainerPhase.EXITED,
                created_at=0.0,
            )
            for name in self.used_by
        ]

    async def remove_image(self, image_id: str) -> None:
        assert image_id.removeprefix("id-") not in self.used_by
        if image_id == f"id-{self.stuck}":
            raise RuntimeFailure("no such file")
        del self.images[image_id.removeprefix("id-")]

    def disk(self) -> Disk:
        return Disk(total=1000, used=self.other + sum(each.size_bytes for each in self.images.values()))


def collecting(world: World, story: Callable[[], Awaitable[None]]) -> None:
    async def body() -> None:
        running = asyncio.create_task(ImageCollector(world, world.disk, options=OPTIONS).run())
        await asyncio.sleep(1)
        await story()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    run(body())


def test_nothing_goes_while_there_is_room() -> None:
    world = World({"a": 400, "b": 449})

    async def story() -> None:
        await asyncio.sleep(3000)
        assert set(world.images) == {"a", "b"}

    collecting(world, story)


def test_the_longest_unused_goes_first_until_there_is_room() -> None:
    world = World({"a": 100, "b": 100, "c": 100}, other=500)

    async def story() -> None:
        await asyncio.sleep(600)
        world.used_by = ["a"]
        await asyncio.sleep(600)
        world.used_by = []
        await asyncio.sleep(600)
        world.other = 551  # 851 of 1,000: 51 have to go
        await asyncio.sleep(300)
        assert set(world.images) == {"a", "c"}, "b came before c in the list, a was used later"

    collecting(world, story)


def test_an_image_that_cannot_go_keeps_no_other() -> None:
    world = World({"a": 100, "b": 100}, other=700)
    world.stuck = "a"

    async def story() -> None:
        await asyncio.sleep(1000)
        assert set(world.images) == {"a"}

    collecting(world, story)


def test_what_is_used_or_built_in_stays_though_the_disk_is_full() -> None:
    world = World({"kmini.local/pause:1": 300, "used": 300, "free": 1}, other=399)
    world.used_by = ["used"]

    async def story() -> None:
        await asyncio.sleep(3000)
        assert set(world.images) == {"kmini.local/pause:1", "used"}

    collecting(world, story)


def test_an_image_that_has_just_come_is_for_somebody() -> None:
    world = World({}, other=900)

    async def story() -> None:
        await asyncio.sleep(250)
        world.images["new"] = Image(id="id-new", names=("new",), size_bytes=10)
        await asyncio.sleep(100)  # one look
        assert set(world.images) == {"new"}
        await asyncio.sleep(300)
        assert not world.images

    collecting(world, story)


@given(
    sizes=st.lists(st.integers(1, 300), max_size=8),
    used=st.sets(st.integers(0, 7)),
    other=st.integers(0, 1000),
)
def test_no_more_goes_than_is_needed(sizes: list[int], used: set[int], other: int) -> None:
    world = World({str(number): size for number, size in enumerate(sizes)}, other=other)
    world.used_by = [str(number) for number in used]
    before = world.disk().used

    async def story() -> None:
        await asyncio.sleep(400)

    collecting(world, story)
    left = world.disk().used
    went = [size for number, size in enumerate(sizes) if str(number) not in world.images]
    if before < 850:
        assert not went
    elif left > 800:
        assert all(name in world.used_by for name in world.images), "whatever could go went"
    elif went:
        assert left + max(went) > 800, "the last one was needed"
