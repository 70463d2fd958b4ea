"""Many like writes at once, carefully: what fails once is likely to fail every time.

A first batch of one, then twice as many each time ("slow start"), at most CONCURRENT_MAX under way, and none begun
after the first failure: a full quota is met once, not a thousand times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

from apiserver.api.errors import ApiError, Fenced

T = TypeVar("T")

CONCURRENT_MAX = 32


async def slow_start(items: Iterable[T], write: Callable[[T], Awaitable[None]]) -> ApiError | None:
    """The first failure, if there was one. Raises Fenced."""
    rest = iter(items)
    size = 1
    while batch := list(islice(rest, size)):
        failure = await at_once(batch, write)
        if failure is not None:
            return failure
        size *= 2
    return None


async def at_once(items: Iterable[T], write: Callable[[T], Awaitable[None]]) -> ApiError | None:
    """All of them, CONCURRENT_MAX at a time. The first failure, if there was one. Raises Fenced."""
    work = list(items)
    if len(work) == 1:
        return await _try(work[0], write)
    rest = iter(work)
    failures: list[ApiError] = []
    workers = (_work(rest, write, failures) for _ in range(min(CONCURRENT_MAX, len(work))))
    for outcome in await asyncio.gather(*workers, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
    return failures[0] if failures else None


async def _work(rest: Iterator[T], write: Callable[[T], Awaitable[None]], failures: list[ApiError]) -> None:
    for item in rest:
        failure = await _try(item, write)
        if failure is not None:
            failures.append(failure)
        if failures:
            return


async def _try(item: T, write: Callable[[T], Awaitable[None]]) -> ApiError | None:
    try:
        await write(item)
    except Fenced:
        raise
    except ApiError as error:
        return error
    return None
