"""Many writes at once: slowly at first, bounded, and not on and on when they fail."""

from __future__ import annotations

import asyncio

import pytest
import virtual_time

from apiserver.api.errors import ApiError, Fenced, Forbidden
from controlplane.controllers.replicaset.batches import CONCURRENT_MAX, at_once, slow_start


class Writes:
    """Each takes a second. `fails`: the items that do."""

    def __init__(self, fails: set[int], error: type[ApiError] = Forbidden) -> None:
        self.begun: list[int] = []
        self.together: list[int] = []
        self._open = 0
        self._fails = fails
        self._error = error

    async def __call__(self, item: int) -> None:
        self.begun.append(item)
        self._open += 1
        self.together.append(self._open)
        try:
            await asyncio.sleep(1)
            if item in self._fails:
                raise self._error(f"not {item}")
        finally:
            self._open -= 1


def test_batches_double_and_are_bounded() -> None:
    async def body() -> None:
        writes = Writes(set())
        assert await slow_start(range(200), writes) is None
        assert writes.begun == list(range(200))
        assert max(writes.together) == CONCURRENT_MAX
        assert writes.together[:7] == [1, 1, 2, 1, 2, 3, 4]

    virtual_time.run(body())


@pytest.mark.parametrize(("fails", "begun"), [(0, 1), (1, 3), (2, 3), (3, 7)])
def test_nothing_is_begun_after_a_batch_with_a_failure(fails: int, begun: int) -> None:
    async def body() -> None:
        writes = Writes({fails})
        failure = await slow_start(range(1000), writes)
        assert failure is not None
        assert failure.message == f"not {fails}"
        assert len(writes.begun) == begun

    virtual_time.run(body())


def test_a_large_batch_stops_in_its_midst() -> None:
    async def body() -> None:
        writes = Writes({10})
        assert await at_once(range(1000), writes) is not None
        assert len(writes.begun) < 2 * CONCURRENT_MAX

    virtual_time.run(body())


def test_being_deposed_is_no_failure_among_others() -> None:
    async def body() -> None:
        for number in (1, 5):
            with pytest.raises(Fenced):
                await at_once(range(number), Writes({0}, Fenced))

    virtual_time.run(body())


def test_a_cancelled_batch_leaves_nothing_behind() -> None:
    async def body() -> None:
        writes = Writes(set())
        task = asyncio.ensure_future(at_once(range(100), writes))
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert writes._open == 0

    virtual_time.run(body())


def test_nothing_to_do_is_fine() -> None:
    async def body() -> None:
        writes = Writes(set())
        assert await slow_start([], writes) is None
        assert await at_once([], writes) is None

    virtual_time.run(body())
