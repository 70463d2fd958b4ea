"""One control plane and one agent with real containers, for all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from container_agent import agent_of, server_of
from container_host import Host
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
