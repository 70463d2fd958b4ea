"""Nodes on hosts of their own for the tests of a module."""

from __future__ import annotations

import pytest
from cluster_hosts import missing


@pytest.fixture(scope="session", autouse=True)
def hosts(containers: None) -> None:
    if reason := missing():
        pytest.skip(reason)
