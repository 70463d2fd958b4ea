"""Work on files, in threads: it blocks, and must be over before anybody else may touch the same files.

Who looks into a folder whose server is silent keeps a thread for as long as that lasts. So what leads out of our own
folders has threads of its own, and holds up nobody but pods that lead there too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")

#: Their own: whoever removes a large folder holds up nobody but volumes.
_threads = ThreadPoolExecutor(8, "volumes")
_elsewhere = ThreadPoolExecutor(8, "volumes elsewhere")


async def in_thread(work: Callable[..., T], *args: Any, **more: Any) -> T:
    """In our own folders. Who is cancelled still waits for the end of it: a thread cannot be stopped."""
    return await _to_its_end(_threads, partial(work, *args, **more))


async def elsewhere(work: Callable[..., T], *args: Any, **more: Any) -> T:
    """The same in folders that are somebody's."""
    return await _to_its_end(_elsewhere, partial(work, *args, **more))


async def _to_its_end(threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    working = asyncio.get_running_loop().run_in_executor(threads, work)
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        while not working.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait({working})
        if not working.cancelled():
            working.exception()  # seen: nobody is left to be told
        raise
