"""The journal's fsyncs: one in flight, off the loop; a full disk is waited for.

Nothing acknowledged is lost on a full disk: what is written stays in memory, and unacknowledged, until the
disk takes it. A leader makes way for somebody who has room.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from ..errors import StoreError
from ..failpoint import failpoint
from .context import Context
from .journal import SyncWork

_log = logging.getLogger(__name__)

#: A disk without space is tried again this often.
RETRY_S = 1.0


class Syncing:
    """`done()` after each sync that moved the durable marks, `failed(error)` when the disk cannot be trusted."""

    def __init__(
        self,
        context: Context,
        *,
        done: Callable[[], None],
        make_way: Callable[[], None],
        failed: Callable[[StoreError], None],
    ) -> None:
        self._context = context
        self._done = done
        self._make_way = make_way
        self._failed = failed
        self.retry_at = 0.0
        self._stopped = False

    def stop(self) -> None:
        self._stopped = True

    def begin(self) -> None:
        """Start the next sync, if there is anything to sync and none in flight."""
        context = self._context
        if context.disk_full and context.runtime.now() < self.retry_at:
            return
        work = context.journal.take()
        if work is not None:
            self.retry_at = float("inf")  # until this one ends
            taken: SyncWork = work
            context.runtime.run_blocking("journal", taken.run, lambda _, error: self._ended(taken, error))

    def _ended(self, work: SyncWork, error: BaseException | None) -> None:
        context = self._context
        term_before = context.journal.durable_term
        try:
            context.journal.finish(work, error)
        except StoreError as damage:
            if not self._stopped:
                self._failed(damage)
            return
        if self._stopped:
            return
        if context.journal.disk_full:
            self._wait_for_space()
            return
        context.disk_full = False
        if context.journal.durable_term > term_before:
            failpoint("vote_durable")
        context.outbox.release()
        self._done()

    def _wait_for_space(self) -> None:
        context = self._context
        if not context.disk_full:
            _log.error("journal disk is full: this replica hands leadership over and waits for space")
        context.disk_full = True
        self.retry_at = context.runtime.now() + RETRY_S
        self._make_way()
