"""A test's work on an event loop of its own; what hangs fails."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

WITHIN_S = 60.0


def run(work: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(WITHIN_S):
            await work

    asyncio.run(bounded())
