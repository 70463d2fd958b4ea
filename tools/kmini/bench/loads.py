"""The loads that run inside the leader's process: asyncio tasks on its own `Store`.

This is how the store is used: the API server of a replica calls it in process. The tasks share the one
interpreter with the store, so their cost is part of our figures.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from raftstore import Range, Store
from raftstore.errors import StoreError

from .side import (
    CLIENTS,
    HOT_KEY,
    PROBE_INTERVAL_S,
    PROBE_KEY,
    RANGE_END,
    RANGE_KEYS,
    RANGE_PREFIX,
    VALUE,
    WATCH_KEY,
    WATCHERS,
    WorkNotDone,
)
from .within import within

_WARM_UP_S = 0.5
_EVENT_TIMEOUT_S = 10.0
_EVENT_INTERVAL_S = 0.02


async def put_latency(store: Store, duration_s: float) -> list[float]:
    """One client, one put after another: seconds of each."""
    samples = []
    end = time.monotonic() + duration_s
    while (begin := time.monotonic()) < end:
        await store.put(HOT_KEY, VALUE)
        samples.append(time.monotonic() - begin)
    return samples


async def put_rate(store: Store, duration_s: float) -> float:
    """64 clients. Raises WorkNotDone when the revision moved by less than was counted."""

    async def put() -> None:
        await store.put(HOT_KEY, VALUE)

    before = (await store.put(HOT_KEY, VALUE)).revision
    counted = await _repeat(put, duration_s)
    after = (await store.put(HOT_KEY, VALUE)).revision
    if after - before <= counted:
        raise WorkNotDone(f"{counted} puts counted, the revision moved by {after - before}")
    return counted / duration_s


async def get_rate(store: Store, duration_s: float) -> float:
    """64 readers, linearizable. Raises WorkNotDone when a read lacks the value."""
    await store.put(HOT_KEY, VALUE)

    async def get() -> None:
        found = await store.get(HOT_KEY)
        if found is None or found.value != VALUE:
            raise WorkNotDone("a read did not bring the value")

    return await _repeat(get, duration_s) / duration_s


async def _repeat(work: Callable[[], Awaitable[None]], duration_s: float) -> int:
    """How often 64 tasks ended `work` within `duration_s`, after a warm-up."""
    begin = time.monotonic() + _WARM_UP_S
    end = begin + duration_s

    async def client() -> int:
        count = 0
        while (now := time.monotonic()) < end:
            await work()
            if now >= begin:
                count += 1
        return count

    async with asyncio.TaskGroup() as group:
        clients = [group.create_task(client()) for _ in range(CLIENTS)]
    return sum(client.result() for client in clients)


async def fill(store: Store, prefix: bytes, count: int) -> float:
    """Put `count` distinct keys, 64 in flight; acknowledged puts per second."""
    numbers = iter(range(1, count + 1))

    async def client() -> None:
        for number in numbers:
            await store.put(b"%s%08d" % (prefix, number), VALUE)

    begin = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(client())
    return count / (time.monotonic() - begin)


async def range_latency(store: Store, duration_s: float) -> list[float]:
    """Read the keys of RANGE_PREFIX, linearizably, one read after another: seconds of each."""
    samples = []
    end = time.monotonic() + duration_s
    while (begin := time.monotonic()) < end:
        result = await store.range(Range(RANGE_PREFIX, RANGE_END))
        samples.append(time.monotonic() - begin)
        if len(result.kvs) != RANGE_KEYS or result.kvs[-1].value != VALUE:
            raise WorkNotDone(f"range of {RANGE_KEYS} keys brought {len(result.kvs)}")
    return samples


async def watch_latency(store: Store, events: int) -> list[float]:
    """100 watchers: seconds from a put's call to the event at the last of them, one put at a time."""
    missing = 0
    reached = asyncio.Event()
    start_revision = (await store.put(WATCH_KEY, VALUE)).revision + 1

    async def watcher() -> None:
        nonlocal missing
        async for batch in store.watch(WATCH_KEY, start_revision=start_revision):
            missing -= len(batch.events)
            if missing <= 0:
                reached.set()

    async def one() -> float:
        nonlocal missing
        missing = WATCHERS
        reached.clear()
        begin = time.monotonic()
        await store.put(WATCH_KEY, VALUE)
        await within(reached.wait(), _EVENT_TIMEOUT_S)
        return time.monotonic() - begin

    tasks = [asyncio.ensure_future(watcher()) for _ in range(WATCHERS)]
    try:
        await one()  # not counted: every watcher has started once this is there
        samples = []
        for _ in range(events):
            samples.append(await one())
            await asyncio.sleep(_EVENT_INTERVAL_S)
        return samples
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def first_put(store: Store, limit_s: float) -> float:
    """When the first put was acknowledged (monotonic seconds): a put each 10 ms, none waits for another."""
    acknowledged: asyncio.Future[float] = asyncio.get_running_loop().create_future()
    tasks: set[asyncio.Task[None]] = set()

    async def put() -> None:
        try:
            await store.put(PROBE_KEY, VALUE)
        except StoreError:
            return  # no leader yet: the next one may do
        if not acknowledged.done():
            acknowledged.set_result(time.monotonic())

    async def probe() -> None:
        while True:
            task = asyncio.ensure_future(put())
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            await asyncio.sleep(PROBE_INTERVAL_S)

    probing = asyncio.ensure_future(probe())
    try:
        return await within(acknowledged, limit_s)
    finally:
        probing.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(probing, *tasks, return_exceptions=True)
