"""Network namespaces: made, entered for a moment by a thread, removed.

A namespace belongs to a thread, not to a process (namespaces(7)): what is to be done in one is done by a thread that
enters it and ends there. Nothing forks, nothing else of the process notices, and no other tool is needed. A namespace
stays while its file in /run is a mount of it; the files lie in a folder of the cluster's own, so that `ip netns`, which
remounts its folder, has nothing to do with them.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

Result = TypeVar("Result")

_CLONE_NEWNET = 0x40000000
_MS_BIND = 0x1000
_MNT_DETACH = 2
_OCTAL = re.compile(rb"\\([0-3][0-7]{2})")
_libc = ctypes.CDLL(None, use_errno=True)


def create(path: Path) -> None:
    """A new namespace, kept by the file `path`, which must not be there. Raises OSError."""

    def work() -> None:
        _checked(_libc.unshare(_CLONE_NEWNET), "unshare", path)
        bind(Path("/proc/thread-self/ns/net"), path)

    path.touch(mode=0o400, exist_ok=False)
    _Thread(work).result()


def inside(path: Path, work: Callable[[], Result]) -> Result:
    """What `work` returns or raises when a thread in the namespace calls it. Raises OSError when there is none."""

    def enter() -> Result:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _checked(_libc.setns(descriptor, _CLONE_NEWNET), "setns", path)
        finally:
            os.close(descriptor)
        return work()

    return _Thread(enter).result()


def allowed() -> None:
    """Raises OSError when this process may not make namespaces. The one it tries goes with its thread."""
    _Thread(lambda: _checked(_libc.unshare(_CLONE_NEWNET), "unshare", Path("a network namespace"))).result()


def remove(path: Path) -> None:
    """Give the namespace up: it goes, with its links, when no process is in it. No error when it is gone already."""
    unmount(path)
    path.unlink(missing_ok=True)


def bind(source: Path, target: Path) -> None:
    """Mount `source` also at `target`. Raises OSError."""
    _mount(source, target, kind="none", flags=_MS_BIND, options="")


def mount_tmpfs(target: Path, *, size_bytes: int) -> None:
    """0: as much as the kernel's habit is, half of the memory. Raises OSError."""
    _mount(Path("kmini"), target, kind="tmpfs", flags=0, options=f"size={size_bytes or '50%'},mode=0700")


def unmount(path: Path) -> None:
    """Take the topmost mount at `path` away, also when it is in use. No error when there is none. Raises OSError."""
    if _libc.umount2(os.fsencode(path), _MNT_DETACH) != 0:
        number = ctypes.get_errno()
        if number not in (errno.EINVAL, errno.ENOENT):
            raise OSError(number, os.strerror(number), str(path))


def mounts_under(folder: Path, *, table: Path = Path("/proc/self/mountinfo")) -> list[Path]:
    """Mount points at or below `folder`, the last one made first. Raises OSError."""
    found = []
    for line in table.read_bytes().splitlines():
        escaped = line.split(b" ")[4]  # blanks and the like are written as \\ooo (proc(5))
        path = Path(os.fsdecode(_OCTAL.sub(lambda match: bytes([int(match[1], 8)]), escaped)))
        if path.is_relative_to(folder):
            found.append(path)
    return found[::-1]


def _mount(source: Path, target: Path, *, kind: str, flags: int, options: str) -> None:
    done = _libc.mount(
        os.fsencode(source), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), options.encode() or None
    )
    _checked(done, "mount", target)


def _checked(answer: int, call: str, subject: Path) -> None:
    if answer != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}", str(subject))


class _Thread(threading.Thread, Generic[Result]):
    """One call in a thread of its own."""

    def __init__(self, work: Callable[[], Result]) -> None:
        super().__init__(name="network-namespace", daemon=True)
        self._work = work
        self._results: list[Result] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._results.append(self._work())
        except BaseException as error:  # raised where the caller waits
            self._error = error

    def result(self) -> Result:
        self.start()
        self.join()
        if self._error is not None:
            raise self._error
        return self._results[0]
