"""Scheduled backups: a snapshot file every so often, and only the newest few kept.

The schedule goes by the age of the newest file: a server that restarts neither skips one nor takes one too many.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

log = logging.getLogger("kmini.backups")

PATTERN = "snapshot-*.kmini"
FIRST_AFTER_S = 60.0  # a new replica is first left alone: it starts, catches up, is filled
RETRY_S = 60.0
AGE_TO_INTERVAL_ALARM = 2.0  # older than this many intervals: overdue

#: Writes one backup to a path: whole, or not at all.
Save = Callable[[Path], Awaitable[object]]


class Backups:
    """One schedule. `wall` is the clock the files are named and aged by."""

    def __init__(
        self, folder: Path, save: Save, *, every_s: float, keep: int, wall: Callable[[], float] = time.time
    ) -> None:
        self._folder = folder
        self._save = save
        self._every_s = every_s
        self._keep = keep
        self._wall = wall
        self.failures = 0

    def files(self) -> list[Path]:
        """The backups there are, oldest first."""
        return sorted(self._folder.glob(PATTERN))

    def age_s(self) -> float | None:
        """Of the newest backup; None when there is none."""
        files = self.files()
        return max(0.0, self._wall() - files[-1].stat().st_mtime) if files else None

    def due_in_s(self) -> float:
        age = self.age_s()
        return min(FIRST_AFTER_S, self._every_s) if age is None else max(0.0, self._every_s - age)

    async def run(self) -> None:
        """Take backups until cancelled."""
        while True:
            await asyncio.sleep(self.due_in_s())
            if not await self.take():
                await asyncio.sleep(min(RETRY_S, self._every_s))

    async def take(self) -> bool:
        """Take one now and drop what is over the number kept. False when it failed: that is logged and counted."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._wall()))
        path = self._folder / PATTERN.replace("*", stamp)
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            await self._save(path)
            os.utime(path, (self._wall(), self._wall()))
            for old in self.files()[: -self._keep]:
                old.unlink()
        except Exception as error:  # whatever it was: the server goes on, and the next try says the same
            self.failures += 1
            log.error("backup failed", extra={"path": str(path), "error": str(error)})
            return False
        log.info("backup taken", extra={"path": str(path), "bytes": path.stat().st_size})
        return True

    def gauges(self) -> Iterable[tuple[str, str, float]]:
        """(name, help, value) for the metrics port."""
        age = self.age_s()
        overdue = self.failures > 0 if age is None else age > AGE_TO_INTERVAL_ALARM * self._every_s
        if age is not None:
            yield "backup_age_seconds", "Age of the newest scheduled backup", age
        yield "backup_overdue", "1 when the newest backup is two intervals old, or the first failed", float(overdue)
        yield "backup_failures", "Backups that failed since the start", float(self.failures)
