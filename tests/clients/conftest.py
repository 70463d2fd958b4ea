"""Real clients against real servers: one server for each kubectl, so that what they print does not mix."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kmini_process import Server, running
from kubectl_binaries import MISSING, Kubectl, binaries
from ports import free_ports


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kubectl" in metafunc.fixturenames:
        params: list[object] = [*binaries()] or [pytest.param(None, marks=pytest.mark.skip(reason=MISSING))]
        metafunc.parametrize("kubectl", params, ids=str, indirect=True, scope="module")


@pytest.fixture(scope="module")
def kubectl(request: pytest.FixtureRequest) -> Kubectl:
    found: Kubectl = request.param
    return found


@pytest.fixture(scope="module")
def server(kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A replica alone, for one kubectl."""
    peer_port, api_port = free_ports(2)
    one = Server("n1", tmp_path_factory.mktemp(f"server-{kubectl}") / "n1", ports=(peer_port, 0, api_port))
    with running(one):
        yield one
