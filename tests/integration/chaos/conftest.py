"""Three servers that several tests may hurt, one after the other: each leaves them running, with a vote each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kmini_process import Server
from server_faults import voters


@pytest.fixture(scope="package")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    with voters(tmp_path_factory.mktemp("servers")) as started:
        yield started
