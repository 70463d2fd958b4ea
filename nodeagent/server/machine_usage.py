"""What the whole machine uses, from /proc: the same with cgroup v1, v2 and both.

Memory as the kubelet counts it: what is not free is used, and what of it are file pages nobody touched lately could be
given back, so that it does not count as needed.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

_NANOSECONDS = 1_000_000_000
_KIB = 1024
#: Columns of /proc/stat's first line that are work: user, nice, system, irq, softirq, steal. Guests are in user.
_WORK = (0, 1, 2, 5, 6, 7)


class MachineUsage(msgspec.Struct, frozen=True, kw_only=True):
    """`cpu_ns` of all its CPUs together, since it was started at `booted_at`, in seconds since the epoch."""

    cpu_ns: int
    booted_at: float
    memory_available: int
    memory_used: int
    memory_working_set: int
    memory_rss: int
    disk_bytes: int
    disk_free: int
    inodes: int
    inodes_free: int


def machine_usage(folder: Path, *, proc: Path = Path("/proc")) -> MachineUsage:
    """`folder`: whose file system is the disk. Blocking. Raises OSError, ValueError."""
    cpu_ns, booted_at = _cpu((proc / "stat").read_text(encoding="ascii"))
    memory = _memory((proc / "meminfo").read_text(encoding="ascii"))
    total, used = memory["MemTotal"], memory["MemTotal"] - memory["MemFree"]
    working_set = max(0, used - memory.get("Inactive(file)", 0))
    disk = os.statvfs(folder)
    return MachineUsage(
        cpu_ns=cpu_ns,
        booted_at=booted_at,
        memory_available=total - working_set,
        memory_used=used,
        memory_working_set=working_set,
        memory_rss=memory.get("AnonPages", 0),
        disk_bytes=disk.f_blocks * disk.f_frsize,
        disk_free=disk.f_bavail * disk.f_frsize,
        inodes=disk.f_files,
        inodes_free=disk.f_ffree,
    )


def _cpu(text: str) -> tuple[int, float]:
    lines = {words[0]: words[1:] for words in map(str.split, text.splitlines()) if words}
    ticks = [int(each) for each in lines["cpu"]]
    worked = sum(ticks[column] for column in _WORK if column < len(ticks))
    return worked * _NANOSECONDS // os.sysconf("SC_CLK_TCK"), float(lines.get("btime", ["0"])[0])


def _memory(text: str) -> dict[str, int]:
    """Bytes by name."""
    found = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        if rest:
            found[name] = int(rest.split()[0]) * _KIB
    return found
