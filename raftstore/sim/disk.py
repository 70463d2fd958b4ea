"""A disk that forgets, from a seed: what was written and what was synced are kept apart.

A process that is killed leaves everything it wrote. A power loss leaves what was synced, and of the rest a
random subset of 512-byte sectors; of names not synced with their folder a random prefix of the changes
(file systems journal names in order). An fsync that fails loses what it could not write, as Linux does: a
second fsync would succeed and prove nothing.

The same `random.Random` gives the same disk. Time is not the disk's: the simulator's runtime decides how
long a work takes, and `cut_after` stops one in the middle.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from ..disk import SECTOR_BYTES

PAGE_BYTES = 4096


class PowerCut(Exception):
    """The machine or the process stopped here; nothing after this instruction happened."""


class _Inode:
    """One file's bytes. `dirty` are the ranges written since the last sync."""

    __slots__ = ("dirty", "synced", "written")

    def __init__(self) -> None:
        self.written = bytearray()
        self.synced = bytearray()
        self.dirty: list[tuple[int, int]] = []

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        if offset > len(self.written):
            self.dirty.append((len(self.written), offset))
            self.written.extend(bytes(offset - len(self.written)))
        end = offset + len(data)
        self.written[offset:end] = data
        self.dirty.append((offset, end))

    def resize(self, size: int) -> None:
        if size > len(self.written):
            self.write(len(self.written), bytes(size - len(self.written)))
        else:
            del self.written[size:]
            del self.synced[size:]
            self.dirty = [(start, min(end, size)) for start, end in self.dirty if start < size]

    def sync(self) -> None:
        for start, end in self.dirty:
            self._keep(start, end)
        self.dirty.clear()

    def lose_power(self, survives: Callable[[], bool]) -> None:
        sectors = {at for start, end in self.dirty for at in range(start // SECTOR_BYTES, -(-end // SECTOR_BYTES))}
        for sector in sorted(sectors):
            if survives():
                self._keep(sector * SECTOR_BYTES, min((sector + 1) * SECTOR_BYTES, len(self.written)))
        self.written = bytearray(self.synced)
        self.dirty.clear()

    def _keep(self, start: int, end: int) -> None:
        if len(self.synced) < start:
            self.synced.extend(bytes(start - len(self.synced)))
        self.synced[start:end] = self.written[start:end]


class FakeFile:
    def __init__(self, disk: FakeDisk, name: str, inode: _Inode) -> None:
        self.name = name
        self._disk = disk
        self._inode = inode
        self._life = disk.life

    def size(self) -> int:
        self._check()
        return len(self._inode.written)

    def read_at(self, offset: int, length: int) -> bytes:
        self._check()
        self._disk.check_read(self.name)
        return bytes(self._inode.written[offset : offset + length])

    def write_at(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        self._check()
        size = len(data)
        room = self._disk.room_for(max(0, offset + size - len(self._inode.written)))
        if room < 0:
            self._inode.write(offset, memoryview(data)[: max(0, size + room)])
            raise self._disk.error(errno.ENOSPC, self.name)
        if self._disk.is_cut():
            reached = self._disk.random.randrange(size + 1) if size else 0
            whole_pages = max(0, (offset + reached) // PAGE_BYTES * PAGE_BYTES - offset)
            self._inode.write(offset, memoryview(data)[:whole_pages])
            raise PowerCut(f"while writing {self.name}")
        self._inode.write(offset, data)

    def truncate(self, size: int) -> None:
        self._check()
        self._disk.step(f"while truncating {self.name}")
        self._inode.resize(size)

    def sync(self) -> None:
        self._check()
        self._disk.step(f"while syncing {self.name}")
        self._disk.syncs += 1
        if self._disk.sync_errors > 0:
            self._disk.sync_errors -= 1
            self._inode.dirty.clear()
            raise self._disk.error(errno.EIO, self.name)
        self._inode.sync()

    def close(self) -> None:
        self._life = -1

    def _check(self) -> None:
        if self._life != self._disk.life:
            raise self._disk.error(errno.EBADF, self.name)


class FakeDisk:
    """A `Disk` in memory. `full` refuses growth, `sync_errors` and `read_errors` count errors to come."""

    def __init__(self, random_source: random.Random) -> None:
        self.random = random_source
        self.full = False
        self.room_bytes: int | None = None  # what may still be added before it is full; None: no bound
        self.sync_errors = 0
        self.read_errors = 0
        self.syncs = 0
        self.life = 0  # files opened before a crash are dead
        self._steps_left: int | None = None
        self._live: dict[str, _Inode] = {}
        self._durable: dict[str, _Inode] = {}
        self._changes: list[_NameChange] = []  # of the folder, since its last sync

    # --- the disk's face ---

    def open(self, name: str, *, create: bool = False) -> FakeFile:
        inode = self._live.get(name)
        if inode is None:
            if not create:
                raise self.error(errno.ENOENT, name)
            self.step(f"while creating {name}")
            inode = _Inode()
            self._change(_Create(name, inode))
        return FakeFile(self, name, inode)

    def exists(self, name: str) -> bool:
        return name in self._live

    def names(self) -> list[str]:
        return sorted(self._live)

    def rename(self, old: str, new: str) -> None:
        if old not in self._live:
            raise self.error(errno.ENOENT, old)
        self.step(f"while renaming {old}")
        self._change(_Move(old, new))

    def remove(self, name: str) -> None:
        if name not in self._live:
            raise self.error(errno.ENOENT, name)
        self.step(f"while removing {name}")
        self._change(_Remove(name))

    def sync_folder(self) -> None:
        self.step("while syncing the folder")
        self._durable = dict(self._live)
        self._changes.clear()

    def _change(self, change: _NameChange) -> None:
        change.apply(self._live)
        self._changes.append(change)

    # --- what can go wrong ---

    def cut_after(self, steps: int | None) -> None:
        """Raise `PowerCut` in the middle of the instruction after `steps` more that change something; None: never."""
        self._steps_left = steps

    def crash(self, *, power: bool) -> None:
        """The process is gone; with `power`, so is what was not synced. Open files are dead from now on."""
        self.life += 1
        self._steps_left = None
        if not power:
            return
        for change in self._changes[: self.random.randint(0, len(self._changes))]:
            change.apply(self._durable)
        self._changes.clear()
        self._live = dict(self._durable)
        chance = self.random.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        for name in sorted(self._live):
            self._live[name].lose_power(lambda: self.random.random() < chance)

    def flip_bits(self, name: str, offsets: Sequence[int]) -> None:
        """Flip one random bit in each of these bytes, on the platter and in the cache. Every call flips some."""
        inode = self._live[name]
        for offset in offsets:
            bit = 1 << self.random.randrange(8)
            for image in (inode.written, inode.synced):
                if offset < len(image):
                    image[offset] ^= bit

    def written_size(self, name: str) -> int:
        """Bytes up to the last one that is not zero."""
        return len(self._live[name].written.rstrip(b"\0"))

    # --- for files ---

    def error(self, number: int, name: str) -> OSError:
        return OSError(number, os.strerror(number), name)

    def is_cut(self) -> bool:
        if self._steps_left is None:
            return False
        self._steps_left -= 1
        return self._steps_left < 0

    def step(self, moment: str) -> None:
        if self.is_cut():
            raise PowerCut(moment)

    def room_for(self, growth: int) -> int:
        """What is left when a file grows by so much; below 0: that much is missing."""
        if not growth or (self.room_bytes is None and not self.full):
            return 0
        room = 0 if self.full or self.room_bytes is None else self.room_bytes
        if not self.full:
            self.room_bytes = max(0, room - growth)
        return room - growth

    def check_read(self, name: str) -> None:
        if self.read_errors > 0:
            self.read_errors -= 1
            raise self.error(errno.EIO, name)


class _NameChange(Protocol):
    def apply(self, names: dict[str, _Inode]) -> None: ...


class _Create(NamedTuple):
    name: str
    inode: _Inode

    def apply(self, names: dict[str, _Inode]) -> None:
        names[self.name] = self.inode


class _Move(NamedTuple):
    old: str
    new: str

    def apply(self, names: dict[str, _Inode]) -> None:
        names[self.new] = names.pop(self.old)


class _Remove(NamedTuple):
    name: str

    def apply(self, names: dict[str, _Inode]) -> None:
        del names[self.name]
