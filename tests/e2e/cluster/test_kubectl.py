"""kubectl on three servers and two nodes: whichever server is asked, it leads to whatever node the pod is on."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_containers import as_declared, sample_deployment, watching
from controllers_process import until
from kmini.cluster import Cluster
from kmini_process import eventually
from kubectl_binaries import MISSING, binaries
from kubectl_shell import Shell
from sure_writes import create_surely
from terminal import terminal

from apiserver.client import Client

SERVERS = ("s1", "s2", "s3")
REPLICAS = 4
ROLLED_OUT_WITHIN_S = 180.0


@pytest.fixture(scope="module")
def pods(shared_cluster: Cluster) -> Iterator[list[str]]:
    """One on each node."""

    async def roll_out() -> None:
        async with Client.from_kubeconfig(shared_cluster.kubeconfig) as client, watching(shared_cluster) as watch:
            await create_surely(client, sample_deployment("asked", REPLICAS))
            await until(
                lambda: as_declared(client, watch, "asked", REPLICAS), what="pods", timeout_s=ROLLED_OUT_WITHIN_S
            )

    asyncio.run(roll_out())
    shell = Shell(binaries()[0], shared_cluster.kubeconfig, shared_cluster.files.folder / "ask") if binaries() else None
    if shell is None:
        pytest.skip(MISSING)
    shown = shell.ok("get pods -l app=asked -o jsonpath='{range .items[*]}{.spec.nodeName}={.metadata.name} {end}'")
    by_node = dict(each.split("=") for each in shown.split())
    assert sorted(by_node) == ["n1", "n2"]
    for node in by_node:  # a pod may run before its node has the certificate of its own port
        ask = f"kubectl get --raw /api/v1/nodes/{node}/proxy/healthz"
        eventually(lambda ask=ask: shell.run(ask)[1] == 0, 180, f"{node} answers")
    for pod in by_node.values():  # and before it listens
        ask = f"kubectl exec {pod} -- wget -qO- http://127.0.0.1:8080/"
        eventually(lambda ask=ask: shell.run(ask)[1] == 0, 180, f"{pod} listens")
    yield list(by_node.values())
    shell.ok("delete deployment asked")


@pytest.fixture
def kubectl(shared_cluster: Cluster, pods: list[str], tmp_path: Path) -> Shell:
    return Shell(binaries()[0], shared_cluster.kubeconfig, tmp_path / "work")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("server", SERVERS)
def test_every_server_leads_to_every_node(kubectl: Shell, pods: list[str], server: str) -> None:
    for pod in pods:
        assert kubectl.run(f"echo x | kubectl --context {server} exec -i {pod} -- cat") == ("x\n", 0)
        assert kubectl.run(f"kubectl --context {server} exec {pod} -- sh -c 'exit 7'")[1] == 7
        (kubectl.folder / "copied").write_text("copied\n")
        assert kubectl.run(f"kubectl --context {server} cp copied {pod}:/tmp/copied") == ("", 0)
        assert kubectl.ok(f"--context {server} exec {pod} -- cat /tmp/copied") == "copied\n"
        with (
            kubectl.forwarding("--context", server, f"pod/{pod}") as port,
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=120) as answer,
        ):
            assert answer.read().decode() == f"{pod}\n"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("server", SERVERS)
def test_logs_are_followed_through_every_server(kubectl: Shell, pods: list[str], server: str) -> None:
    for pod in pods:
        following = kubectl.start(["--context", server, "logs", "-f", "--tail=10", pod])
        try:
            kubectl.ok(f"exec {pod} -- sh -c 'echo said through {server} > /proc/1/fd/1'")
            assert following.stdout is not None
            for line in following.stdout:
                if line == f"said through {server}\n":
                    break
            else:
                raise AssertionError("it ended without the line")
        finally:
            following.kill()
            following.communicate()


@pytest.mark.timeout(900)
def test_a_shell_on_a_terminal(kubectl: Shell, pods: list[str]) -> None:
    for server, pod in zip(SERVERS, pods, strict=False):
        command = ["kubectl", "--context", server, "exec", "-it", pod, "--", "sh"]
        with terminal(command, columns=80, rows=24, env=kubectl.environment, cwd=kubectl.folder) as shown:
            shown.wait_for("# ")
            shown.type("echo $((6 * 7))\n")
            shown.wait_for("42")
            shown.type("exit 5\n")
            assert shown.exit_code() == 5
