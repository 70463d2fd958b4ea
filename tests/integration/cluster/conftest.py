"""A real cluster for the tests of a module, whole again before each; skipped where no host can be made."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cluster_hosts import missing
from kmini.cluster import Cluster


@pytest.fixture(autouse=True, scope="session")
def _a_machine_that_can() -> None:
    if reason := missing():
        pytest.skip(reason)


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster"), servers=3, tmpfs=True) as cluster:
        yield cluster


@pytest.fixture
def cluster(shared_cluster: Cluster) -> Iterator[Cluster]:
    yield shared_cluster
    shared_cluster.heal()
    for host in shared_cluster.hosts:
        shared_cluster.resume(host)
        shared_cluster.start(host)
    shared_cluster.wait_ready()
