"""Work that nothing else of the agent waits for. When it fails in a way nobody thought of, that is told and it begins
anew after a rest: a node does not lose its pods' keeper because an old log could not be moved."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

log = logging.getLogger(__name__)

REST_S = 30.0

Work = Callable[[], Coroutine[Any, Any, None]]


def side_work(name: str, work: Work) -> Work:
    """`work` in that way. Cancellation ends it."""

    async def run() -> None:
        while True:
            try:
                await work()
                return
            except Exception:
                log.exception("work beside the pods failed and begins anew", extra={"work": name})
            await asyncio.sleep(REST_S)

    return run
