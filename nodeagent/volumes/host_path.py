"""hostPath: a file or folder of the node, looked at or made first if the pod says what it must be."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from .failures import CannotMount

_FOLDER_MODE, _FILE_MODE = 0o755, 0o644
_CHECKS: dict[str, tuple[Callable[[int], bool], str]] = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket file"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}
_MADE = {"DirectoryOrCreate": "Directory", "FileOrCreate": "File"}


def host_path(path: str, type_: str) -> Path:
    """Raises CannotMount, in Kubernetes' words, and OSError."""
    if not path.startswith("/") or "\0" in path or ".." in path.split("/"):
        raise CannotMount(f"hostPath {path!r} is not an absolute path")
    place = Path(path)
    if type_ in _MADE and not os.path.lexists(place):
        _make(place, type_)
    wanted = _MADE.get(type_, type_)
    if not wanted:
        return place
    if wanted not in _CHECKS:
        raise CannotMount(f"hostPath type check failed: {type_} is not a type of hostPath")
    is_right, words = _CHECKS[wanted]
    try:
        right = is_right(place.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        right = False
    if not right:
        raise CannotMount(f"hostPath type check failed: {path} is not {words}")
    return place


def _make(place: Path, type_: str) -> None:
    if type_ == "DirectoryOrCreate":
        place.mkdir(_FOLDER_MODE, parents=True, exist_ok=True)
        return
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _FILE_MODE)
    os.close(descriptor)
