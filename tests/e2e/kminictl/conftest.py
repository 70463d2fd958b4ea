"""One control plane and one agent with real containers, and kminictl in kubectl's place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from container_agent import agent_of, server_of, wait_for_node_api
from container_host import Host
from kmini_process import Server
from kminictl_program import kminictl_program
from kubectl_shell import Shell


@pytest.fixture(scope="module")
def server(host: Host) -> Iterator[Server]:
    with server_of(host) as made, agent_of(host, made):
        wait_for_node_api(host, made)
        yield made


@pytest.fixture
def kubectl(server: Server, tmp_path: Path) -> Shell:
    return Shell(kminictl_program(tmp_path), server.data_dir / "kubeconfig", tmp_path / "work")
