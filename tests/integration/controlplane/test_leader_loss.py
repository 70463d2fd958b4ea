"""The replica that runs the controllers dies, hangs or is cut off in the middle of a rolling update of 100 pods."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from controllers_process import until
from controllers_world_objects import deployment
from kmini_process import Server
from rollout_watch import RolloutWatch
from server_faults import leader_of, voters

from apiserver.api.apps import Deployment, ReplicaSet
from apiserver.api.coordination import Lease
from apiserver.api.errors import ApiError
from apiserver.client import Client, Patch
from controlplane.runtime.election import NAMESPACE
from controlplane.runtime.manager import LEASE
from nodeagent.simulation import SimulatedNodes

REPLICAS, SURGE, UNAVAILABLE = 100, 25, 25  # Kubernetes' defaults: a quarter each
TAKEOVER_S = 60.0
LABELS = {"app": "web"}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    with voters(tmp_path_factory.mktemp("servers"), controllers="in-process") as started:
        yield started


@asynccontextmanager
async def admin(servers: list[Server]) -> AsyncIterator[Client]:
    urls = tuple(f"https://127.0.0.1:{server.api_port}" for server in servers)
    async with Client.from_kubeconfig(servers[0].data_dir / "kubeconfig", servers=urls, learn=False) as client:
        yield client


async def holder(client: Client) -> str:
    try:
        lease = await client.get(Lease, LEASE, namespace=NAMESPACE)
    except ApiError:
        return ""
    return (lease.spec.holder_identity or "").partition("_")[0]


@pytest.mark.timeout(500)
@pytest.mark.parametrize("fault", ["kill", "pause"])
def test_a_rolling_update_outlives_its_leader(servers: list[Server], fault: str, tmp_path: Path) -> None:
    name = f"web-{fault}"

    async def body() -> None:
        async with admin(servers) as client, SimulatedNodes(client, count=10, remove=True) as nodes:
            await nodes.wait_registered()
            await client.create(deployment(name, REPLICAS, labels=LABELS, image="example.com/sample:1"))
            seen = RolloutWatch(client)
            async with seen:
                await until(done(seen, "example.com/sample:1"), what="the first rollout", timeout_s=150)
            async with RolloutWatch(client) as watch:
                change = [
                    {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "example.com/sample:2"}
                ]
                await client.patch(Deployment, name, change, Patch.JSON, namespace="default")

                async def under_way() -> bool:
                    return len(watch.made) > REPLICAS + 30

                await until(under_way, what="the second rollout is under way", timeout_s=60)
                leader = await asyncio.to_thread(leader_of, servers)
                await strike(client, servers, leader, fault, watch)
                await until(done(watch, "example.com/sample:2"), what="the second rollout", timeout_s=120)
                if fault == "pause":
                    leader.send(signal.SIGCONT)
                else:
                    leader.start()
                    await asyncio.to_thread(leader.wait_ready)
                await asyncio.sleep(3)  # what a leader that came back would still do
                assert watch.complete("example.com/sample:2", REPLICAS)
                assert watch.most <= REPLICAS + SURGE
                assert watch.least >= REPLICAS - UNAVAILABLE
                assert len(watch.made) == 2 * REPLICAS
                sets = [each for each in watch.replica_sets.cache if each.metadata.name.startswith(f"{name}-")]
                assert sorted(replicas_of(each) for each in sets) == [0, REPLICAS]
            await client.delete(Deployment, name, namespace="default")

            async def gone() -> bool:
                return not [pod async for pod in client.list(ReplicaSet, namespace="default")]

            await until(gone, what="the Deployment's end", timeout_s=60)

    asyncio.run(body())


async def strike(client: Client, servers: list[Server], leader: Server, fault: str, watch: RolloutWatch) -> None:
    """And wait for the others to take over."""
    if fault == "pause":
        leader.send(signal.SIGSTOP)
    else:
        await asyncio.to_thread(leader.kill)
    others = {server.name for server in servers} - {leader.name}

    async def taken_over() -> bool:
        return await holder(client) in others

    await until(taken_over, what="another replica's controllers", timeout_s=TAKEOVER_S)


def done(watch: RolloutWatch, image: str) -> Callable[[], Awaitable[bool]]:
    async def condition() -> bool:
        return watch.complete(image, REPLICAS)

    return condition


def replicas_of(found: ReplicaSet) -> int:
    return found.spec.replicas or 0
