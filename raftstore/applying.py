"""Committed entries become state, in order, in slices; then everyone who waits for them is told.

What must hold: entries are applied in index order without a gap and never twice; callers hear of results,
watchers of events and readers of the new index only after the transaction that holds them. A slice is
bounded in time and a transaction in entries and bytes, so that the event loop is free again in milliseconds;
only when the backlog itself passes its bound is memory worth more than the slice.

A full disk changes nothing: the same entries are tried again, ever more rarely, and a leader hands over.
Anything else that goes wrong here means that the state cannot be trusted, and stops the replica.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence

from .errors import IntegrityError, NoSpace, StateDamaged, StoreError
from .failpoint import failpoint
from .house import House
from .limits import APPLY_BACKLOG_BYTES_MAX
from .mvcc.outcome import Applied
from .raft.engine import Entry

log = logging.getLogger(__name__)


class Applying:
    """`told(entries, applied)` runs after each transaction, `failed(error)` once when the state is lost."""

    def __init__(
        self,
        house: House,
        *,
        told: Callable[[Sequence[Entry], Applied], None],
        failed: Callable[[StoreError], None],
        disk_full: Callable[[bool], None],
    ) -> None:
        self._house = house
        self._told = told
        self._failed = failed
        self._disk_full = disk_full
        self._backlog: deque[Entry] = deque()
        self._backlog_bytes = 0
        self._slice_due = False
        self._full = False  # the disk is: a timer runs
        self._pause_s = 0.0  # until the next try
        self._held = False

    @property
    def backlog(self) -> int:
        """Entries committed and not applied."""
        return len(self._backlog)

    def committed(self, entries: Sequence[Entry]) -> None:
        self._backlog.extend(entries)
        self._backlog_bytes += sum(len(entry.payload) for entry in entries)
        if not self._slice_due:
            self._run_slice()
        while self._backlog_bytes > APPLY_BACKLOG_BYTES_MAX and self._apply_chunk():
            pass

    def hold(self) -> None:
        """Apply nothing more for now: the state is being replaced."""
        self._held = True

    def restart(self) -> None:
        """The state was replaced by one at another index; the engine delivers from there."""
        self._backlog.clear()
        self._backlog_bytes = 0
        self._held = False

    def _run_slice(self) -> None:
        self._slice_due = False
        runtime = self._house.runtime
        end_s = runtime.now() + self._house.options.apply_slice_s
        while self._apply_chunk():
            if runtime.now() >= end_s:
                break
        self._continue()

    def _continue(self) -> None:
        if self._backlog and not self._full and not self._held and not self._slice_due:
            self._slice_due = True
            self._house.runtime.call_soon(self._run_slice)

    def _apply_chunk(self) -> bool:
        """One transaction. False: nothing was applied, or nothing is left."""
        house = self._house
        chunk = self._chunk()
        if not chunk:
            return False
        try:
            failpoint("before_apply")
            applied = house.machine.apply(chunk)
            failpoint("after_apply")
        except NoSpace as error:
            self._wait_for_space(error)
            return False
        except Exception as error:
            self._give_up(error)
            return False
        for entry in chunk:
            self._backlog.popleft()
            self._backlog_bytes -= len(entry.payload)
        house.metrics.entries_applied += len(chunk)
        house.metrics.apply_chunks += 1
        self._told(chunk, applied)
        return bool(self._backlog)

    def _chunk(self) -> list[Entry]:
        if self._full or self._held:
            return []
        options = self._house.options
        chunk: list[Entry] = []
        size = 0
        for entry in self._backlog:
            size += len(entry.payload)
            if chunk and (size > options.apply_chunk_bytes or len(chunk) >= options.apply_chunk_entries):
                break
            chunk.append(entry)
        return chunk

    def _wait_for_space(self, error: NoSpace) -> None:
        """Try the same entries again; while the disk stays full the pauses double."""
        options, runtime = self._house.options, self._house.runtime
        self._house.metrics.apply_retries += 1
        log.error("state disk is full, waiting for space", extra={"reason": error.message})
        self._pause_s = min(max(self._pause_s * 2, options.full_disk_retry_s), options.full_disk_retry_s_max)
        self._full = True
        self._disk_full(True)
        runtime.call_at(runtime.now() + self._pause_s, self._retry)

    def _retry(self) -> None:
        self._full = False
        self._apply_chunk()
        if not self._full:
            log.info("state disk has space again")
            self._pause_s = 0.0
            self._disk_full(False)
        self._continue()

    def _give_up(self, error: Exception) -> None:
        self._held = True
        self._backlog.clear()
        self._backlog_bytes = 0
        if isinstance(error, IntegrityError):
            self._failed(error)
            return
        self._house.runtime.report("applying committed entries", error)
        reason = f"applying entry after {self._house.machine.applied_index} failed: {error!r}"
        self._failed(StateDamaged(f"{reason}; the state is rebuilt from snapshot and journal at the next start"))
