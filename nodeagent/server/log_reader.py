"""Raw lines of one container's log in order, across its files; only forward, but for the search of the last lines.

Blocking: call it in a thread, from one at a time. What is held is one block and the files' descriptors. A file that is
put aside while it is followed is left only when a newer one has been there for SETTLE_S and nothing more came: the
runtime may write into the old one for a moment after it opened the new one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from nodeagent.runtime.log_files import inode, open_all

from .log_lines import ends_line

BLOCK_BYTES = 64 * 1024
LINE_BYTES_MAX = 1 << 20  # containerd cuts lines at 16 KiB; of longer ones the begin is shown
SETTLE_S = 0.5


class LogReader:
    """`close` when done. Raises OSError."""

    def __init__(self, log: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._files: list[BinaryIO] = open_all(log)
        self._rest = b""
        self._newer_since: float | None = None

    def close(self) -> None:
        for file in self._files:
            file.close()
        self._files.clear()

    def skip_older(self, since: float) -> None:
        """Leave out files that nobody wrote into since then, in seconds since the epoch; never the last one."""
        while len(self._files) > 1 and os.fstat(self._files[0].fileno()).st_mtime < since:
            self._files.pop(0).close()

    def seek_last(self, lines: int) -> None:
        """Only so many lines are read, counted as people see them. From the end backwards."""
        begin = 0
        for at in reversed(range(len(self._files))):
            begin, found, complete = seek_last(self._files[at], lines)
            lines -= found
            if complete:
                break
        for file in self._files[:at]:
            file.close()
        del self._files[:at]
        for file in self._files:
            file.seek(0)
        self._files[0].seek(begin)

    def read(self) -> bytes:
        """The next whole raw lines, some; b"" when that was all that is there."""
        while True:
            data = self._files[0].read(BLOCK_BYTES) or b""
            end = data.rfind(b"\n") + 1
            if end:
                lines, self._rest = self._rest + data[:end], data[end:]
                return lines
            self._rest += data
            if len(self._rest) > LINE_BYTES_MAX:
                lines, self._rest = self._rest + b"\n", b""
                return lines
            if data:
                continue
            if len(self._files) == 1:
                return b""
            self._files.pop(0).close()
            if self._rest:  # torn when the machine lost power
                lines, self._rest = self._rest + b"\n", b""
                return lines

    def rest(self) -> bytes:
        """What stands at the end without a newline, when nothing more will come."""
        rest, self._rest = self._rest, b""
        return rest

    @property
    def state(self) -> tuple[int, int]:
        """Differs when there may be more to read, or the file was put aside. Touches no disk."""
        found = os.fstat(self._files[-1].fileno())
        return found.st_size, found.st_ctime_ns

    def look_for_newer(self) -> bool:
        """At the end: whether the file was put aside. Then look again soon; once it has settled, reading goes on."""
        newer = self._newer()
        if not newer:
            self._newer_since = None
            return False
        if self._newer_since is None:
            self._newer_since = self._clock()
        if self._clock() - self._newer_since >= SETTLE_S:
            self._newer_since = None
            self._files += newer
        else:
            for file in newer:
                file.close()
        return True

    def _newer(self) -> list[BinaryIO]:
        """Files that came after the one that is read."""
        ours = inode(self._files[-1])
        with suppress(FileNotFoundError):
            if os.stat(self._log, follow_symlinks=False).st_ino == ours:
                return []
        there = _open_any(self._log)
        at = next((number for number, file in enumerate(there) if inode(file) == ours), -1)
        for file in there[: at + 1]:
            file.close()
        return there[at + 1 :]


def _open_any(log: Path) -> list[BinaryIO]:
    """None while the runtime has not opened the first."""
    try:
        return open_all(log)
    except FileNotFoundError:
        return []


def seek_last(file: BinaryIO, lines: int) -> tuple[int, int, bool]:
    """Where the last `lines` lines of a file begin; how many there are up to there; whether that was enough, or they
    may begin in an older file. Reads backwards, a block at a time."""
    position = size_of_file = file.seek(0, os.SEEK_END)
    left, found = b"", 0
    end = size_of_file + 1  # behind the newline of the line that is looked at; the last one lacks it
    while position > 0:
        size = min(BLOCK_BYTES, position)
        position -= size
        file.seek(position)
        first, *others = (_read_whole(file, size) + left).split(b"\n")
        if position == 0:
            first, others = b"", [first, *others]
        for raw in reversed(others):
            if ends_line(raw):
                if found == lines:
                    return min(end, size_of_file), found, True
                found += 1
            end -= len(raw) + 1
        left = first
    return 0, found, False


def _read_whole(file: BinaryIO, size: int) -> bytes:
    found = b""
    while len(found) < size:
        data = file.read(size - len(found))
        if not data:
            break
        found += data
    return found
