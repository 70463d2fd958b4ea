"""Waiting with a bound that a cancelled run ends, always.

`asyncio.wait_for` before Python 3.12 forgets a cancellation that comes in the moment in which what it waits for is
done: a run that was interrupted would go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def within(work: Awaitable[T], timeout_s: float) -> T:
    """What `work` gives. Raises TimeoutError."""
    async with asyncio.timeout(timeout_s):
        return await work
