"""Nodes are hosts too: they join by themselves, run pods, and come back as who they were."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from kmini.cluster import Cluster, report
from kmini.cluster.access import ready_nodes
from kmini_process import eventually

from apiserver.api.core.containers import Container
from apiserver.api.core.node import Node
from apiserver.api.core.pod import Pod, PodSpec
from apiserver.api.meta import ObjectMeta
from apiserver.client import Client


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("nodes"), servers=1, nodes=2, tmpfs=True, runtime="fake") as cluster:
        yield cluster


@asynccontextmanager
async def admin(cluster: Cluster) -> AsyncIterator[Client]:
    async with Client.from_kubeconfig(cluster.kubeconfig) as client:
        yield client


async def nodes(cluster: Cluster) -> dict[str, Node]:
    async with admin(cluster) as client:
        return {node.metadata.name: node async for node in client.list(Node)}


def test_nodes_are_registered_under_their_addresses(cluster: Cluster) -> None:
    found = asyncio.run(nodes(cluster))
    assert set(found) == {"n1", "n2"}
    for name, node in found.items():
        assert cluster.hosts[name].address in [address.address for address in node.status.addresses]
    eventually(lambda: report.look(cluster.state, cluster.files).healthy, what="all answer in time")


def test_a_node_runs_what_is_bound_to_it(cluster: Cluster) -> None:
    async def phase() -> str:
        async with admin(cluster) as client:
            return str((await client.get(Pod, "here", namespace="default")).status.phase)

    async def create() -> None:
        async with admin(cluster) as client:
            container = Container(name="app", image="kmini.local/sample:latest")
            spec = PodSpec(node_name="n2", containers=[container])
            await client.create(Pod(metadata=ObjectMeta(name="here", namespace="default"), spec=spec))

    asyncio.run(create())
    eventually(lambda: asyncio.run(phase()) == "Running", what="the pod to run")


def test_a_killed_node_comes_back_as_the_same_and_not_before_it_is_there(cluster: Cluster) -> None:
    before = asyncio.run(nodes(cluster))["n1"]
    cluster.kill("n1")
    facts = report.look(cluster.state, cluster.files)
    assert {host.name: (host.condition, host.ready) for host in facts.hosts}["n1"] == ("stopped", False)
    cluster.start("n1")
    cluster.wait_ready("n1")
    assert asyncio.run(nodes(cluster))["n1"].metadata.uid == before.metadata.uid


def test_ready_is_not_what_an_agent_before_said(cluster: Cluster) -> None:
    """An agent that hangs from its start renews nothing, and the Node is still Ready from before."""
    cluster.kill("n2")
    state = cluster.state
    host = state.host("n2")
    later = msgspec.structs.replace(state.host("n1").processes[0], start_ticks=1 << 60)
    pretended = state.with_host(msgspec.structs.replace(host, processes=(later,)))
    assert "n2" not in ready_nodes(pretended, cluster.files)
    cluster.start("n2")
    cluster.wait_ready("n2")
    eventually(lambda: "n2" in ready_nodes(cluster.state, cluster.files), what="the server answers in time")
