"""A folder in which mounts may be made; none is left afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nodeagent.volumes.mounting import mount_tmpfs, unmount_under


@contextmanager
def mounting_place(folder: Path) -> Iterator[Path]:
    """Skips the test where no mounts can be made."""
    probe = folder / "probe"
    probe.mkdir()
    try:
        mount_tmpfs(probe, size=4096)
    except OSError as error:
        pytest.skip(f"mounts need root: {error.strerror}")
    try:
        yield folder
    finally:
        unmount_under(folder)
