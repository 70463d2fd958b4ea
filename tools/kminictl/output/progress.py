"""A word on a terminal while somebody waits: nothing for the first second, nothing at all where nobody looks."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

PATIENCE_S = 1.0
EVERY_S = 1.0


@asynccontextmanager
async def waiting(what: str) -> AsyncIterator[None]:
    """`waiting for pod/one to go (12s)` on one line that goes away at the end."""
    if not sys.stderr.isatty():
        yield
        return
    async with asyncio.TaskGroup() as group:
        shower = group.create_task(_show(what))
        try:
            yield
        finally:
            shower.cancel()


async def _show(what: str) -> None:
    from .ages import human

    begin = time.monotonic()
    shown = False
    try:
        await asyncio.sleep(PATIENCE_S)
        while True:
            shown = True
            sys.stderr.write(f"\r\x1b[2K\x1b[2m{what} ({human(time.monotonic() - begin)})\x1b[0m")
            sys.stderr.flush()
            await asyncio.sleep(EVERY_S)
    finally:
        if shown:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()
