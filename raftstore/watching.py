"""A watch as an asynchronous iterator: batches of whole revisions, in order, from a bounded buffer.

The hub calls back when there is something to take; nothing is copied and no task exists per event or per
watch. A consumer that is too slow gets SlowWatcher with the revision to resume from.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from .model import Event


class WatchBatch(NamedTuple):
    """Every matching event up to `revision` is in this batch or an earlier one.

    `events` is empty in the answer to `request_progress`.
    """

    events: Sequence[Event]
    revision: int


class Taker(Protocol):
    """What this needs of a watcher (watcher.py)."""

    @property
    def progress_revision(self) -> int: ...
    def take(self) -> list[Event]: ...
    def cancel(self) -> None: ...


class Watch:
    """Iterate to get batches; `cancel` ends the iteration. Used by one task at a time.

    Iterating raises WatchCanceled (WatchCompacted, SlowWatcher), which names the revision to resume from.
    """

    def __init__(self, begin: Callable[[Callable[[], None]], Taker]) -> None:
        """`begin(on_ready)` makes the watcher; what it raises is raised here."""
        self._waiter: asyncio.Future[None] | None = None
        self._canceled = False
        self._progress_asked = False
        self._watcher = begin(self._wake)

    def __aiter__(self) -> Watch:
        return self

    async def __anext__(self) -> WatchBatch:
        while not self._canceled:
            events = self._watcher.take()
            if events:
                return WatchBatch(events, events[-1].kv.mod_revision)
            if self._progress_asked and self._watcher.progress_revision:
                self._progress_asked = False
                return WatchBatch((), self._watcher.progress_revision)
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        raise StopAsyncIteration

    def request_progress(self) -> None:
        """Ask for a batch without events that says how far the watch is, once it has caught up."""
        self._progress_asked = True
        self._wake()

    def cancel(self) -> None:
        """End the iteration and forget what is buffered. Idempotent."""
        self._canceled = True
        self._watcher.cancel()
        self._wake()

    @property
    def progress_revision(self) -> int:
        """Every event up to this revision was taken; 0 while catching up."""
        return self._watcher.progress_revision

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def __aenter__(self) -> Watch:
        return self

    async def __aexit__(self, *exception: object) -> None:
        self.cancel()
