"""subPath: what a path inside a volume leads to, shown at a place of our own that nobody else can change.

A container is given that place. Were it given the path, it could put a link there between our look and the runtime's
mount, and have the node's files. Raises OSError, CannotMount.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from apiserver.api.core.containers import VolumeMount
from nodeagent.house import NotYet
from nodeagent.spec.expansion import expand

from .folders import make_parents
from .inside import opened_inside
from .mounting import bind, is_mounted, unmount

CONFIG_ERROR = "CreateContainerConfigError"


def sub_path_of(mount: VolumeMount, variables: Mapping[str, str]) -> str:
    """Relative, and without a way up; "" for the whole volume. Raises NotYet."""
    path = expand(mount.sub_path_expr, variables, _Missing()) if mount.sub_path_expr else mount.sub_path
    if path.startswith("/"):
        raise NotYet(CONFIG_ERROR, f"subPath {path} must not be an absolute path", event="Failed")
    if ".." in path.split("/") or "\0" in path:
        raise NotYet(CONFIG_ERROR, f"subPath {path} must not contain '..'", event="Failed")
    return path


class _Missing(dict[str, str]):
    """Has every name, and a value for none: a folder is not called after a variable that is not there."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> str:
        raise NotYet(CONFIG_ERROR, f'missing value for "{name}"', event="Failed")


def show(volume: Path, path: str, place: Path, *, read_only: bool) -> None:
    """At `place`, which is kept when it shows that already."""
    with opened_inside(volume, path, make=not read_only) as found:
        wanted = os.fstat(found)
        if is_mounted(place):
            if os.path.samestat(place.lstat(), wanted):
                return
            unmount(place)
        _prepare(make_parents(place), is_folder=stat.S_ISDIR(wanted.st_mode))
        bind(found, place)


def _prepare(place: Path, *, is_folder: bool) -> None:
    """Something of the same sort to mount on."""
    if os.path.lexists(place) and place.is_dir() != is_folder:
        place.rmdir() if place.is_dir() else place.unlink()
    if is_folder:
        place.mkdir(exist_ok=True)
    else:
        place.touch()
