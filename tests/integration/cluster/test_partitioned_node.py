"""A node that the servers do not hear is taken for lost, its pods are made elsewhere, and none runs twice after."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from controllers_process import until
from controllers_world_objects import deployment
from kmini.cluster import Cluster
from rollout_watch import is_live, is_ready

from apiserver.api.core.node import Node
from apiserver.api.core.pod import Pod
from apiserver.client import Client

REPLICAS = 6
LOST_AFTER_S = 40.0  # without a renewed lease, as Kubernetes has it
BACK_AFTER_S = 120.0  # an agent's watch leaves a connection that says nothing within half a minute
LEAVE_SOON = [
    {"key": f"node.kubernetes.io/{taint}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}
    for taint in ("unreachable", "not-ready")
]


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("lost"), servers=1, nodes=2, tmpfs=True, runtime="fake") as cluster:
        yield cluster


async def pods_of(client: Client, node: str = "") -> list[Pod]:
    return [pod async for pod in client.list(Pod, namespace="default") if node in ("", pod.spec.node_name)]


async def readiness(client: Client, node: str) -> str:
    found = await client.get(Node, node)
    return next((each.status for each in found.status.conditions if each.type == "Ready"), "")


@pytest.mark.timeout(500)
def test_a_lost_node_comes_back(cluster: Cluster) -> None:
    async def body() -> None:
        async with Client.from_kubeconfig(cluster.kubeconfig) as client:
            small = {"cpu": "", "memory": "", "tolerations": LEAVE_SOON}
            await client.create(deployment("web", REPLICAS, pod=small))

            async def all_ready() -> bool:
                return sum(map(is_ready, await pods_of(client))) == REPLICAS

            await until(all_ready, what="the rollout", timeout_s=120)
            lost = {pod.metadata.uid for pod in await pods_of(client, "n1")}
            assert lost

            await asyncio.to_thread(cluster.partition, "n1", "s1")

            async def taken_for_lost() -> bool:
                return await readiness(client, "n1") == "Unknown"

            async def made_elsewhere() -> bool:
                return sum(map(is_ready, await pods_of(client, "n2"))) == REPLICAS

            await until(taken_for_lost, what="the node is taken for lost", timeout_s=2 * LOST_AFTER_S)
            await until(made_elsewhere, what="new pods on the other node", timeout_s=90)
            left = await pods_of(client, "n1")
            assert {pod.metadata.uid for pod in left} == lost  # nobody can say that they have ended
            assert not any(map(is_live, left))

            await asyncio.to_thread(cluster.heal)

            async def as_declared() -> bool:
                pods = await pods_of(client)
                return await readiness(client, "n1") == "True" and len(pods) == sum(map(is_ready, pods)) == REPLICAS

            await until(as_declared, what="exactly what was declared", timeout_s=BACK_AFTER_S)
            assert not lost & {pod.metadata.uid for pod in await pods_of(client)}

    asyncio.run(body())
