"""All of a node's network together, on a node that is a namespace of the test's own: names, Services, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import uvloop
from dns_messages import heard, question
from fake_api import FakeApi
from pod_network import NODE, OUTSIDE, PORT, Network, missing
from service_objects import endpoint, piece, service

from apiserver.api.cluster_network import ClusterNetwork
from apiserver.api.core.node import Node, NodeAddress, NodeSpec, NodeStatus
from apiserver.api.meta import ObjectMeta
from apiserver.client import CacheFull
from nodeagent.network.firewall import let_pods_through
from nodeagent.network.node_network import NodeNetwork
from nodeagent.network.programs import run_program
from nodeagent.network.teardown import remove_network

SETTINGS = ClusterNetwork(
    dns_ip="10.96.0.10", domain="cluster.local", cluster_cidr="10.244.0.0/16", service_cidr="10.96.0.0/16"
)
VIRTUAL = "10.96.0.5"
NAME = "web.default.svc.cluster.local"
WITHIN_S = 60.0


@pytest.fixture
def network() -> Iterator[Network]:
    """This thread, and what it starts, is on the node meanwhile."""
    if reason := missing():
        pytest.skip(reason)
    made = Network(pods=2)
    try:
        made.make()
        for pod in made.pods:
            made.serve(pod)
        with made.inside(NODE):
            yield made
    finally:
        made.remove()


def api(network: Network) -> FakeApi:
    made = FakeApi()
    made.put(service("kube-dns", namespace="kube-system", cluster_ip=SETTINGS.dns_ip, protocol="UDP", port=53))
    made.put(service("web", cluster_ip=VIRTUAL))
    made.put(piece("web", *map(endpoint, network.pods)))
    return made


def node_network(made: FakeApi, folder: Path) -> NodeNetwork:
    return NodeNetwork(
        made.client(),
        "n1",
        address=NODE,
        network=SETTINGS,
        overlay="host-gw",
        memory=folder / "cluster.json",
        resolvers=Path("/dev/null"),
    )


@contextlib.asynccontextmanager
async def running(made: NodeNetwork) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(made.run())
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(look: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not await look():  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.05)


async def name_answer(network: Network, source: str) -> list[tuple[int, str]]:
    """What the DNS says to a pod, or to the node."""

    def ask() -> list[tuple[int, str]]:
        with network.datagram(source) as asking:
            asking.settimeout(0.5)
            asking.sendto(question(NAME), (SETTINGS.dns_ip, 53))
            try:
                return heard(asking.recv(512)).answers
            except OSError:
                return []

    return await asyncio.to_thread(ask)


async def served(network: Network, source: str) -> bool:
    try:
        return (await asyncio.to_thread(network.ask, source, (VIRTUAL, 80)))[0] in network.pods
    except OSError:
        return False


async def command(*words: str) -> str:
    return (await run_program(words, timeout_s=60, answer_max=1 << 20)).decode()


def test_names_and_services_are_there_for_pods_and_for_the_node(
    network: Network, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def body() -> None:
        async with running(node_network(api(network), tmp_path)):
            for source in (network.pods[0], NODE):
                await until(lambda source=source: served(network, source))  # type: ignore[misc]
                await until(lambda source=source: has_name(network, source))  # type: ignore[misc]
        assert await served(network, network.pods[0]), "packets need no agent"
        assert await name_answer(network, network.pods[0]) == []
        async with running(node_network(api(network), tmp_path)):
            await until(lambda: has_name(network, network.pods[0]))
        await remove_network("n1")
        left = await command("ip", "link") + await command("nft", "list", "ruleset") + await command("ip", "route")
        assert "kmini" not in left
        assert [record.getMessage() for record in caplog.records] == []
        assert not await served(network, network.pods[0])

    uvloop.run(body())


def test_without_the_api_all_is_made_again_from_memory(network: Network, tmp_path: Path) -> None:
    """As after a power loss: the kernel has nothing of ours."""
    pod, route = network.pods[0], f"10.244.9.0/24 via {OUTSIDE}"

    async def body() -> None:
        made = api(network)
        made.put(
            Node(
                metadata=ObjectMeta(name="n9"),
                spec=NodeSpec(pod_cidr="10.244.9.0/24"),
                status=NodeStatus(addresses=[NodeAddress(type="InternalIP", address=OUTSIDE)]),
            )
        )
        async with running(node_network(made, tmp_path)):
            await until(noted)
            await until(lambda: served(network, pod))
        await remove_network("n1")
        assert not await served(network, pod)
        made.faults.refused = 1.0
        async with running(node_network(made, tmp_path)):
            await until(lambda: served(network, pod))
            await until(lambda: has_name(network, pod))
            await until(routed)

    async def noted() -> bool:
        return (tmp_path / "cluster.json").exists()

    async def routed() -> bool:
        return route in await command("ip", "route")

    uvloop.run(body())


async def has_name(network: Network, source: str) -> bool:
    return await name_answer(network, source) == [(1, VIRTUAL)]


def test_pods_are_let_through_where_all_else_is_dropped(network: Network, tmp_path: Path) -> None:
    """As Docker and ufw have it. Rules of others stay, and ours go at the end."""
    first = network.pods[0]

    network.patience_s = 0.5

    async def passes() -> bool:
        with contextlib.suppress(OSError):
            (await asyncio.to_thread(network.connect, OUTSIDE, (first, PORT))).close()
            return True
        return False

    async def body() -> None:
        await command("iptables", "-A", "FORWARD", "-s", "203.0.113.0/24", "-j", "ACCEPT")
        await command("iptables", "-P", "FORWARD", "DROP")
        before = await command("iptables", "-S", "FORWARD")
        async with running(node_network(api(network), tmp_path)):
            await until(passes)
        await until(passes)  # without it too
        assert await let_pods_through("n1", SETTINGS.cluster_cidr) == ""
        assert (await command("iptables", "-S", "FORWARD")).count("10.244.0.0/16") == 2, "each once"
        await remove_network("n1")
        assert await command("iptables", "-S", "FORWARD") == before
        assert not await passes()

    uvloop.run(body())


def test_a_machine_that_drops_nothing_gets_no_rule(network: Network) -> None:
    async def body() -> None:
        assert await let_pods_through("n1", SETTINGS.cluster_cidr) == ""
        assert await command("iptables", "-S", "FORWARD") == "-P FORWARD ACCEPT\n"

    uvloop.run(body())


def test_a_copy_of_the_world_that_stands_still_ends_it(network: Network, tmp_path: Path) -> None:
    async def body() -> None:
        for informer in ("_services", "_slices", "_nodes"):
            full = api(network)
            full.put(Node(metadata=ObjectMeta(name="n1")))
            made = node_network(full, tmp_path)
            getattr(made, informer)._objects_max = 0
            with pytest.raises(ExceptionGroup) as caught:
                await asyncio.wait_for(made.run(), WITHIN_S)
            assert caught.group_contains(CacheFull)

    uvloop.run(body())


def test_a_port_that_somebody_has_is_waited_for(
    network: Network, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def body() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("0.0.0.0", 53))
            async with running(node_network(api(network), tmp_path)) as task:
                await until(said)
                assert not task.done()
                taken.close()
                await until(lambda: has_name(network, network.pods[0]))

    async def said() -> bool:
        return any("pods get no names" in record.getMessage() for record in caplog.records)

    uvloop.run(body())
