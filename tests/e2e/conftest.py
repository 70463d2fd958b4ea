"""Tests on a real containerd. Each host is made for one module and is gone after it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from container_host import Host, container_host, missing


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
