"""What this process holds open in a folder: its other threads may open and close files of their own meanwhile."""

from __future__ import annotations

import contextlib
from pathlib import Path


def open_files(folder: Path) -> list[Path]:
    """Files and folders in it, and itself, once for each descriptor."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed
            found.append(descriptor.readlink())
    return sorted(path for path in found if path.is_relative_to(folder))
