"""One control plane and one agent with real containers, for all tests of a module, and kubectl."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from container_agent import agent_of, server_of, wait_for_node_api
from container_host import Host
from kmini_process import Server
from kubectl_binaries import MISSING, Kubectl, binaries
from kubectl_shell import Shell


@pytest.fixture(scope="module")
def server(host: Host) -> Iterator[Server]:
    with server_of(host) as made, agent_of(host, made):
        wait_for_node_api(host, made)
        yield made


EVERY: list[Kubectl | None] = [*binaries()]


@pytest.fixture(params=EVERY or [None], ids=str)
def kubectl(request: pytest.FixtureRequest, server: Server, tmp_path: Path) -> Shell:
    binary: Kubectl | None = request.param
    if binary is None:
        pytest.skip(MISSING)
    return Shell(binary, server.data_dir / "kubeconfig", tmp_path / "work")
