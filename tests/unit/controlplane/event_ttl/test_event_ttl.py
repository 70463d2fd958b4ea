"""Events are kept for their time since they were written last, and then go."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import virtual_time
from controllers_world import World, run_world, seeds, stormy
from controllers_world_objects import made

from apiserver.api.core.event import Event
from controlplane.controllers import event_ttl
from controlplane.runtime.clock import Clock
from controlplane.runtime.options import Options

SETTINGS: dict[str, Any] = {"parts": [event_ttl.parts], "binds": False, "options": Options(event_ttl_s=3600.0)}


def event(name: str, **metadata: Any) -> Event:
    about = {"kind": "Pod", "namespace": "default", "name": "web"}
    return made(Event, name, {"namespace": "default", **metadata}, involvedObject=about, reason="Started", count=1)


def names(world: World) -> set[str]:
    return {each.metadata.name for each in world.api.objects(Event)}


def never_early(world: World, ttl_s: float) -> None:
    """No event goes before its time is over, counted from its last write."""
    written: dict[str, float] = {}

    def see(verb: str, old: Any, new: Any) -> None:
        some = new or old
        if not isinstance(some, Event):
            return
        now = asyncio.get_running_loop().time()
        if verb == "delete":
            assert now - written[some.metadata.name] >= ttl_s, f"{some.metadata.name} went too early"
        else:
            written[some.metadata.name] = now

    world.check(see)


def test_an_event_goes_after_its_time_and_one_that_comes_again_stays() -> None:
    async def body(world: World) -> None:
        never_early(world, 3600.0)
        await world.sleep(100)
        world.put(event("once"), event("again"))
        await world.sleep(2000)
        await world.client.patch(Event, "again", {"count": 2})
        await world.sleep(1500)
        assert names(world) == {"once", "again"}
        await world.sleep(500)
        assert names(world) == {"again"}
        await world.sleep(2500)
        assert names(world) == set()

    run_world(body, **SETTINGS)


def test_a_new_leader_gives_all_their_whole_time_but_not_for_ever() -> None:
    async def body(world: World) -> None:
        never_early(world, 3600.0)
        await world.sleep(100)
        world.put(event("one"))
        for _ in range(12):
            await world.sleep(1000)
            await world.restart()
        assert names(world) == {"one"}
        for _ in range(4):
            await world.sleep(1000)
            await world.restart()
        assert names(world) == set()

    run_world(body, **SETTINGS)


def test_a_wall_clock_that_jumps_takes_no_event_away(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {"by": 0.0}

    def clock() -> Clock:
        loop = asyncio.get_running_loop()
        return Clock(wall=lambda: virtual_time.EPOCH_S + loop.time() + wrong["by"], monotonic=loop.time)

    monkeypatch.setattr(virtual_time, "clock", clock)

    async def body(world: World) -> None:
        never_early(world, 3600.0)
        await world.sleep(100)
        world.put(event("first"))
        await world.sleep(2900)
        world.put(event("second"))
        wrong["by"] = 10 * 3600.0
        await world.sleep(1200)
        assert names(world) == {"second"}
        wrong["by"] = -10 * 3600.0
        await world.sleep(2900)
        assert names(world) == set()

    run_world(body, **SETTINGS)


def test_one_that_is_written_just_before_it_would_go_stays() -> None:
    async def body(world: World) -> None:
        never_early(world, 3600.0)
        world.api.faults.latency_s = (0.1, 0.2)
        await world.sleep(100)
        world.put(event("a"), event("b"))

        def write_the_other(verb: str, old: Any, new: Any) -> None:
            if verb == "delete" and isinstance(old, Event) and len(names(world)) == 1:
                asyncio.get_running_loop().call_soon(lambda: world.put(event(next(iter(names(world))))))

        world.check(write_the_other)
        await world.sleep(4000)
        assert len(names(world)) == 1
        await world.sleep(4000)
        assert names(world) == set()

    run_world(body, **SETTINGS)


def test_more_than_one_sweep_may_delete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_ttl, "DELETED_MAX", 10)
    monkeypatch.setattr(event_ttl, "PAGE_SIZE", 7)

    async def body(world: World) -> None:
        never_early(world, 3600.0)
        await world.sleep(10)
        world.put(*(event(f"event-{number:02}") for number in range(35)))
        await world.sleep(3500)
        assert len(names(world)) == 35
        await world.sleep(500)
        assert names(world) == set()

    run_world(body, **SETTINGS)


def test_an_idle_cluster_is_hardly_asked() -> None:
    async def body(world: World) -> None:
        world.put(event("one"))
        await world.sleep(6000)
        before = world.api.requests
        await world.sleep(36_000)
        assert world.api.requests - before <= 36_000 / 300 + 1
        assert world.written(ignoring=())[1:] == []  # but the one deletion

    run_world(body, **SETTINGS)


@seeds(20)
def test_no_event_goes_early_and_all_go_whatever_goes_wrong(seed: int) -> None:
    async def body(world: World) -> None:
        never_early(world, 3600.0)
        for number in range(30):
            world.put(event(f"event-{number % 20}"))
            await world.sleep(world.random.uniform(0, 400))
            if number % 7 == 3:
                world.crash_after(1)
        world.api.heal()
        await world.sleep(8000)
        assert names(world) == set()

    run_world(body, seed=seed, faults=stormy(seed), **SETTINGS)


def test_one_that_may_not_be_deleted_keeps_none_of_the_others_and_is_tried_again() -> None:
    async def body(world: World) -> None:
        world.api.denied.add("/events/b")
        world.put(*(event(name) for name in "abc"))
        await world.sleep(5000)
        assert names(world) == {"b"}
        world.api.denied.clear()
        await world.sleep(1000)
        assert names(world) == set()

    run_world(body, **SETTINGS)
