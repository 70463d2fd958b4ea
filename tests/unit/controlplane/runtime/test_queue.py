"""The work queue: one worker per name, each name once, retries later and later."""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random

import virtual_time
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.runtime.metrics import Metrics
from controlplane.runtime.queue import RetryTiming, WorkQueue
from controlplane.runtime.reconciler import Request

A, B = Request("default", "a"), Request("default", "b")


def new_queue(metrics: Metrics | None = None, *, retry: RetryTiming | None = None) -> WorkQueue:
    clock = virtual_time.clock()
    return WorkQueue((metrics or Metrics()).queue("test"), clock=clock, random=Random(1), retry=retry)


def test_a_name_that_waits_is_there_once() -> None:
    async def body() -> None:
        queue = new_queue()
        for _ in range(3):
            queue.add(A)
        queue.add(B)
        assert len(queue) == 2
        assert [await queue.get(), await queue.get()] == [A, B]
        assert len(queue) == 0
        assert not queue.idle
        queue.done(A)
        queue.done(B)
        assert queue.idle

    virtual_time.run(body())


def test_a_name_is_not_handed_out_while_somebody_works_on_it() -> None:
    async def body() -> None:
        queue = new_queue()
        queue.add(A)
        assert await queue.get() == A
        queue.add(A)
        waiting = asyncio.create_task(queue.get())
        await asyncio.sleep(10)
        assert not waiting.done()
        queue.done(A)
        assert await waiting == A

    virtual_time.run(body())


def test_the_earliest_of_several_delays_counts() -> None:
    async def body() -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        queue = new_queue()
        queue.add_after(A, 30)
        queue.add_after(A, 5)
        queue.add_after(A, 60)
        assert await queue.get() == A
        assert loop.time() - start == 5
        queue.done(A)
        await asyncio.sleep(100)
        assert len(queue) == 0

    virtual_time.run(body())


def test_failures_wait_longer_and_longer_until_one_look_goes_well() -> None:
    async def body() -> None:
        loop = asyncio.get_running_loop()
        queue = new_queue(retry=RetryTiming(first_s=1, longest_s=8))
        waits = []
        for _ in range(6):
            before = loop.time()
            queue.add_rate_limited(A)
            queue.done(await queue.get())
            waits.append(loop.time() - before)
        for wait, full in zip(waits, (1, 2, 4, 8, 8, 8), strict=True):
            assert full / 2 <= wait <= full
        queue.forget(A)
        before = loop.time()
        queue.add_rate_limited(A)
        await queue.get()
        assert loop.time() - before <= 1

    virtual_time.run(body())


def test_a_cancelled_worker_takes_nothing_with_it() -> None:
    async def body() -> None:
        queue = new_queue()
        first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        queue.add(A)  # the first one's turn
        first.cancel()
        assert await second == A

    virtual_time.run(body())


def test_closing_forgets_what_was_delayed() -> None:
    async def body() -> None:
        queue = new_queue()
        queue.add(A)
        queue.add_after(B, 5)
        queue.close()
        await asyncio.sleep(10)
        assert len(queue) == 0

    virtual_time.run(body())


def test_its_numbers() -> None:
    async def body() -> None:
        metrics = Metrics()
        queue = new_queue(metrics)
        queue.add(A)
        queue.add(A)
        await asyncio.sleep(2)
        await queue.get()
        await asyncio.sleep(3)
        queue.add_rate_limited(A)
        queue.done(A)

        def value(name: str) -> float | None:
            return metrics.registry.get_sample_value(name, {"name": "test"})

        assert value("workqueue_adds_total") == 1
        assert value("workqueue_retries_total") == 1
        assert value("workqueue_depth") == 0
        assert value("workqueue_queue_duration_seconds_sum") == 2
        assert value("workqueue_work_duration_seconds_sum") == 3

    virtual_time.run(body())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 5))
def test_whatever_happens_no_name_is_lost_and_none_is_worked_on_twice_at_a_time(
    seed: int, workers: int, names: int
) -> None:
    """After the last addition of a name somebody looks at it once more."""
    random = Random(seed)
    requests = [Request("", str(number)) for number in range(names)]

    async def body() -> None:
        queue = new_queue()
        working: Counter[Request] = Counter()
        added_at: dict[Request, int] = {}
        looked_at: dict[Request, int] = {}
        step = 0

        async def work() -> None:
            nonlocal step
            while True:
                request = await queue.get()
                working[request] += 1
                assert working[request] == 1
                step += 1
                looked_at[request] = step
                await asyncio.sleep(random.random())
                working[request] -= 1
                if random.random() < 0.3:
                    queue.add_rate_limited(request)
                queue.done(request)

        tasks = [asyncio.create_task(work()) for _ in range(workers)]
        for _ in range(30):
            request = random.choice(requests)
            step += 1
            if random.random() < 0.3:
                queue.add_after(request, random.random())
            else:
                queue.add(request)
                added_at[request] = step
            await asyncio.sleep(random.choice([0, random.random()]))
        await asyncio.sleep(1000)
        for task in tasks:
            assert not task.done()
            task.cancel()
        assert all(looked_at[request] > at for request, at in added_at.items())

    virtual_time.run(body(), seed=seed)
