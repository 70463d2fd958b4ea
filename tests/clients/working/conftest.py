"""A cluster that works, with nodes: one for all clients, each of which has namespaces of its own while it is there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kmini_process import Server
from working_cluster import working_cluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with working_cluster(tmp_path_factory.mktemp("cluster")) as server:
        yield server
