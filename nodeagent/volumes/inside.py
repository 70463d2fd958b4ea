"""Finds a path inside a volume that containers can change while we look: the way in for subPath.

The steps are ours, not the kernel's: each entry is opened from the folder before it and never by a link (O_NOFOLLOW),
links are read and their steps taken in turn, `..` goes back to the folder we came by. So whatever is swapped for
whatever meanwhile, all that is ever opened was inside the volume when it was opened. Links that lead out are refused,
in Kubernetes' words. Raises OSError, CannotMount.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .failures import CannotMount

LINKS_MAX = 40  # as in Linux
STEPS_MAX = 1024
DEPTH_MAX = 256  # descriptors that are open at once
_NEW = ".kmini-new"
_STEP = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC

_one_at_a_time = threading.Lock()


@contextmanager
def opened_inside(volume: Path, path: str, *, make: bool) -> Iterator[int]:
    """A descriptor (O_PATH) of what `path` leads to. With `make` folders that are missing are made, with the mode of
    the volume itself. Where the volume is, nobody but the node decides."""
    walk = _Walk(volume, path)
    try:
        walk.go(make=make)
        yield walk.here
    finally:
        walk.close()


class _Walk:
    def __init__(self, volume: Path, path: str) -> None:
        self._volume = volume
        self._path = path
        self._left = list(reversed(path.split("/")))
        self._folders = [os.open(volume, os.O_PATH | os.O_CLOEXEC)]
        self._links = 0

    @property
    def here(self) -> int:
        return self._folders[-1]

    def close(self) -> None:
        for each in self._folders:
            os.close(each)

    def go(self, *, make: bool) -> None:
        for _ in range(STEPS_MAX):
            if not self._left:
                return
            step = self._left.pop()
            if step == "..":
                self._back()
            elif step not in ("", "."):
                self._enter(step, make=make)
        raise CannotMount(f'subPath "{self._path}" has too many steps')

    def _back(self) -> None:
        if len(self._folders) == 1:
            self._refuse()
        os.close(self._folders.pop())

    def _enter(self, name: str, *, make: bool) -> None:
        if len(self._folders) == DEPTH_MAX:
            raise CannotMount(f'subPath "{self._path}" is too deep')
        try:
            found = os.open(name, _STEP, dir_fd=self.here)
        except FileNotFoundError:
            if not make:
                raise
            self._make(name)
            found = os.open(name, _STEP, dir_fd=self.here)
        if not stat.S_ISLNK(os.fstat(found).st_mode):
            self._folders.append(found)
            return
        try:
            self._follow(os.readlink("", dir_fd=found))
        finally:
            os.close(found)

    def _follow(self, target: str) -> None:
        self._links += 1
        if self._links > LINKS_MAX:
            raise CannotMount(f'subPath "{self._path}" has too many links')
        if target.startswith("/"):
            self._refuse()
        self._left.extend(reversed(target.split("/")))

    def _make(self, name: str) -> None:
        """It has its mode before it has its name: who is killed in between leaves none that is half made."""
        mode = stat.S_IMODE(os.fstat(self._folders[0]).st_mode)
        with _one_at_a_time:
            with suppress(FileExistsError):
                os.mkdir(_NEW, 0o700, dir_fd=self.here)
            made = os.open(_NEW, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.here)
            try:
                os.fchmod(made, mode)
            finally:
                os.close(made)
            os.rename(_NEW, name, src_dir_fd=self.here, dst_dir_fd=self.here)

    def _refuse(self) -> None:
        raise CannotMount(f'subPath "{self._path}" not within volume path "{self._volume}"')
