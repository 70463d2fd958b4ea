"""Files as the journal and the snapshots use them: the seam between durability logic and a disk.

`RealDisk` is the operating system. The simulator's `FakeDisk` keeps two images of every file, what was
written and what was synced, so that a power loss, a torn write, a flipped bit, a full or a slow disk can
be had from a seed. Names are relative to the disk's folder. Errors are OSError with errno set.

Durability contract (POSIX, as far as it can be relied on): bytes written by `write_at` survive a power
loss once `sync` of that file returned; a created, renamed or removed name survives once `sync_folder`
returned. Until then any subset of the 512-byte sectors may have reached the disk.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

SECTOR_BYTES = 512


class DiskFile(Protocol):
    """An open file. `sync` may be called from another thread than the writes, not two at a time."""

    name: str

    def size(self) -> int: ...
    def read_at(self, offset: int, length: int) -> bytes: ...
    def write_at(self, offset: int, data: bytes | bytearray | memoryview) -> None: ...
    def truncate(self, size: int) -> None: ...
    def sync(self) -> None:
        """fdatasync; raises OSError when the device reports an error (never retried: the page may be lost)."""

    def close(self) -> None: ...


class Disk(Protocol):
    def open(self, name: str, *, create: bool = False) -> DiskFile: ...
    def exists(self, name: str) -> bool: ...
    def names(self) -> list[str]:
        """Names in the folder, sorted."""

    def rename(self, old: str, new: str) -> None:
        """Atomic; replaces `new`."""

    def remove(self, name: str) -> None: ...
    def sync_folder(self) -> None: ...


class RealFile:
    def __init__(self, path: Path, name: str, *, create: bool) -> None:
        self.name = name
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
        self._fd = os.open(path, flags, 0o600)

    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def read_at(self, offset: int, length: int) -> bytes:
        return os.pread(self._fd, length, offset)

    def write_at(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._fd, view, offset)
            view = view[written:]
            offset += written

    def truncate(self, size: int) -> None:
        os.ftruncate(self._fd, size)

    def sync(self) -> None:
        os.fdatasync(self._fd)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class RealDisk:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def open(self, name: str, *, create: bool = False) -> RealFile:
        return RealFile(self.folder / name, name, create=create)

    def exists(self, name: str) -> bool:
        return (self.folder / name).exists()

    def names(self) -> list[str]:
        return sorted(entry.name for entry in os.scandir(self.folder) if entry.is_file())

    def rename(self, old: str, new: str) -> None:
        os.replace(self.folder / old, self.folder / new)

    def remove(self, name: str) -> None:
        os.unlink(self.folder / name)

    def sync_folder(self) -> None:
        fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


@contextmanager
def opened(disk: Disk, name: str, *, create: bool = False) -> Iterator[DiskFile]:
    file = disk.open(name, create=create)
    try:
        yield file
    finally:
        file.close()
