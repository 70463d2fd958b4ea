"""One control plane and one agent with real containers, for all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from container_agent import agent_of, server_of
from container_host import Host
from kubectl_binaries import MISSING, binaries
from kubectl_shell import Shell
from pods_place import PodsPlace


@pytest.fixture(scope="module")
def shared(host: Host) -> Iterator[PodsPlace]:
    with server_of(host) as server, agent_of(host, server):
        yield PodsPlace(host, server)


@pytest.fixture
def place(shared: PodsPlace) -> Iterator[PodsPlace]:
    """Without pods before and after."""
    yield shared
    shared.forget()


@pytest.fixture
def shell(shared: PodsPlace, tmp_path: Path) -> Shell:
    """With the newest kubectl."""
    found = binaries()
    if not found:
        pytest.skip(MISSING)
    return Shell(found[0], shared.server.data_dir / "kubeconfig", tmp_path / "shell")
