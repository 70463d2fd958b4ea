"""Registries that hang: whom they may keep waiting, and for how long."""

from __future__ import annotations

import asyncio

from agent_world import AgentWorld, run_story
from virtual_time import run

from nodeagent.pulls import BEGINS_S, PULLS_MAX, Pulls
from nodeagent.runtime.fake import FakeRuntime


def test_registries_that_hang_keep_no_image_of_another_from_coming() -> None:
    async def story(world: AgentWorld) -> None:
        hangs_for_ever(world.runtime, "hangs")
        for number in range(8):
            await world.pod(f"a-{number}", containers=[image(f"hangs-{number}.test/main:1")])
        await asyncio.sleep(1)
        await world.pod("b")
        assert await world.until(lambda: world.phase("b") == "Running") < 3 * BEGINS_S

    run_story(story)


def test_a_registry_that_hangs_with_many_images_is_waited_for_by_its_own() -> None:
    async def story(world: AgentWorld) -> None:
        asked = hangs_for_ever(world.runtime, "hangs")
        for number in range(20):
            await world.pod(f"a-{number}", containers=[image(f"hangs.test/main:{number}")])
        await asyncio.sleep(1)
        await world.pod("b")
        assert await world.until(lambda: world.phase("b") == "Running") < 2 * BEGINS_S
        await asyncio.sleep(10 * BEGINS_S)
        assert len(asked) == 4
        await world.pod("c", containers=[image("other.test/main:1")])
        assert await world.until(lambda: world.phase("c") == "Running") < 2

    run_story(story)


def image(name: str) -> dict[str, str]:
    return {"name": "main", "image": name}


def hangs_for_ever(runtime: FakeRuntime, host: str) -> list[str]:
    """What is asked of registries whose names begin like this never comes; which images those are."""
    pull, asked = runtime.pull_image, []

    async def hanging(name: str, **more: object) -> str:
        if name.startswith(host):
            asked.append(name)
            await asyncio.Event().wait()
        return await pull(name, **more)  # type: ignore[arg-type]  # as it came

    runtime.pull_image = hanging  # type: ignore[method-assign]  # a registry that hangs
    return asked


def test_so_many_begin_at_once_and_no_more_go_on() -> None:
    async def main() -> None:
        pulls, under_way, over = Pulls(at_once=2), set[str](), asyncio.Event()

        async def pull(registry: str) -> None:
            async with pulls.place(registry):
                under_way.add(registry)
                await over.wait()
            under_way.remove(registry)

        async with asyncio.TaskGroup() as group:
            for number in range(PULLS_MAX + 10):
                group.create_task(pull(f"r{number}"))
            await asyncio.sleep(1)
            assert len(under_way) == 2
            await asyncio.sleep(BEGINS_S)
            assert len(under_way) == 4
            await asyncio.sleep(PULLS_MAX * BEGINS_S)
            assert len(under_way) == PULLS_MAX
            over.set()
        assert not under_way

    run(main())


def test_what_ends_or_is_given_up_makes_room_at_once_and_once_only() -> None:
    async def main() -> None:
        pulls, came = Pulls(at_once=1), list[str]()

        async def pull(registry: str, takes_s: float) -> None:
            async with pulls.place(registry):
                came.append(registry)
                await asyncio.sleep(takes_s)

        async with asyncio.TaskGroup() as group:
            long = group.create_task(pull("long", 1000))
            given_up = group.create_task(pull("waits", 1000))
            await asyncio.sleep(BEGINS_S / 2)
            given_up.cancel()
            long.cancel()
            await asyncio.sleep(0.1)
            one = group.create_task(pull("one", 1.5 * BEGINS_S))
            later = [group.create_task(pull(name, 1000)) for name in ("two", "three")]
            await asyncio.sleep(
                BEGINS_S / 2
            )  # the time of the first one is over, and its place was given back long ago
            assert came == ["long", "one"]
            await one
            await asyncio.sleep(0.1)
            assert came == ["long", "one", "two"], "the place of one went to two, and two may hold it for its minute"
            for each in later:
                each.cancel()

    run(main())
