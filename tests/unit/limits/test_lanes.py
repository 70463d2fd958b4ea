"""Lanes: a bounded number runs, a bounded number waits in order, and no class starves another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from apiserver.api.errors import TooManyRequests
from apiserver.auth.user import GROUP_MASTERS, GROUP_NODES, User
from apiserver.http.limits import Gate, Lane, Limits

ANN = User(name="ann")
ADMIN = User(name="admin", groups=(GROUP_MASTERS,))
NODE = User(name="system:node:w1", groups=(GROUP_NODES,))


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def body() -> None:
        await test()

    asyncio.run(body())


def lane(running: int, **limits: float) -> Lane:
    return Lane("write", running, Limits(**limits))  # type: ignore[arg-type]


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_first_come_first_served() -> None:
    async def test() -> None:
        few = lane(2)
        assert few.enter()
        assert few.enter()
        assert not few.enter()
        order: list[int] = []

        async def one(number: int) -> None:
            await few.wait()
            order.append(number)

        waiting = [asyncio.create_task(one(number)) for number in range(5)]
        await turns()
        assert (few.running, few.queued, order) == (2, 5, [])
        for number in range(5):
            few.leave()
            await turns()
            assert order == list(range(number + 1))
            assert few.running == 2, "a place goes over to who waited, nobody slips in between"
            assert not few.enter()
        await asyncio.gather(*waiting)
        few.leave()
        few.leave()
        assert (few.running, few.queued) == (0, 0)

    run(test)


def test_a_full_queue_refuses_at_once() -> None:
    async def test() -> None:
        few = lane(1, queued=2)
        few.enter()
        waiting = [asyncio.create_task(few.wait()) for _ in range(2)]
        await turns()
        with pytest.raises(TooManyRequests) as refused:
            await few.wait()
        assert refused.value.retry_after_s == 1
        assert (few.refused, few.queued) == (1, 2)
        few.leave()
        few.leave()
        await asyncio.gather(*waiting)

    run(test)


def test_who_waits_too_long_is_refused_and_takes_no_place() -> None:
    async def test() -> None:
        few = lane(1, queue_timeout_s=0.0)
        few.enter()
        with pytest.raises(TooManyRequests):
            await few.wait()
        assert (few.running, few.queued, few.refused) == (1, 0, 1)
        few.leave()
        assert few.running == 0
        assert few.enter()

    run(test)


def test_who_goes_away_gives_up_the_place() -> None:
    """Also in the very moment that it was given."""

    async def test() -> None:
        few = lane(1)
        few.enter()
        first, second = (asyncio.create_task(few.wait()) for _ in range(2))
        await turns()
        few.leave()  # the first has the place now, and is cancelled before it knows
        first.cancel()
        await turns()
        assert first.cancelled()
        assert second.done()
        assert (few.running, few.queued) == (1, 0)
        third = asyncio.create_task(few.wait())
        await turns()
        third.cancel()
        await turns()
        assert (few.running, few.queued) == (1, 0)
        few.leave()
        assert few.running == 0

    run(test)


def test_the_system_has_a_lane_of_its_own() -> None:
    gate = Gate(Limits(system=1, writes=1, reads=1))
    for user, verb, resource, expected in (
        (ANN, "get", "pods", gate.reads),
        (ANN, "list", "pods", gate.reads),
        (ANN, "create", "pods", gate.writes),
        (ANN, "patch", "pods", gate.writes),
        (ANN, "deletecollection", "pods", gate.writes),
        (ANN, "update", "leases", gate.system),
        (ADMIN, "create", "pods", gate.system),
        (NODE, "get", "pods", gate.system),
    ):
        assert gate.lane_of(user, verb, resource) is expected, (user.name, verb, resource)
    assert gate.reads.enter()
    assert gate.writes.enter()
    assert gate.system.enter(), "full lanes of others do not matter"


def test_watches_have_a_bound_of_their_own() -> None:
    async def test() -> None:
        gate = Gate(Limits(watches=1))
        async with gate.watching():
            with pytest.raises(TooManyRequests):
                async with gate.watching():
                    pass
        async with gate.watching():
            assert gate.watches == 1
        assert gate.watches == 0

    run(test)
