"""Containers that the runtime has lost: what the API shows of them is all that is known."""

from __future__ import annotations

import asyncio

from life_world import LifeWorld, run_life

from apiserver.api.core.pod import ContainerStateTerminated
from nodeagent.runtime.fake import Latency
from nodeagent.runtime.faults import Fault

LOST = "ContainerStatusUnknown"


def last(world: LifeWorld, container: str = "main") -> ContainerStateTerminated:
    found = world.container("a", container).last_state.terminated
    assert found is not None
    return found


async def lose_everything(world: LifeWorld) -> None:
    await world.node.stop()
    world.node.lose_data()
    await world.node.start()


def test_a_lost_container_has_ended_nobody_knows_how_and_starts_again() -> None:
    async def story(world: LifeWorld) -> None:
        await world.pod("a")
        await world.until(lambda: world.ready("a"))
        before = world.container("a")
        await lose_everything(world)
        await world.until(lambda: world.container("a").restart_count == 1 and world.ready("a"))
        assert (last(world).reason, last(world).exit_code) == (LOST, 137)
        assert last(world).container_id.partition("://")[2] == before.container_id.partition("://")[2]
        await lose_everything(world)
        await world.until(lambda: world.container("a").restart_count == 2 and world.ready("a"))

    run_life(story)


def test_what_runs_once_does_not_run_twice() -> None:
    async def story(world: LifeWorld) -> None:
        await world.pod("a", restartPolicy="Never")
        await world.running("a")
        await lose_everything(world)
        await world.until(lambda: world.phase("a") == "Failed")
        ended = world.container("a").state.terminated
        assert ended is not None
        assert (ended.reason, ended.exit_code) == (LOST, 137)
        await asyncio.sleep(60)
        assert not world.containers("a")
        assert not await world.runtime.list_containers()

    run_life(story)


def test_what_has_succeeded_stays_so() -> None:
    async def story(world: LifeWorld) -> None:
        world.runtime.faults.add(lambda pod, labels: True, Fault.exits(container="main", code=0))
        containers = [{"name": name, "image": "registry.test/main:1"} for name in ("main", "other")]
        await world.pod("a", restartPolicy="OnFailure", containers=containers)
        await world.until(lambda: world.container("a").state.terminated)
        await asyncio.sleep(5)
        await lose_everything(world)
        await world.until(lambda: world.container("a", "other").restart_count == 1)
        await asyncio.sleep(60)
        assert [each.name for each in world.containers("a")] == ["other"]
        ended = world.container("a").state.terminated
        assert ended is not None
        assert ended.reason == "Completed"

    run_life(story)


def test_restarts_are_counted_on_in_a_crash_loop() -> None:
    async def story(world: LifeWorld) -> None:
        world.runtime.faults.add(lambda pod, labels: True, Fault.exits(code=3))
        await world.pod("a")
        await world.until(lambda: world.container("a").restart_count == 4)
        await world.until(lambda: world.waiting("a") == "CrashLoopBackOff")
        await lose_everything(world)
        await world.until(lambda: world.container("a").restart_count == 5)
        assert last(world).exit_code == 3

    run_life(story)


def test_a_container_that_somebody_removed() -> None:
    async def story(world: LifeWorld) -> None:
        await world.pod("a")
        await world.until(lambda: world.ready("a"))
        (before,) = world.containers("a")
        await world.runtime.remove_container(before.id)
        await world.until(lambda: world.container("a").restart_count == 1 and world.ready("a"))
        assert last(world).reason == LOST

    run_life(story)


def test_one_that_never_ran_is_not_lost() -> None:
    async def story(world: LifeWorld) -> None:
        world.runtime.faults.add(lambda pod, labels: True, Fault.bad_image())
        await world.pod("a", restartPolicy="Never")
        await world.until(lambda: world.waiting("a") == "ImagePullBackOff")
        await lose_everything(world)
        await world.running("a")
        assert world.container("a").restart_count == 0

    run_life(story, latency=Latency(pull_s=0.1))
