"""Where control groups lie: cgroup v1, v2, and machines that have both.

A group is named by its path from the top of every hierarchy, such as `/n1/kubepods/pod<uid>`.
"""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Sequence
from pathlib import Path

from .interface import Resources

REMOVED_WITHIN_S = 2.0
_ASK_EVERY_S = 0.02
_MOUNTS = Path("/proc/self/mounts")


@functools.cache
def hierarchies(mounts: Path = _MOUNTS) -> Sequence[Path]:
    """Where each hierarchy is mounted, once. Read once: they stay where they are, and containers add lines by the
    hundred."""
    found: dict[str, Path] = {}
    for line in mounts.read_text(encoding="utf-8").splitlines():
        _source, target, kind, options, *_ = line.split(" ")
        if kind == "cgroup2":
            found.setdefault(kind, Path(target))
        elif kind == "cgroup":
            found.setdefault(options, Path(target))
    return tuple(found.values())


def groups(group: str, mounts: Path = _MOUNTS) -> list[Path]:
    """The folders of this group, one in each hierarchy."""
    return [each / group.lstrip("/") for each in hierarchies(mounts)]


def joinable(group: str, mounts: Path = _MOUNTS) -> list[Path]:
    """Those that a process can simply be put into: not cpuset of v1, which wants to be set up first."""
    plain = [each for each in hierarchies(mounts) if not (each / "cpuset.cpus").exists()]
    return [each / group.lstrip("/") for each in plain]


def bound(group: str, resources: Resources, mounts: Path = _MOUNTS) -> None:
    """What all that is in the group may use together: what is so already stays untouched. A group that is not there,
    or a machine without such a controller, is left alone. Raises OSError."""
    values = _values(resources)
    for folder in groups(group, mounts):
        for name, value in values.items():
            with contextlib.suppress(FileNotFoundError):
                if (folder / name).read_text(encoding="ascii").strip() != value:
                    (folder / name).write_text(value, encoding="ascii")


def _values(resources: Resources) -> dict[str, str]:
    """By file, of v1 and v2, as the kernel says them when it is asked."""
    found = {}
    if resources.cpu_shares:
        found["cpu.shares"] = str(resources.cpu_shares)
        found["cpu.weight"] = str(1 + ((resources.cpu_shares - 2) * 9999) // 262142)  # as runc makes it
    if resources.cpu_quota_us:
        found["cpu.cfs_period_us"] = str(resources.cpu_period_us)
        found["cpu.cfs_quota_us"] = str(resources.cpu_quota_us)
        found["cpu.max"] = f"{resources.cpu_quota_us} {resources.cpu_period_us}"
    if resources.memory_limit:
        page = os.sysconf("SC_PAGE_SIZE")
        found["memory.limit_in_bytes"] = found["memory.max"] = str(max(1, resources.memory_limit // page) * page)
    return found


def memory_is_v2(mounts: Path = _MOUNTS) -> bool:
    """Whether the memory of containers is counted by v2."""
    return any(
        (each / "cgroup.controllers").exists() and "memory" in _controllers(each) for each in hierarchies(mounts)
    )


def _controllers(hierarchy: Path) -> list[str]:
    return (hierarchy / "cgroup.controllers").read_text(encoding="ascii").split()


def remove(group: str, mounts: Path = _MOUNTS, *, within_s: float = REMOVED_WITHIN_S) -> bool:
    """With the groups below it; whether it is gone. What still has a process stays, as do those above it.

    The kernel lets go of a group a moment after its last process: that is waited for, not longer than said.
    """
    deadline = time.monotonic() + within_s
    while True:
        left = [each for each in groups(group, mounts) if each.exists()]
        for folder in left:
            for path, _, _ in os.walk(folder, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(path)
        if not any(each.exists() for each in left):
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(_ASK_EVERY_S)
