"""A pod is named once what ended in it is seen to have ended, and not before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import pytest
import virtual_time
from google.protobuf.any_pb2 import Any as AnyMessage

from nodeagent.runtime.cri_exits import SETTLE_WITHIN_S, Exits
from nodeagent.runtime.gen.events_pb2 import Envelope
from nodeagent.runtime.gen.task_pb2 import TaskExit, TaskOOM
from nodeagent.runtime.interface import Unavailable


class Told:
    """Stands in for a connection: what containerd tells, and what its CRI half knows."""

    def __init__(self) -> None:
        self.envelopes: asyncio.Queue[Envelope | None] = asyncio.Queue()
        self.runs: dict[str, tuple[str, bool]] = {}
        self.looks = 0
        self.forgotten: list[str] = []

    async def listen(self, *_: Any) -> AsyncGenerator[Envelope, None]:
        while (envelope := await self.envelopes.get()) is not None:
            yield envelope
        raise Unavailable("it ended")

    async def look(self) -> Mapping[str, tuple[str, bool]]:
        self.looks += 1
        return dict(self.runs)

    def exits(self) -> AsyncGenerator[str, None]:
        return Exits(self, self.look, self.forgotten.append).pods()  # type: ignore[arg-type]  # as much as it needs

    def ends(self, container: str, process: str = "") -> None:
        value = TaskExit(container_id=container, id=process or container).SerializeToString()
        self.envelopes.put_nowait(Envelope(topic="/tasks/exit", event=AnyMessage(value=value)))

    def runs_out_of_memory(self, container: str) -> None:
        value = TaskOOM(container_id=container).SerializeToString()
        self.envelopes.put_nowait(Envelope(topic="/tasks/oom", event=AnyMessage(value=value)))


async def next_of(stream: AsyncGenerator[str, None], within_s: float = 5.0) -> str:
    async with asyncio.timeout(within_s):
        return await anext(stream)


def test_a_pod_is_named_when_the_end_is_seen() -> None:
    async def work() -> None:
        told = Told()
        told.runs = {"c1": ("u1", True), "c2": ("u2", True)}
        stream = told.exits()
        told.ends("c1")
        waiting = asyncio.ensure_future(next_of(stream))
        await asyncio.sleep(1.0)
        assert not waiting.done(), "nobody could see it yet"
        told.runs["c1"] = ("u1", False)
        assert await waiting == "u1"
        await stream.aclose()

    virtual_time.run(work())


def test_what_is_run_beside_a_containers_own_process_is_no_news() -> None:
    async def work() -> None:
        told = Told()
        told.runs = {"c1": ("u1", False)}
        stream = told.exits()
        told.ends("c1", "exec-1")
        with pytest.raises(TimeoutError):
            await next_of(stream)
        assert told.looks == 0

    virtual_time.run(work())


def test_ends_of_many_are_looked_for_together() -> None:
    async def work() -> None:
        told = Told()
        told.runs = {f"c{number}": (f"u{number}", False) for number in range(100)}
        stream = told.exits()
        for container in told.runs:
            told.ends(container)
        assert {await next_of(stream) for _ in range(100)} == {f"u{number}" for number in range(100)}
        assert told.looks < 10
        await stream.aclose()

    virtual_time.run(work())


def test_one_that_never_ends_does_not_hold_up_others_and_is_named_at_last() -> None:
    async def work() -> None:
        told = Told()
        told.runs = {"stuck": ("u1", True), "c2": ("u2", True)}
        stream = told.exits()
        told.ends("stuck")
        waiting = asyncio.ensure_future(next_of(stream))
        await asyncio.sleep(3.0)
        told.runs["c2"] = ("u2", False)
        told.ends("c2")
        assert await waiting == "u2"
        assert await next_of(stream, SETTLE_WITHIN_S + 5) == "u1"
        await stream.aclose()

    virtual_time.run(work())


def test_what_is_gone_or_not_ours_names_no_pod() -> None:
    async def work() -> None:
        told = Told()
        stream = told.exits()
        told.ends("other")
        with pytest.raises(TimeoutError):
            await next_of(stream)
        assert told.looks == 1

    virtual_time.run(work())


def test_who_ran_out_of_memory_is_asked_for_again() -> None:
    async def work() -> None:
        told = Told()
        told.runs = {"c1": ("u1", False)}
        stream = told.exits()
        told.runs_out_of_memory("c1")
        assert await next_of(stream) == "u1"
        assert told.forgotten == ["c1"]
        await stream.aclose()

    virtual_time.run(work())


def test_it_ends_when_containerd_does() -> None:
    async def work() -> None:
        told = Told()
        stream = told.exits()
        told.envelopes.put_nowait(None)
        with pytest.raises(Unavailable):
            await next_of(stream)

    virtual_time.run(work())
