"""The machine as far as figures depend on it: cores, interpreter, disk. Nothing that names it."""

from __future__ import annotations

import os
import platform
import sysconfig
import time
from pathlib import Path
from typing import Any

from .figures import median
from .process import file_system

_SYNCS = 200
_RECORD_BYTES = 1024


def facts(folder: Path) -> dict[str, Any]:
    """`folder` is where the clusters' data lies; the disk is probed there."""
    return {
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),  # of the last minute: other work makes every figure worse
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "python_optimised": "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or ""),
        "file_system": file_system(folder),
        "fdatasync_p50_s": fdatasync_p50_s(folder),
    }


def fdatasync_p50_s(folder: Path) -> float:
    """Median time to make one KiB durable in a file of zeros written ahead."""
    path = folder / "fdatasync-probe"
    samples = []
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.pwrite(file, bytes(_SYNCS * _RECORD_BYTES), 0)
        os.fsync(file)
        for number in range(_SYNCS):
            begin = time.monotonic()
            os.pwrite(file, b"x" * _RECORD_BYTES, number * _RECORD_BYTES)
            os.fdatasync(file)
            samples.append(time.monotonic() - begin)
    finally:
        os.close(file)
        path.unlink()
    return median(samples)


def described(facts: dict[str, Any]) -> str:
    """One line for people."""
    build = "optimised build" if facts["python_optimised"] else "build without optimisations"
    sync_ms = facts["fdatasync_p50_s"] * 1000
    disk = f"{facts['file_system']}, fdatasync of 1 KiB p50 {sync_ms:.2f} ms"
    cores = f"{facts['cores']} cores (load {facts['load_before']} before the run)"
    return f"{cores}, {disk}, Python {facts['python']} ({build})"
