"""Clusters for the tests of the Raft log; what a test made is closed after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from raft_cluster import RaftCluster


@pytest.fixture
def raft(tmp_path: Path) -> Iterator[Callable[..., RaftCluster]]:
    made: list[RaftCluster] = []

    def make(size: int = 3, **options: Any) -> RaftCluster:
        made.append(RaftCluster(tmp_path / str(len(made)), size, **options))
        return made[-1]

    yield make
    for cluster in made:
        cluster.close()
        cluster.runtime.finish()
