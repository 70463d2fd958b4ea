"""Removes whole folders that containers could write to: the most dangerous thing an agent does.

Step by step over descriptors, so that no name is looked up twice: a link is removed and never followed, whenever it was
put there. What is mounted inside stops it: the data of others is there. However deep a folder is, few descriptors
are open: what is very deep is first moved up. However many entries it has, few names are held. Raises OSError.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from contextlib import suppress
from itertools import islice
from pathlib import Path

DEPTH_MAX = 32
NAMES_MAX = 1000  # at a time; a container may have made millions
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(path: Path) -> None:
    """Nothing happens when it is not there."""
    with suppress(FileNotFoundError):
        parent = os.open(path.parent, _FOLDER & ~os.O_NOFOLLOW)
        try:
            remove_entry(parent, path.name)
        finally:
            os.close(parent)


def remove_entry(parent: int, name: str) -> None:
    """The file, link or folder of this name in the folder that `parent` is open on."""
    if not _is_folder(parent, name):
        os.unlink(name, dir_fd=parent)
        return
    top = _open_same_mount(parent, name)
    try:
        while names := _some_names(top):
            for each in names:
                _remove(top, top, each, 0)
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=parent)


def _remove(top: int, parent: int, name: str, depth: int) -> None:
    if not _is_folder(parent, name):
        os.unlink(name, dir_fd=parent)
        return
    if depth == DEPTH_MAX:
        os.rename(name, f"deep-{secrets.token_hex(8)}", src_dir_fd=parent, dst_dir_fd=top)  # its turn comes
        return
    folder = _open_same_mount(parent, name)
    try:
        while names := _some_names(folder):
            for each in names:
                _remove(top, folder, each, depth + 1)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=parent)


def _some_names(folder: int) -> list[str]:
    with os.scandir(folder) as entries:
        return [each.name for each in islice(entries, NAMES_MAX)]


def _is_folder(parent: int, name: str) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)


def _open_same_mount(parent: int, name: str) -> int:
    folder = os.open(name, _FOLDER, dir_fd=parent)
    if _mount_of(folder) != _mount_of(parent):
        path = os.readlink(f"/proc/self/fd/{folder}")
        os.close(folder)
        raise OSError(errno.EXDEV, "something is mounted here, so it is not removed", path)
    return folder


def _mount_of(descriptor: int) -> str:
    """The kernel's number of the mount that it was opened in: other than a device's it differs for bind mounts."""
    lines = Path(f"/proc/self/fdinfo/{descriptor}").read_text(encoding="ascii").splitlines()
    return next(line for line in lines if line.startswith("mnt_id:"))
