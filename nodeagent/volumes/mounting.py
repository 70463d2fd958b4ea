"""mount(2) and umount2(2), and which mounts there are.

The kernel's own calls: a program of the host would have to be installed, and takes paths where we hold descriptors.
Raises OSError.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_MOUNTS = Path("/proc/self/mountinfo")
_MS_NOSUID, _MS_NODEV, _MS_BIND = 0x2, 0x4, 0x1000
_MNT_DETACH, _UMOUNT_NOFOLLOW = 0x2, 0x8
_escaped_re = re.compile(rb"\\([0-7]{3})")


class Mounted(NamedTuple):
    """`path` is where; `kind` the file system."""

    path: Path
    kind: str


def mounts_under(folder: Path) -> list[Mounted]:
    """At `folder` and below, in the order in which they were made."""
    top = folder.resolve()
    return [each for each in _mounts() if each.path == top or top in each.path.parents]


def is_mounted(folder: Path, kind: str = "") -> bool:
    """Something is mounted at this very place, of this kind if one is named."""
    top = folder.parent.resolve() / folder.name
    return any(each.path == top and kind in ("", each.kind) for each in _mounts())


def _mounts() -> Iterator[Mounted]:
    for line in _MOUNTS.read_bytes().splitlines():
        fields = line.split(b" ")
        path = _escaped_re.sub(lambda found: bytes([int(found[1], 8)]), fields[4])  # blanks are \040
        yield Mounted(Path(os.fsdecode(path)), os.fsdecode(fields[fields.index(b"-") + 1]))


def mount_tmpfs(target: Path, *, size: int | None = None, mode: int = 0o755, group: int = 0) -> None:
    """`size` in bytes; half of the machine's memory when None. Never swapped out where the kernel can promise that."""
    options = [f"mode={mode:o}", f"gid={group}"] + ([f"size={size}"] if size is not None else [])
    try:
        _mount("tmpfs", target, "tmpfs", _MS_NOSUID | _MS_NODEV, ",".join([*options, "noswap"]))
    except OSError:  # Linux before 6.4 does not know the last one
        _mount("tmpfs", target, "tmpfs", _MS_NOSUID | _MS_NODEV, ",".join(options))


def bind(descriptor: int, target: Path) -> None:
    """Show what the descriptor leads to at `target` too. No path is looked up for it: nobody can put a link there."""
    _mount(f"/proc/self/fd/{descriptor}", target, "", _MS_BIND, "")


def unmount(target: Path) -> None:
    """Also when somebody still has a file open there: it is out of the tree at once."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.umount2(os.fsencode(target), _MNT_DETACH | _UMOUNT_NOFOLLOW) != 0:
        _fail(target)


def unmount_under(folder: Path) -> None:
    """All of them, the last first."""
    for each in reversed(mounts_under(folder)):
        unmount(each.path)


def _mount(source: str, target: Path, kind: str, flags: int, options: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    texts = [os.fsencode(each) for each in (source, target, kind)]
    if libc.mount(*texts, ctypes.c_ulong(flags), os.fsencode(options)) != 0:
        _fail(target)


def _fail(target: Path) -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number), str(target))
