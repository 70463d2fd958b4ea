"""Tests on a real containerd. Each host is made for one module and is gone after it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from container_agent import agent_of, server_of, wait_for_node_api
from container_host import Host, container_host, missing
from pods_place import PodsPlace
from time_limits import limit


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    limit(items, Path(__file__).parent, 600)


@pytest.fixture(scope="session")
def containers() -> None:
    """Skips whoever needs real containers where there can be none."""
    reason = missing()
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="module")
def host(containers: None) -> Iterator[Host]:
    with container_host() as made:
        yield made


@pytest.fixture(scope="module")
def shared(host: Host) -> Iterator[PodsPlace]:
    """One control plane and one agent with real containers, for all tests of a module."""
    with server_of(host) as server, agent_of(host, server):
        made = PodsPlace(host, server)
        made.until(made.is_ready, "the node is ready")
        wait_for_node_api(host, server)
        yield made


@pytest.fixture
def place(shared: PodsPlace) -> Iterator[PodsPlace]:
    """Without pods before and after."""
    yield shared
    shared.forget()
