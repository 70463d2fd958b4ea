"""emptyDir: a folder that starts empty, on the node's disk or in its memory (a tmpfs of the size that it may have).

It is complete when it has its name, or is mounted, so that an agent that comes back never changes one that containers
have had. Its files survive containers, not the pod. Raises OSError, CannotMount.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from apiserver.api.core.pod import Pod
from apiserver.api.core.volumes import EmptyDirVolumeSource
from apiserver.api.quantity import value

from .failures import CannotMount
from .folders import PodFolders, make_parents
from .mounting import is_mounted, mount_tmpfs

_MODE, _GROUP_MODE = 0o777, 0o2777


def make_empty_dir(
    folders: PodFolders, pod: Pod, name: str, source: EmptyDirVolumeSource, *, group: int | None, memory: int
) -> Path:
    """`memory`: bytes that the node has."""
    if source.medium not in ("", "Memory"):
        raise CannotMount(f"emptyDir medium {source.medium} is not supported here")
    uid = pod.metadata.uid
    place = make_parents(folders.volume(uid, name))
    mode = _MODE if group is None else _GROUP_MODE
    if source.medium:
        with suppress(FileExistsError):
            place.mkdir()
        if not is_mounted(place, "tmpfs"):
            mount_tmpfs(place, size=_size(pod, source, memory), mode=mode, group=group or 0)
    elif not place.exists():
        made = folders.new(uid) / name
        with suppress(FileExistsError):
            made.mkdir()
        os.chown(made, -1, group or os.getegid())
        made.chmod(mode)
        made.rename(place)
    return place


def limit_of(source: EmptyDirVolumeSource) -> int:
    """Bytes; 0 for none."""
    return 0 if source.size_limit is None else value(source.size_limit)


def _size(pod: Pod, source: EmptyDirVolumeSource, memory: int) -> int:
    """What is in it counts as memory of the pod: more than the pod may have would be a promise nobody keeps."""
    limits = [each.resources.limits.get("memory") for each in pod.spec.containers]
    found = [limit_of(source), sum(value(each) for each in limits if each is not None) if None not in limits else 0]
    return min([each for each in found if each > 0], default=memory)
