"""Giving mapped pages of the state file back, so that a server's memory does not grow with its state.

LMDB reads and writes its file through the page cache and maps it; every page once looked at stays in the
process's resident set although the kernel could take it back at any time. On a small machine that reads
like a leak, and counts against a cgroup's limit. `MADV_DONTNEED` on a read-only shared mapping drops the
page table entries only: the pages stay in the page cache and come back with a minor fault.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
from pathlib import Path

_MADV_DONTNEED = 4
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

_libc = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
_libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


def resident_file_bytes() -> int:
    """Bytes of mapped files in this process's resident set, libraries included."""
    with open("/proc/self/statm", "rb") as statm:
        return int(statm.read().split()[2]) * _PAGE_BYTES


def release(path: Path) -> int:
    """Drop the resident pages of every read-only mapping of `path`; the bytes of address space covered."""
    wanted = os.path.realpath(path).encode()
    covered = 0
    with open("/proc/self/maps", "rb") as maps:
        for line in maps:
            fields = line.rstrip(b"\n").split(b" ", 5)
            if fields[-1].strip() != wanted or fields[1] != b"r--s":
                continue
            start, end = (int(part, 16) for part in fields[0].split(b"-"))
            if _libc.madvise(start, end - start, _MADV_DONTNEED) == 0:
                covered += end - start
    return covered
