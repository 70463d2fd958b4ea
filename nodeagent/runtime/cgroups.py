"""Where control groups lie: cgroup v1, v2, and machines that have both.

A group is named by its path from the top of every hierarchy, such as `/n1/kubepods/pod<uid>`.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_MOUNTS = Path("/proc/self/mounts")


def hierarchies(mounts: Path = _MOUNTS) -> list[Path]:
    """Where each hierarchy is mounted, once."""
    found: dict[str, Path] = {}
    for line in mounts.read_text(encoding="utf-8").splitlines():
        _source, target, kind, options, *_ = line.split(" ")
        if kind == "cgroup2":
            found.setdefault(kind, Path(target))
        elif kind == "cgroup":
            found.setdefault(options, Path(target))
    return list(found.values())


def groups(group: str, mounts: Path = _MOUNTS) -> list[Path]:
    """The folders of this group, one in each hierarchy."""
    return [each / group.lstrip("/") for each in hierarchies(mounts)]


def joinable(group: str, mounts: Path = _MOUNTS) -> list[Path]:
    """Those that a process can simply be put into: not cpuset of v1, which wants to be set up first."""
    plain = [each for each in hierarchies(mounts) if not (each / "cpuset.cpus").exists()]
    return [each / group.lstrip("/") for each in plain]


def remove(group: str, mounts: Path = _MOUNTS) -> None:
    """With the groups below it. What still has a process stays, as do those above it."""
    for folder in groups(group, mounts):
        for path, _, _ in os.walk(folder, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(path)
