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


BUSY = 100  # millicores: a tenth of a core is left for a program that takes all it gets


def cells(line: str) -> list[str]:
    return line.split()


def shown(kubectl: Shell, asked: str) -> list[list[str]]:
    """The cells of `kubectl top`; none before there are measurements."""
    text, code = kubectl.run(f"kubectl top {asked}")
    return [cells(line) for line in text.splitlines()] if code == 0 else []


def is_busy(cell: str) -> bool:
    return bool(re.fullmatch(r"\d+m", cell)) and millicores(cell) > BUSY


def millicores(cell: str) -> int:
    assert re.fullmatch(r"\d+m", cell), cell
    return int(cell[:-1])


def test_pods_and_their_containers(pods: None, kubectl: Shell) -> None:
    def measured() -> list[list[str]]:
        found = shown(kubectl, "pods --containers")
        return found if any(len(row) == 4 and row[1] == "hot" and is_busy(row[2]) for row in found) else []

    header, *rows = soon(measured, "the pod is measured while it burns what it gets")
    assert header == ["POD", "NAME", "CPU(cores)", "MEMORY(bytes)"]
    used = {name: (millicores(cpu), memory) for _, name, cpu, memory in rows}
    assert set(used) == {"hot", "cold"}
    assert used["cold"][0] < BUSY, used
    assert all(re.fullmatch(r"\d+Mi", memory) for _, memory in used.values())
    soon(lambda: [is_busy(row[1]) for row in shown(kubectl, "pod burns --no-headers")] == [True], "it as a whole")
    assert kubectl.run("kubectl top pods -l app=none")[0].startswith("No resources found")


def test_nodes(pods: None, host: Host, kubectl: Shell) -> None:
    def measured() -> list[str]:
        rows = shown(kubectl, "nodes --no-headers")
        return rows[0] if len(rows) == 1 and is_busy(rows[0][1]) else []

    name, _, share, memory, memory_share = soon(measured, "the node is measured")
    assert name == host.name
    assert share.endswith("%")
    assert int(memory.removesuffix("Mi")) > 0
    assert 0 < int(memory_share.removesuffix("%")) <= 100


def test_numbers_for_prometheus(pods: None, host: Host, newest: Shell) -> None:
    def seconds() -> float:
        text = newest.ok(f"get --raw /api/v1/nodes/{host.name}/proxy/metrics/resource")
        found = re.search(
            r'container_cpu_usage_seconds_total\{container="hot",namespace="default",pod="burns"\} (\S+)', text
        )
        return float(found[1]) if found is not None else 0.0

    soon(lambda: seconds() > 0.1, "it has burned something")

    def of_agent() -> str:
        return newest.ok(f"get --raw /api/v1/nodes/{host.name}/proxy/metrics")

    soon(lambda: re.search(r"kmini_events_written_total [1-9]", of_agent()), "events are written, and counted")
    own = of_agent()
    assert re.search(r'kubelet_runtime_operations_total\{operation_type="run_podsandbox"\} [1-9]', own)
    assert re.search(r"kubelet_pod_start_duration_seconds_count [1-9]", own)
    assert "kubelet_running_pods 1\n" in own
