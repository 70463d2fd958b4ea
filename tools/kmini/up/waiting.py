"""Until something is so, with a bound."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, TypeVar

from apiserver.client import Informer

from ..errors import NotReady

LOOK_EVERY_S = 0.02

T = TypeVar("T")


async def until(look: Callable[[], T | None], within_s: float, late: str) -> T:
    """The first thing that is found. Raises NotReady, which says `late`."""
    deadline = time.monotonic() + within_s
    while (found := look()) is None:
        if time.monotonic() > deadline:
            raise NotReady(late)
        await asyncio.sleep(LOOK_EVERY_S)
    return found


async def changed(informer: Informer[Any], good: Callable[[], bool], within_s: float) -> None:
    """Until it is good, looked at with each change. Raises TimeoutError."""
    news = asyncio.Event()
    informer.add_handler(lambda _: news.set())
    async with asyncio.timeout(within_s):
        await informer.synced.wait()
        while not good():
            news.clear()
            await news.wait()
