"""What nothing waits for may fail without taking the agent along."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from virtual_time import run

from nodeagent.side_work import REST_S, side_work


def test_it_begins_anew_after_a_rest_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    begun: list[float] = []

    async def work() -> None:
        begun.append(asyncio.get_running_loop().time())
        if len(begun) < 3:
            raise RuntimeError("a bug")

    async def story() -> None:
        await side_work("tidying", work)()

    run(story())
    assert [round(later - earlier) for earlier, later in pairwise(begun)] == [REST_S, REST_S]
    assert [record.__dict__["work"] for record in caplog.records] == ["tidying", "tidying"]


def test_cancellation_ends_it() -> None:
    async def forever() -> None:
        await asyncio.Event().wait()

    async def story() -> None:
        task = asyncio.create_task(side_work("waiting", forever)())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(story())
