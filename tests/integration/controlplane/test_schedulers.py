"""Schedulers on a real server: two that race for the same room, and pods that come from Deployments."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from controllers_process import until
from controllers_world_objects import deployment, namespace, node, pod
from kmini_process import Server, running

from apiserver.api.core.event import Event
from apiserver.api.core.node import Node
from apiserver.api.core.pod import Pod
from apiserver.api.meta import DeleteOptions
from apiserver.api.pod_requests import CPU, PODS, amount, requests_of
from apiserver.client import Client, Informers
from controlplane.runtime.context import Context
from controlplane.scheduler import parts

ALONE = {"tier": "race"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Whose own controllers are all but those that would take silent nodes for lost."""
    controllers = "in-process,-node-lifecycle,-node-ipam"
    found = Server("n1", tmp_path_factory.mktemp("schedulers") / "n1", "--etcd-port", "0", controllers=controllers)
    with running(found):
        yield found


@asynccontextmanager
async def admin(server: Server) -> AsyncIterator[Client]:
    async with Client.from_kubeconfig(server.data_dir / "kubeconfig", learn=False) as client:
        yield client


@asynccontextmanager
async def second_scheduler(server: Server) -> AsyncIterator[None]:
    """For the same pods, knowing nothing of the server's own."""
    async with admin(server) as client:
        informers = Informers(client)
        context = Context(client, informers, identity="second")
        made = [context.recorder, *parts(context)]
        async with informers, asyncio.TaskGroup() as group:
            tasks = [group.create_task(part.run(), name=part.name) for part in made]
            await informers.wait_for_sync()
            yield
            for task in tasks:
                task.cancel()


async def pods_of(client: Client, place: str) -> list[Pod]:
    return [each async for each in client.list(Pod, namespace=place)]


async def placed(client: Client, place: str) -> int:
    return sum(bool(each.spec.node_name) for each in await pods_of(client, place))


async def check_nodes(client: Client) -> None:
    """No node has more than it has to give."""
    pods = [each async for each in client.list(Pod)]
    async for each in client.list(Node):
        used = {CPU: 0, PODS: 0}
        for found in pods:
            if found.spec.node_name == each.metadata.name:
                for resource in used:
                    used[resource] += requests_of(found).get(resource, 0)
        for resource, number in used.items():
            assert number <= amount(resource, each.status.allocatable[resource]), (each.metadata.name, used)


async def create_all(client: Client, pods: list[Pod]) -> None:
    await asyncio.gather(*(client.create(each) for each in pods))


def test_two_schedulers_race_for_full_nodes_and_all_that_fits_is_bound(server: Server) -> None:
    """Room for 5 nodes x 4 pods of 500m on nodes of 2 CPUs; 26 want it. Each scheduler believes to be alone."""

    async def test() -> None:
        async with admin(server) as client, second_scheduler(server):
            await client.create(namespace("race"))
            for number in range(5):
                await client.create(node(f"race-{number}", cpu="2", labels=ALONE))
            wanted = [pod(f"p{number}", namespace="race", cpu="500m", nodeSelector=ALONE) for number in range(26)]
            await create_all(client, wanted)

            async def full() -> bool:
                return await placed(client, "race") == 20

            await until(full)
            await check_nodes(client)
            gone = [each for each in await pods_of(client, "race") if each.spec.node_name][:6]
            now = DeleteOptions(grace_period_seconds=0)
            for each in gone:
                await client.delete(Pod, each.metadata.name, namespace="race", options=now)

            async def all_of_them() -> bool:
                return await placed(client, "race") == len(await pods_of(client, "race")) == 20

            await until(all_of_them)
            await check_nodes(client)

    asyncio.run(test())


def test_pods_of_a_deployment_are_scheduled_and_told_where(server: Server) -> None:
    async def test() -> None:
        async with admin(server) as client:
            await client.create(namespace("web"))
            for number in range(3):
                await client.create(node(f"web-{number}", zone="abc"[number], labels={"tier": "web"}))
            wanted = deployment("web", 9, namespace="web", pod={"nodeSelector": {"tier": "web"}, "cpu": "100m"})
            await client.create(wanted)

            async def bound() -> bool:
                return await placed(client, "web") == 9

            await until(bound)
            nodes = [each.spec.node_name for each in await pods_of(client, "web")]
            assert sorted(map(nodes.count, set(nodes))) == [3, 3, 3], "spread over zones and nodes by default"

            async def told() -> bool:
                found = [each async for each in client.list(Event, namespace="web")]
                return sum(each.reason == "Scheduled" for each in found) == 9

            await until(told)

    asyncio.run(test())
