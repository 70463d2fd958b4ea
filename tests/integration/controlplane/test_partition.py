"""The replica that leads is cut off from the others: they take over, it stops acting, and in the end there is
exactly what was declared."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from controllers_process import until
from controllers_world_objects import deployment, node
from kmini.controlling import Controlled
from kmini.dev.control_plane import ControlPlane

from apiserver.api.apps import Deployment
from apiserver.api.coordination import Lease
from apiserver.api.core.pod import Pod
from apiserver.api.errors import ApiError
from apiserver.client import CallOptions, Client, requests
from controlplane.runtime.election import NAMESPACE
from controlplane.runtime.manager import LEASE

TAKEOVER_S = 60.0
PODS = 30
PATIENT = CallOptions(timeout_s=60.0, try_timeout_s=10.0)
#: Nobody beats for the nodes of this test.
WITHOUT = Controlled("in-process", ("node-lifecycle",))


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    with ControlPlane(replicas=3, controllers=WITHOUT) as found:
        yield found


def client_of(plane: ControlPlane, *names: str) -> Client:
    servers = [plane.servers[name] for name in names or plane.names]
    return Client.from_kubeconfig(plane.kubeconfig, servers=servers, learn=False, options=PATIENT)


async def holder(client: Client) -> str:
    lease = await client.get(Lease, LEASE, namespace=NAMESPACE)
    return (lease.spec.holder_identity or "").partition("_")[0]


async def leads(client: Client) -> bool:
    """Whether the controllers of the server run, by its own numbers."""
    text = (await client.send(requests.get("/metrics"))).body.decode()
    return 'leader_election_master_status{name="kmini-controllers"} 1.0' in text


async def live_pods(client: Client) -> list[Pod]:
    pods = [pod async for pod in client.list(Pod, namespace="default")]
    return [pod for pod in pods if pod.metadata.deletion_timestamp is None]


def test_the_others_take_over_and_the_old_one_stops(plane: ControlPlane) -> None:
    async def before() -> None:
        async with client_of(plane) as client:
            await client.create(node("node-1", cpu="64", memory="64Gi"))
            await client.create(deployment("web", PODS))
            await until(lambda: complete(client, PODS), what="the Deployment is complete")

    asyncio.run(before())
    old = plane.leader
    others = [name for name in plane.names if name != old]
    plane.partition(old)

    async def meanwhile() -> None:
        async with client_of(plane, *others) as client, client_of(plane, old) as alone:

            async def taken_over() -> bool:
                try:
                    return await holder(client) in others
                except ApiError:
                    return False

            await until(taken_over, timeout_s=TAKEOVER_S, what="another replica's controllers")

            async def stopped() -> bool:
                return not await leads(alone)

            await until(stopped, what="the end of the old one's term")
            await client.patch(Deployment, "web", {"spec": {"replicas": 2 * PODS}}, namespace="default")
            await until(lambda: complete(client, 2 * PODS), what="the others' work")

    asyncio.run(meanwhile())
    plane.heal()

    async def after() -> None:
        async with client_of(plane) as client, client_of(plane, old) as alone:
            page = await client.list_page(Pod, namespace="default")
            await until(lambda: caught_up(alone), what="the old one is one of them again")
            await until(lambda: one_acts(client, alone, old), what="one server's controllers act, and no other's")
            again = await client.list_page(Pod, namespace="default")
            assert {pod.metadata.uid for pod in again.items} == {pod.metadata.uid for pod in page.items}
            assert len(again.items) == 2 * PODS

    asyncio.run(after())


async def complete(client: Client, number: int) -> bool:
    """So many pods, and each has its node."""
    pods = await live_pods(client)
    return len(pods) == number and all(pod.spec.node_name for pod in pods)


async def one_acts(client: Client, alone: Client, old: str) -> bool:
    """Of the old one and the others; it may have been chosen again by now."""
    return (await holder(client) == old) == await leads(alone)


async def caught_up(client: Client) -> bool:
    try:
        return len(await live_pods(client)) == 2 * PODS
    except ApiError:
        return False
