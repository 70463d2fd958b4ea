"""Virtual time: nothing waits, a seed replays everything, and what cannot go on says so."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
import virtual_time
from virtual_time import DAY_S, EPOCH_S, RunAway, Stuck, run


async def _told(numbers: int, delay_s: float) -> list[int]:
    told: list[int] = []

    async def tell(number: int) -> None:
        await asyncio.sleep(delay_s)
        told.append(number)

    await asyncio.gather(*(tell(number) for number in range(numbers)))
    return told


def test_a_day_takes_no_time_and_both_clocks_show_it() -> None:
    async def sleep() -> tuple[float, float, str]:
        clock = virtual_time.clock()
        await asyncio.sleep(DAY_S / 2)
        return clock.monotonic(), clock.wall(), clock.now_text()

    assert run(sleep()) == (DAY_S / 2, EPOCH_S + DAY_S / 2, "2026-01-01T12:00:00Z")


def test_timers_of_one_moment_fire_in_an_order_that_the_seed_chooses() -> None:
    orders = {tuple(run(_told(5, 1.0), seed=seed, shuffle=True)) for seed in range(20)}
    assert len(orders) > 10
    assert run(_told(5, 1.0), seed=7, shuffle=True) == run(_told(5, 1.0), seed=7, shuffle=True)
    assert run(_told(5, 1.0)) == [0, 1, 2, 3, 4]


def test_no_timer_comes_early() -> None:
    async def many() -> list[float]:
        loop = asyncio.get_running_loop()
        early: list[float] = []

        def fired(due: float) -> None:
            if loop.time() < due:
                early.append(due)

        await asyncio.sleep(93.6)
        for number in range(100):
            due = loop.time() + number * 1e-11
            loop.call_at(due, fired, due)
        await asyncio.sleep(1)
        return early

    assert run(many()) == []


def test_what_can_never_go_on_is_named_with_its_place() -> None:
    async def wait() -> None:
        await asyncio.gather(asyncio.create_task(asyncio.Event().wait(), name="for ever"))

    with pytest.raises(Stuck, match=r"(?s)for ever: .*main"):
        run(wait())


def test_what_does_not_end_is_ended() -> None:
    async def on_and_on(seconds: float) -> None:
        for _ in range(1_000_000):
            await asyncio.sleep(seconds)

    ended: list[str] = []

    async def in_order() -> None:
        try:
            await on_and_on(1.0)
        finally:
            await asyncio.sleep(1.0)
            ended.append("in order")

    with pytest.raises(RunAway, match="101 s of virtual time"):
        run(in_order(), limit_s=100)
    assert ended == ["in order"]
    with pytest.raises(RunAway, match="1001 turns"):
        run(on_and_on(0.0), steps_max=1000)


def test_a_task_that_nobody_owns_is_an_error() -> None:
    async def leave() -> asyncio.Task[None]:
        return asyncio.create_task(asyncio.sleep(1), name="orphan")

    with pytest.raises(AssertionError, match="orphan"):
        run(leave())


def test_timeouts_and_threads_work_as_ever() -> None:
    async def both() -> str:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.Event().wait()
        return await asyncio.to_thread(str.upper, "done")

    assert run(both()) == "DONE"
