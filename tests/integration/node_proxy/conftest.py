"""A server, an agent of one node, and a client's connection."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from api_server import RunningApi, api_thread
from node_agent import Agent, node_agent
from node_world import NODE, set_node
from raw_http import RawConnection, raw_connection


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApi]:
    with api_thread(tmp_path_factory.mktemp("api")) as running:
        yield running


@pytest.fixture
def agent(api: RunningApi, tmp_path: Path) -> Iterator[Agent]:
    with node_agent(api.pki_dir, NODE, tmp_path) as running:
        set_node(api, NODE, running.port)
        yield running
        assert running.errors == []


@pytest.fixture
def wire(api: RunningApi) -> Iterator[RawConnection]:
    with raw_connection((api.host, api.port), api.tls()) as connection:
        yield connection
