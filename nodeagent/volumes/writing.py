"""Writes the files of a volume so that no reader ever sees half of an update: Kubernetes' atomic writer.

    ..data -> ..1f4a...      what counts; changed by one rename
    ..1f4a.../a, .../b/c     all files of one update
    a -> ..data/a            for each first part of a path
    b -> ..data/b

So whoever opens ..data first sees one update alone, and who reads `a` sees old or new. What an agent left that ended in
the middle goes with the next update. Only the node can write to the folder: containers have it read-only. Raises
OSError, CannotMount.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from .ownership import give_to_group
from .payload import File, Payload, check
from .removing import remove_tree

_DATA, _NEW_DATA = "..data", "..data_tmp"
_FOLDER_MODE = 0o755


def write(folder: Path, payload: Payload, *, group: int | None = None) -> bool:
    """`folder` has these files and no others; whether anything had to be done. What is right stays as it is."""
    for path in payload:
        check(path)
    _make_folder(folder)
    changed = not _is_written(folder, payload, group)
    if changed:
        _replace(folder, payload, group)
    _tidy(folder, payload)
    return changed


def _is_written(folder: Path, payload: Payload, group: int | None) -> bool:
    try:
        current = folder / os.readlink(folder / _DATA)
        if set(_files(current)) != set(payload):
            return False
        return all(_is_like(current / path, file, group) for path, file in payload.items())
    except OSError:
        return False


def _files(folder: Path) -> Iterator[str]:
    for place, _, names in os.walk(folder):
        for name in names:
            yield os.path.relpath(os.path.join(place, name), folder)


def _is_like(path: Path, file: File, group: int | None) -> bool:
    found = path.lstat()
    wanted = file.mode if group is None else file.mode | 0o440
    owner = (os.geteuid() if file.user is None else file.user, os.getegid() if group is None else group)
    if stat.S_IMODE(found.st_mode) != wanted or (found.st_uid, found.st_gid) != owner:
        return False
    return found.st_size == len(file.content) and path.read_bytes() == file.content


def _replace(folder: Path, payload: Payload, group: int | None) -> None:
    made = folder / f"..{secrets.token_hex(8)}"
    try:
        _make_folder(made)
        for path, file in payload.items():
            _write_file(made, path, file)
        if group is not None:
            give_to_group(made, group, read_only=True)
    except OSError:  # it is tried again for as long as the pod is there: each try would fill the disk a little more
        remove_tree(made)
        raise
    with suppress(FileNotFoundError):
        os.unlink(folder / _NEW_DATA)
    os.symlink(made.name, folder / _NEW_DATA)
    os.rename(folder / _NEW_DATA, folder / _DATA)


def _make_folder(folder: Path) -> None:
    with suppress(FileExistsError):
        folder.mkdir()
        folder.chmod(_FOLDER_MODE)


def _write_file(top: Path, path: str, file: File) -> None:
    place = top / path
    for each in reversed([each for each in place.parents if top in each.parents]):
        _make_folder(each)
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as opened:
        opened.write(file.content)
        if file.user is not None:
            os.fchown(descriptor, file.user, -1)
        os.fchmod(descriptor, file.mode)


def _tidy(folder: Path, payload: Payload) -> None:
    """Names for what is there, and nothing else."""
    current = os.readlink(folder / _DATA)
    wanted = {path.split("/")[0] for path in payload}
    for name in os.listdir(folder):
        if name not in (_DATA, current) and name not in wanted:
            remove_tree(folder / name)
    for name in wanted:
        target = f"{_DATA}/{name}"
        with suppress(FileExistsError):
            os.symlink(target, folder / name)
