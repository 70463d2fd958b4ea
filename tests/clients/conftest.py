"""Real clients against real servers: one server for each kubectl, so that what they print does not mix."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kmini_process import Server, running
from kubectl_binaries import MISSING, Kubectl, binaries
from ports import free_ports
from time_limits import limit


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    limit(items, Path(__file__).parent, 600)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kubectl" in metafunc.fixturenames:
        params: list[object] = [*binaries()] or [pytest.param(None, marks=pytest.mark.skip(reason=MISSING))]
        metafunc.parametrize("kubectl", params, ids=str, indirect=True, scope="module")


@pytest.fixture(scope="module")
def kubectl(request: pytest.FixtureRequest) -> Kubectl:
    found: Kubectl = request.param
    return found


def _alone(folder: Path) -> Server:
    peer_port, api_port = free_ports(2)
    return Server("n1", folder / "n1", ports=(peer_port, 0, api_port))


@pytest.fixture(scope="module")
def server(kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A replica alone, for one kubectl."""
    one = _alone(tmp_path_factory.mktemp(f"server-{kubectl}"))
    with running(one):
        yield one


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A replica alone, for all the clients written in Python."""
    one = _alone(tmp_path_factory.mktemp("server"))
    with running(one):
        yield one
