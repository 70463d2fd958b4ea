"""Work on files, in threads: it blocks, and must be over before anybody else may touch the same files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")

#: Their own: whoever removes a large folder, or looks into one whose server is silent, holds up nobody but volumes.
_threads = ThreadPoolExecutor(8, "volumes")


async def in_thread(work: Callable[..., T], *args: Any, **more: Any) -> T:
    """Who is cancelled still waits for the end of it: a thread cannot be stopped."""
    working = asyncio.get_running_loop().run_in_executor(_threads, partial(work, *args, **more))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        while not working.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait({working})
        if not working.cancelled():
            working.exception()  # seen: nobody is left to be told
        raise
