"""Logs of containers that run are put aside when they are large, and the oldest removed: each has few files.

The name is taken away first, then the runtime opens it anew; whatever comes in between is in the old file. After a
crash between the two there is no file of the name, which is seen at the next look. Numbers are the kubelet's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

from nodeagent.runtime.interface import Container, Runtime, RuntimeFailure
from nodeagent.runtime.log_files import next_aside, put_aside

from .real_containers import RealContainers

LOOK_EVERY_S = 10.0
SIZE_BYTES_MAX = 10 * 1024 * 1024
FILES_MAX = 5

log = logging.getLogger(__name__)


class LogRotation:
    """`run` until it is cancelled."""

    def __init__(self, runtime: Runtime, real: RealContainers) -> None:
        self._runtime = runtime
        self._real = real
        self.done = 0

    async def run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self.look()

    async def look(self) -> None:
        """Once, at every container that runs."""
        try:
            containers = [each for each in await self._runtime.list_containers() if each.running]
        except RuntimeFailure:
            return  # the node's health tells of it
        try:
            due = await asyncio.to_thread(self._due, containers)
        except OSError as error:
            log.warning("logs of containers were not looked at", extra={"error": str(error)})
            return
        for container in due:
            try:
                await self._rotate(container)
                self.done += 1
            except (RuntimeFailure, OSError) as error:
                fields = {"pod": container.pod.name, "container": container.name, "error": str(error)}
                log.warning("a container's log was not put aside", extra=fields)

    def _due(self, containers: Sequence[Container]) -> list[Container]:
        return [each for each in containers if _is_due(self._file(each))]

    def _file(self, container: Container) -> Path:
        return self._real.log_file(container.pod, container.name, container.attempt)

    async def _rotate(self, container: Container) -> None:
        """Raises RuntimeFailure, OSError."""
        file = self._file(container)
        aside = await asyncio.to_thread(_put_aside, file)
        try:
            await self._real.reopen_log(container.id)
        except RuntimeFailure:
            if aside is not None:
                await asyncio.to_thread(_put_back, aside, file)
            raise


def _is_due(file: Path) -> bool:
    try:
        return file.stat(follow_symlinks=False).st_size >= SIZE_BYTES_MAX
    except FileNotFoundError:
        return file.parent.is_dir()  # somebody died before the runtime opened it anew


def _put_aside(file: Path) -> Path | None:
    """None when it is not there."""
    for oldest in put_aside(file)[: -(FILES_MAX - 2)]:
        oldest.unlink(missing_ok=True)
    aside = next_aside(file)
    try:
        return file.rename(aside)
    except FileNotFoundError:
        return None


def _put_back(aside: Path, file: Path) -> None:
    """Unless there is a new one by now. It goes on being written to."""
    try:
        file.hardlink_to(aside)
    except (FileExistsError, FileNotFoundError):
        return
    aside.unlink(missing_ok=True)
