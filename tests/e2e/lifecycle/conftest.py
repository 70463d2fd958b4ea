"""kubectl for tests that look at pods as people do."""

from __future__ import annotations

from pathlib import Path

import pytest
from kubectl_binaries import MISSING, Kubectl, binaries
from kubectl_shell import Shell
from pods_place import PodsPlace

FOUND: list[Kubectl | None] = [*binaries()] or [None]


@pytest.fixture(params=FOUND, ids=str)
def every_kubectl(request: pytest.FixtureRequest, shared: PodsPlace, tmp_path: Path) -> Shell:
    """With each of them, one after another."""
    return _shell(request.param, shared, tmp_path)


@pytest.fixture
def shell(shared: PodsPlace, tmp_path: Path) -> Shell:
    """With the newest."""
    return _shell(FOUND[0], shared, tmp_path)


def _shell(kubectl: Kubectl | None, place: PodsPlace, folder: Path) -> Shell:
    if kubectl is None:
        pytest.skip(MISSING)
    return Shell(kubectl, place.server.data_dir / "kubeconfig", folder / "shell")
