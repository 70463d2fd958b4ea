"""Controllers of a server that end, in whatever way, begin anew: later and later, unless they lasted."""

from __future__ import annotations

import asyncio

import pytest
import virtual_time
from kmini import controlling


def test_they_begin_anew_however_they_ended(caplog: pytest.LogCaptureFixture) -> None:
    begun: list[float] = []

    async def work() -> None:
        begun.append(asyncio.get_running_loop().time())
        if len(begun) == 3:
            await asyncio.sleep(controlling.AGAIN_LONGEST_S + 1)  # it lasted: the next wait is a short one
        elif len(begun) % 2:
            raise OSError("no process can be made")

    async def body() -> None:
        task = asyncio.create_task(controlling._again_and_again(work))
        await asyncio.sleep(60)
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    virtual_time.run(body())
    assert begun[1] - begun[0] < begun[2] - begun[1]
    assert begun[3] - begun[2] - (controlling.AGAIN_LONGEST_S + 1) == controlling.AGAIN_FIRST_S
    assert "no process can be made" in caplog.text
