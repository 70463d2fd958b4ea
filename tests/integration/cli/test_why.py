"""`kminictl why` against a real control plane, as a person runs it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from controllers_world_objects import node, pod
from kmini.testing.fixture import Kmini
from kminictl_run import Result, run_kminictl

from apiserver.api.core.node import Node
from apiserver.api.meta import TopObject

NODES = ("why-a", "why-b")


def why(kmini: Kmini, *arguments: str) -> Result:
    return run_kminictl("why", "--kubeconfig", str(kmini.kubeconfig), *arguments)


async def create(kmini: Kmini, *objects: TopObject) -> None:
    async with kmini.client as client:
        for each in objects:
            await client.create(each)
            if isinstance(each, Node):
                await client.update_status(each)


async def delete_nodes(kmini: Kmini) -> None:
    async with kmini.client as client:
        for name in NODES:
            await client.delete(Node, name)


@pytest.fixture
def cluster(kmini: Kmini) -> Iterator[Kmini]:
    taint = {"key": "team", "value": "blue", "effect": "NoSchedule"}
    asyncio.run(create(kmini, node("why-a", cpu="1"), node("why-b", cpu="1", taints=[taint])))
    yield kmini
    asyncio.run(delete_nodes(kmini))


def test_a_pod_that_waits_is_told_why_on_every_node(cluster: Kmini) -> None:
    asyncio.run(create(cluster, pod("big", namespace=cluster.namespace, cpu="2", schedulerName="nobody")))
    text = why(cluster, "big")
    assert text.exit_code == 0, text.output
    assert text.output.startswith(f"Pod {cluster.namespace}/big is on no node: 0/2 nodes are available: ")
    assert "why-a   no             Insufficient cpu\n" in text.output
    told = json.loads(why(cluster, "pod/big", "-o", "json").output)
    reasons = {each["name"]: each["reasons"] for each in told["nodes"]}
    assert reasons == {
        "why-a": ["Insufficient cpu"],
        "why-b": ["node(s) had untolerated taint {team: blue}", "Insufficient cpu"],
    }
    assert told["advice"] == ["It names the scheduler nobody: see whether that one runs."]


def test_a_pod_on_a_node_is_told_where_it_is(cluster: Kmini) -> None:
    asyncio.run(create(cluster, pod("there", namespace=cluster.namespace, node_name="why-a", cpu="500m")))
    found = why(cluster, "there", "-n", cluster.namespace)
    assert found.exit_code == 0, found.output
    assert found.output.startswith(f"Pod {cluster.namespace}/there is on node why-a (Pending).")
    assert "why-a*   yes" in found.output


def test_what_cannot_be_answered_says_so_in_one_line(kmini: Kmini, tmp_path: Path) -> None:
    missing = why(kmini, "nobody")
    assert missing.exit_code == 1
    assert missing.output == 'Error from server (NotFound): pods "nobody" not found\n'
    unreadable = run_kminictl("why", "--kubeconfig", str(tmp_path / "none"), "nobody")
    assert unreadable.exit_code == 1
    assert len(unreadable.output.splitlines()) == 1


def test_usage_errors_leave_1_as_kubectl_does(kmini: Kmini) -> None:
    assert why(kmini).exit_code == 1
    assert why(kmini, "pod", "-o", "yaml").exit_code == 1


@pytest.fixture(autouse=True)
def no_kubeconfig(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)


def test_the_kubeconfig_of_the_environment_is_used(cluster: Kmini, monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.run(create(cluster, pod("there", namespace=cluster.namespace, node_name="why-a")))
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    found = run_kminictl("why", "there")
    assert found.exit_code == 0, found.output
