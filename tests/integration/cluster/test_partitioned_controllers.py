"""The server whose controllers act is cut off in the middle of a rolling update: another's go on, the old ones stop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest
from controllers_process import until
from controllers_world_objects import deployment
from kmini.api import admin_context, request
from kmini.cluster import Cluster
from rollout_watch import RolloutWatch

from apiserver.api.apps import Deployment
from apiserver.api.coordination import Lease
from apiserver.api.errors import ApiError
from apiserver.client import Client, Patch
from controlplane.runtime.election import NAMESPACE
from controlplane.runtime.manager import LEASE

REPLICAS, SURGE, UNAVAILABLE = 100, 25, 25  # Kubernetes' defaults: a quarter each
TAKEOVER_S = 60.0
AGENTS_MOVE_S = 60.0  # a watch leaves a server that it does not hear any more within half a minute
LABELS = {"app": "web"}
SMALL = {"cpu": "", "memory": ""}  # a node has as many cores as this machine
Condition = Callable[[], Awaitable[bool]]
OLD, NEW = "example.com/sample:1", "example.com/sample:2"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("controllers"), servers=3, nodes=2, tmpfs=True, runtime="fake") as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def _healed(cluster: Cluster) -> Iterator[None]:
    yield
    cluster.heal()
    cluster.wait_ready()


def client_of(cluster: Cluster, *servers: str) -> Client:
    """An admin in the root namespace, which no cut between hosts concerns, with these servers and no other."""
    urls = tuple(f"https://{cluster.hosts[name].address}:6443" for name in servers)
    return Client.from_kubeconfig(cluster.kubeconfig, servers=urls, learn=False)


async def holder(client: Client) -> str:
    """The server whose controllers act."""
    try:
        lease = await client.get(Lease, LEASE, namespace=NAMESPACE)
    except ApiError:
        return ""
    return (lease.spec.holder_identity or "").partition("_")[0]


def thinks_it_leads(cluster: Cluster, server: str) -> bool:
    address = f"{cluster.hosts[server].address}:6443"
    lines = request(address, admin_context(cluster.files.pki), "GET", "/metrics").decode().splitlines()
    (value,) = (line.split()[-1] for line in lines if line.startswith("leader_election_master_status{"))
    return float(value) == 1


@pytest.mark.timeout(600)
@pytest.mark.parametrize("one_way", [False, True])
def test_a_rolling_update_outlives_a_leader_that_is_cut_off(cluster: Cluster, one_way: bool) -> None:
    """From the other servers and the nodes, both ways or only in what it sends."""
    name = f"web-{int(one_way)}"

    async def acting() -> str:
        async with client_of(cluster, *("s1", "s2", "s3")) as client:
            return str(await until(lambda: holder(client), what="controllers that act"))

    async def body(old: str) -> None:
        others = {"s1", "s2", "s3"} - {old}
        async with client_of(cluster, *others) as client:
            await client.create(deployment(name, REPLICAS, labels=LABELS, image=OLD, pod=SMALL))
            async with RolloutWatch(client) as first:
                await until(complete(first, OLD), what="the first rollout", timeout_s=150)
            async with RolloutWatch(client) as watch:
                change = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": NEW}]
                await client.patch(Deployment, name, change, Patch.JSON, namespace="default")
                await until(more(watch, REPLICAS + 30), what="the second rollout is under way", timeout_s=60)
                assert not watch.complete(NEW, REPLICAS)

                await asyncio.to_thread(cluster.partition, old, one_way=one_way)
                await until(taken_over(client, others), what="another's controllers", timeout_s=TAKEOVER_S)
                await until(stopped(cluster, old), what="the old controllers' end", timeout_s=TAKEOVER_S)
                await until(complete(watch, NEW), what="the second rollout", timeout_s=AGENTS_MOVE_S + 120)

                await asyncio.to_thread(cluster.heal)
                await asyncio.to_thread(cluster.wait_ready)
                await asyncio.sleep(3)  # what one that came back would still do
                assert watch.complete(NEW, REPLICAS)
                assert watch.most <= REPLICAS + SURGE
                assert watch.least >= REPLICAS - UNAVAILABLE
                assert len(watch.made) == 2 * REPLICAS
                await client.delete(Deployment, name, namespace="default")
                await until(empty(watch), what="the Deployment's end", timeout_s=60)

    asyncio.run(body(asyncio.run(acting())))


def complete(watch: RolloutWatch, image: str) -> Condition:
    async def condition() -> bool:
        return watch.complete(image, REPLICAS)

    return condition


def more(watch: RolloutWatch, pods: int) -> Condition:
    async def condition() -> bool:
        return len(watch.made) > pods

    return condition


def empty(watch: RolloutWatch) -> Condition:
    async def condition() -> bool:
        return not list(watch.pods.cache)

    return condition


def taken_over(client: Client, others: set[str]) -> Condition:
    async def condition() -> bool:
        return await holder(client) in others

    return condition


def stopped(cluster: Cluster, server: str) -> Condition:
    async def condition() -> bool:
        return not await asyncio.to_thread(thinks_it_leads, cluster, server)

    return condition
