"""Which files a container's log is in: the one that is written, and those put aside before it, oldest first.

    0.log.7  0.log.8  0.log      numbers only grow, whatever the clock does

A file that is put aside is renamed, then the runtime opens the name anew; until it has, it writes into the old one. So
files are opened before they are read: those who have them open miss nothing when they are put aside or removed.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

TRIES_MAX = 10


def put_aside(log: Path) -> list[Path]:
    """Oldest first."""
    prefix, found = f"{log.name}.", []
    with suppress(FileNotFoundError), os.scandir(log.parent) as entries:
        for entry in entries:
            number = entry.name.removeprefix(prefix)
            if entry.name.startswith(prefix) and number.isascii() and number.isdigit():
                found.append((int(number), log.parent / entry.name))
    return [path for _, path in sorted(found)]


def next_aside(log: Path) -> Path:
    """The name for the one that is written now."""
    there = put_aside(log)
    last = int(there[-1].name.rpartition(".")[2]) if there else 0
    return log.parent / f"{log.name}.{last + 1}"


def remove_all(log: Path) -> None:
    """Of a container that is gone."""
    for path in (*put_aside(log), log):
        path.unlink(missing_ok=True)


def open_all(log: Path) -> list[BinaryIO]:
    """Every file, oldest first, none missing in between. Raises FileNotFoundError when there is none."""
    for _ in range(TRIES_MAX):
        before = put_aside(log)
        files: list[BinaryIO] = []
        for path in (*before, log):
            with suppress(FileNotFoundError):  # the oldest was removed, or the newest is about to be there
                files.append(open_log(path))
        if put_aside(log) == before:
            if not files:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(log))
            return files
        for file in files:
            file.close()
    raise OSError(f"{log} is put aside faster than it can be opened")


def open_log(path: Path) -> BinaryIO:
    """Of this name itself, wherever a link might lead. Without a buffer: what is read is what is there."""
    return open(path, "rb", buffering=0, opener=_opened)  # closes what turns out to be a folder; os.fdopen would not


def _opened(path: str, _: int) -> int:
    return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)


def inode(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_ino
