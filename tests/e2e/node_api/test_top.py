"""`kubectl top` of real containers: what containerd counts, as rates."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from container_agent import PODS, asked, container, make_pod, phase, soon
from container_host import Host
from kmini_process import Server
from kubectl_shell import Shell


@pytest.fixture(scope="module")
def pods(server: Server) -> Iterator[None]:
    make_pod(server, "burns", container("hot", "while true; do :; done"), container("cold", "sleep 1000"))
    soon(lambda: phase(server, "burns") == "Running", "the pod runs")
    yield
    asked(server, "DELETE", f"{PODS}/burns?gracePeriodSeconds=0")


def cells(line: str) -> list[str]:
    return line.split()


def millicores(cell: str) -> int:
    assert re.fullmatch(r"\d+m", cell), cell
    return int(cell[:-1])


def test_pods_and_their_containers(pods: None, kubectl: Shell) -> None:
    soon(lambda: "burns" in kubectl.run("kubectl top pods")[0], "the pod is measured")
    header, *rows = map(cells, kubectl.ok("top pods --containers").splitlines())
    assert header == ["POD", "NAME", "CPU(cores)", "MEMORY(bytes)"]
    used = {name: (millicores(cpu), memory) for _, name, cpu, memory in rows}
    assert set(used) == {"hot", "cold"}
    assert used["hot"][0] > 100 > used["cold"][0], used
    assert all(re.fullmatch(r"\d+Mi", memory) for _, memory in used.values())
    (row,) = map(cells, kubectl.ok("top pod burns --no-headers").splitlines())
    assert millicores(row[1]) > 100
    assert kubectl.run("kubectl top pods -l app=none")[0].startswith("No resources found")


def test_nodes(pods: None, host: Host, kubectl: Shell) -> None:
    (row,) = map(cells, kubectl.ok("top nodes --no-headers").splitlines())
    name, cpu, share, memory, memory_share = row
    assert name == host.name
    assert millicores(cpu) > 100
    assert share.endswith("%")
    assert int(memory.removesuffix("Mi")) > 0
    assert 0 < int(memory_share.removesuffix("%")) <= 100


def test_numbers_for_prometheus(pods: None, host: Host, newest: Shell) -> None:
    text = newest.ok(f"get --raw /api/v1/nodes/{host.name}/proxy/metrics/resource")
    found = re.search(
        r'container_cpu_usage_seconds_total\{container="hot",namespace="default",pod="burns"\} (\S+)', text
    )
    assert found is not None
    assert float(found[1]) > 0.1
    own = newest.ok(f"get --raw /api/v1/nodes/{host.name}/proxy/metrics")
    assert re.search(r'kubelet_runtime_operations_total\{operation_type="run_podsandbox"\} [1-9]', own)
    assert re.search(r"kubelet_pod_start_duration_seconds_count [1-9]", own)
    assert "kubelet_running_pods 1\n" in own
    assert re.search(r"kmini_events_written_total [1-9]", own)
