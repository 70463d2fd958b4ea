"""Packets find the pods behind a Service: real rules in real network namespaces, objects from an API in memory."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import pytest
from fake_api import FakeApi
from pod_network import GATEWAY, NODE, OUTSIDE, PORT, Network, missing, say
from service_objects import endpoint, piece, service

from apiserver.api.core.service import Service
from nodeagent.network.backends import Backend, ServiceName
from nodeagent.network.kernel import Kernel
from nodeagent.network.programs import ProgramFailed, run_program
from nodeagent.network.proxy import Proxy, ProxyOptions, service_informer, slice_informer

PODS = "10.244.0.0/16"
VIRTUAL = "10.96.0.5"
_OPTIONS = ProxyOptions(interval_s=0.01)


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    if reason := missing():
        pytest.skip(reason)
    made = Network(pods=3)
    try:
        made.make()
        for pod in made.pods:
            made.serve(pod)
        yield made
    finally:
        made.remove()


class Rig:
    """One API, and a proxy at a time."""

    def __init__(self, network: Network) -> None:
        self.api = FakeApi()
        self.prefix = network.prefix
        self.kernel = Kernel(network.prefix)

    @contextlib.asynccontextmanager
    async def proxy(
        self, options: ProxyOptions = _OPTIONS, answered_here: Mapping[ServiceName, Backend] | None = None
    ) -> AsyncIterator[Proxy]:
        client = self.api.client()
        async with service_informer(client) as services, slice_informer(client) as slices:
            made = Proxy(
                services,
                slices,
                self.kernel,
                node="n1",
                cluster_cidr=PODS,
                answered_here=answered_here,
                options=options,
            )
            running = asyncio.create_task(made.run())
            try:
                await made.applied.wait()
                yield made
            finally:
                running.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await running

    def put(self, of: Service, *pods: str) -> None:
        self.api.put(of)
        protocol = of.spec.ports[0].protocol
        self.api.put(piece(of.metadata.name, *map(endpoint, pods), protocol=protocol))

    async def rules_say(self, text: str) -> None:
        while text not in await self.listed():  # by a process: each look takes its time
            pass

    async def listed(self) -> str:
        return (await self.nft("list", "ruleset")).decode()

    async def nft(self, *arguments: str) -> bytes:
        return await run_program((*self.prefix, "nft", *arguments), timeout_s=60, answer_max=1 << 20)

    async def put_and_see(self, of: Service, *pods: str) -> None:
        self.put(of, *pods)
        for pod in pods:
            await self.rules_say(pod)


@contextlib.asynccontextmanager
async def rig(network: Network) -> AsyncIterator[Rig]:
    made = Rig(network)
    try:
        yield made
    finally:
        await made.kernel.remove("n1")
    assert "kmini-" not in await made.listed()


def test_a_cluster_address_spreads_over_its_pods(network: Network) -> None:
    async def body() -> None:
        async with rig(network) as made:
            made.put(service("web"), *network.pods[:2])
            async with made.proxy():
                for source in (NODE, OUTSIDE, network.pods[2]):
                    found = {(await asyncio.to_thread(network.ask, source, (VIRTUAL, 80)))[0] for _ in range(40)}
                    assert found == set(network.pods[:2]), source

    asyncio.run(body())


def test_pods_are_seen_as_themselves_and_reach_themselves(network: Network) -> None:
    async def body() -> None:
        async with rig(network) as made:
            made.put(service("web"), network.pods[0])
            async with made.proxy():
                assert network.ask(network.pods[1], (VIRTUAL, 80)) == [network.pods[0], network.pods[1]]
                assert network.ask(network.pods[0], (VIRTUAL, 80)) == [network.pods[0], "10.244.0.1"]
                assert network.ask(OUTSIDE, (VIRTUAL, 80)) == [network.pods[0], "10.244.0.1"]

    asyncio.run(body())


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_without_endpoints_it_is_refused_at_once(network: Network, kind: socket.SocketKind) -> None:
    async def body() -> None:
        async with rig(network) as made:
            made.put(service("web", protocol="TCP" if kind is socket.SOCK_STREAM else "UDP"))
            async with made.proxy():
                for source in (NODE, OUTSIDE, network.pods[0]):
                    with network.inside(source):
                        asking = socket.socket(socket.AF_INET, kind)
                    with (
                        asking,
                        pytest.raises((ConnectionRefusedError, PermissionError)),
                    ):  # the latter: by our own kernel
                        ask_once(asking)

    asyncio.run(body())


def ask_once(asking: socket.socket) -> None:
    asking.settimeout(60)
    asking.connect((VIRTUAL, 80))
    asking.send(b"?")
    asking.recv(1)


@pytest.mark.parametrize("policy", ["Cluster", "Local"])
def test_node_ports_and_external_addresses(network: Network, policy: str) -> None:
    async def body() -> None:
        async with rig(network) as made:
            wanted = service("web", node_port=30080, external_ips=["198.51.100.7"], external_traffic_policy=policy)
            made.put(wanted, *network.pods[:2])
            async with made.proxy():
                seen = OUTSIDE if policy == "Local" else "10.244.0.1"
                for to in ((NODE, 30080), ("198.51.100.7", 80)):
                    answers = [network.ask(OUTSIDE, to) for _ in range(20)]
                    assert {pod for pod, _ in answers} == set(network.pods[:2])
                    assert {client for _, client in answers} == {seen}
                assert network.ask(NODE, (NODE, 30080))[0] in network.pods
                assert network.ask(network.pods[0], (NODE, 30080))[0] in network.pods

    asyncio.run(body())


def test_a_client_keeps_to_its_pod_over_changes_and_restarts(network: Network) -> None:
    async def body() -> None:
        async with rig(network) as made:
            sticky = service("web", session_affinity="ClientIP")
            made.put(sticky, *network.pods[:2])
            async with made.proxy():
                first = network.ask(OUTSIDE, (VIRTUAL, 80))[0]
                assert {network.ask(OUTSIDE, (VIRTUAL, 80))[0] for _ in range(15)} == {first}
                await made.put_and_see(sticky, *network.pods)
                assert {network.ask(OUTSIDE, (VIRTUAL, 80))[0] for _ in range(15)} == {first}
            async with made.proxy():
                assert {network.ask(OUTSIDE, (VIRTUAL, 80))[0] for _ in range(15)} == {first}

    asyncio.run(body())


def test_connections_go_on_while_pods_come_and_go_and_the_agent_restarts(network: Network) -> None:
    async def body() -> None:
        async with rig(network) as made:
            made.put(service("web"), *network.pods[:2])
            async with made.proxy():
                with network.connect(OUTSIDE, (VIRTUAL, 80)) as old:
                    answer = say(old)
                    for pods in (network.pods[1:], network.pods[:1], network.pods):
                        changing = asyncio.create_task(made.put_and_see(service("web"), *pods))
                        while not changing.done():
                            assert (await asyncio.to_thread(network.ask, OUTSIDE, (VIRTUAL, 80)))[0] in network.pods
                        await changing
                    assert say(old) == answer
                    async with made.proxy():  # a second one over the first, as after a crash
                        assert say(old) == answer

    asyncio.run(body())


def test_udp_leaves_an_endpoint_that_is_gone(network: Network) -> None:
    async def body() -> None:
        async with rig(network) as made:
            made.put(service("web", protocol="UDP", node_port=30053), network.pods[0])
            async with made.proxy():
                for to in ((VIRTUAL, 80), (NODE, 30053)):
                    made.put(service("web", protocol="UDP", node_port=30053), network.pods[0])
                    await made.rules_say(f"dnat to {network.pods[0]}:8080")
                    with network.datagram(OUTSIDE) as asking:
                        await until_answered(asking, to, network.pods[0])
                        made.put(service("web", protocol="UDP", node_port=30053), network.pods[1])
                        await until_answered(asking, to, network.pods[1])

    asyncio.run(body())


def test_the_node_answers_for_a_service_itself_and_sees_which_pod_asks(network: Network) -> None:
    """As its DNS does at the cluster address of kube-dns."""

    async def body() -> None:
        async with rig(network) as made:
            made.put(service("dns", protocol="UDP", port=53))
            async with made.proxy(answered_here={ServiceName("default", "dns"): Backend(GATEWAY, PORT)}):
                for source, seen in ((network.pods[0], {network.pods[0]}), (NODE, {NODE, GATEWAY})):
                    with network.datagram(source) as asking:
                        asking.sendto(b"?", (VIRTUAL, 53))
                        by, client = (await asyncio.to_thread(asking.recv, 100)).decode().split()
                    assert by == GATEWAY
                    assert client in seen

    network.serve(GATEWAY)
    asyncio.run(body())


async def until_answered(asking: socket.socket, to: tuple[str, int], by: str) -> None:
    """An answer that is under way when its flow is removed is lost, as UDP may be: the client asks again."""
    asking.settimeout(0.2)
    while True:
        asking.sendto(b"?", to)
        with contextlib.suppress(TimeoutError):
            answer = (await asyncio.to_thread(asking.recv, 100)).decode()
            if answer.split()[0] == by:
                return


def test_a_table_that_was_taken_away_comes_back_and_others_stay(network: Network) -> None:
    async def body() -> None:
        async with rig(network) as made:
            await made.nft("add", "table", "ip", "other")
            made.put(service("web"), network.pods[0])
            async with made.proxy():
                await made.kernel.remove("n1")
                await made.put_and_see(service("web"), network.pods[1])
            async with made.proxy(ProxyOptions(interval_s=0.01, check_s=0.05)):
                await made.kernel.remove("n1")
                await made.rules_say(network.pods[1])
            assert "table ip other" in await made.listed()

    asyncio.run(body())


def test_rules_that_somebody_flushed_come_back(network: Network) -> None:
    async def body() -> None:
        async with rig(network) as made:
            made.put(service("web", node_port=30080, external_ips=["192.0.2.1"]), *network.pods[:2])
            made.put(service("sticky", cluster_ip="10.96.0.16", session_affinity="ClientIP"), *network.pods[:2])
            async with made.proxy(ProxyOptions(interval_s=0.01, check_s=0.05)):
                before = await made.listed()
                await made.nft("flush", "table", "ip", "kmini-n1")
                while await made.listed() != before:
                    pass

    asyncio.run(body())


def test_what_nft_says_is_told_in_one_line(network: Network) -> None:
    async def body(transaction: bytes) -> Any:
        await Kernel(network.prefix).apply(transaction)

    with pytest.raises(ProgramFailed, match=r"\Ansenter failed: .+\Z"):
        asyncio.run(body(b'{"nftables": [{"add": {"rule": {}}}]}'))
