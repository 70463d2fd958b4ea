"""kubectl for tests that look at pods as people do."""

from __future__ import annotations

from pathlib import Path

import pytest
from kubectl_binaries import MISSING, binaries
from kubectl_shell import Shell
from pods_place import PodsPlace


@pytest.fixture
def shell(shared: PodsPlace, tmp_path: Path) -> Shell:
    """With the newest kubectl."""
    found = binaries()
    if not found:
        pytest.skip(MISSING)
    return Shell(found[0], shared.server.data_dir / "kubeconfig", tmp_path / "shell")
