"""fsGroup: what is in a volume belongs to the group, which may read and write it; new files get the group by setgid.

The kubelet's bits. The volume itself comes last, so that work that was interrupted is seen to be (OnRootMismatch).
Containers may change the volume meanwhile: nothing is looked up twice, and no link is followed. Raises OSError.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

READ_WRITE, READ_ONLY = 0o660, 0o440
_FOLDER_BITS = 0o2110  # setgid, and those who may read a folder may enter it
ON_ROOT_MISMATCH = "OnRootMismatch"
_DEPTH_MAX = 256
_STEP = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def give_to_group(volume: Path, group: int, *, policy: str = "", read_only: bool = False) -> None:
    """`policy`: Always unless it is OnRootMismatch."""
    bits = READ_ONLY if read_only else READ_WRITE
    top = os.open(volume, os.O_PATH | os.O_CLOEXEC)
    try:
        if policy == ON_ROOT_MISMATCH and _is_given(os.fstat(top), group, bits | _FOLDER_BITS):
            return
        _give_inside(top, group, bits, 0)
        _give(top, group, bits)
    finally:
        os.close(top)


def _is_given(found: os.stat_result, group: int, bits: int) -> bool:
    return found.st_gid == group and found.st_mode & bits == bits


def _give_inside(folder: int, group: int, bits: int, depth: int) -> None:
    """What is deeper than any program could use is left as it is."""
    for name in _names(folder):
        try:
            entry = os.open(name, _STEP, dir_fd=folder)
        except FileNotFoundError:
            continue  # removed meanwhile
        try:
            if stat.S_ISDIR(os.fstat(entry).st_mode) and depth < _DEPTH_MAX:
                _give_inside(entry, group, bits, depth + 1)
            _give(entry, group, bits)
        finally:
            os.close(entry)


def _names(folder: int) -> Iterator[str]:
    """One after the other: a container may have made millions."""
    readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    try:
        entries = os.scandir(readable)  # on a descriptor of its own
    finally:
        os.close(readable)
    with entries:
        for each in entries:
            yield each.name


def _give(entry: int, group: int, bits: int) -> None:
    """Links belong to the group as well; their bits mean nothing. A descriptor's own path in /proc is no lookup."""
    found = os.fstat(entry)
    own_path = f"/proc/self/fd/{entry}"
    if found.st_gid != group:
        os.chown(own_path, -1, group)
    if stat.S_ISLNK(found.st_mode):
        return
    more = bits | _FOLDER_BITS if stat.S_ISDIR(found.st_mode) else bits
    if found.st_gid != group or found.st_mode & more != more:
        os.chmod(own_path, stat.S_IMODE(found.st_mode) | more)
