"""A cluster of hosts with real containers for the tests of a module, whole again before each."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_containers import wait_open
from cluster_hosts import missing
from kmini.cluster import Cluster


@pytest.fixture(scope="module")
def shared_cluster(containers: None) -> Iterator[Cluster]:
    if reason := missing():
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="kmini-", dir="/tmp"))  # short: paths of sockets are
    try:
        with Cluster(folder, servers=3, nodes=2, tmpfs=True, images=True) as cluster:
            asyncio.run(wait_open(cluster))
            yield cluster
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def cluster(shared_cluster: Cluster) -> Iterator[Cluster]:
    yield shared_cluster
    shared_cluster.heal()
    for host in shared_cluster.hosts:
        shared_cluster.resume(host)
        shared_cluster.start(host)
    shared_cluster.wait_ready()
    asyncio.run(wait_open(shared_cluster))
