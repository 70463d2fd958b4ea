"""When links and routes are made: as Nodes come and go, when they were taken away, when the kernel refused."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from random import Random

from fake_api import FakeApi

from apiserver.api.cluster_network import ClusterNetwork
from apiserver.api.core.node import Node, NodeAddress, NodeSpec, NodeStatus
from apiserver.api.meta import ObjectMeta
from nodeagent.network.kernel import Kernel
from nodeagent.network.links import Address, Item, Link, Orders, Report, Route, words
from nodeagent.network.programs import ProgramFailed
from nodeagent.network.routing import Routing, RoutingOptions, node_informer

NETWORK = ClusterNetwork(
    dns_ip="10.96.0.10", domain="cluster.local", cluster_cidr="10.244.0.0/16", service_cidr="10.96.0.0/16"
)
WITHIN_S = 60.0


class ScriptedKernel(Kernel):
    """Takes everything, but for what `refuses` says; fails altogether while `failing`."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Orders] = []
        self.failing = False
        self.refuses: Callable[[Item], bool] = lambda _: False
        self.items: set[Item] = set()
        self.looks = 0
        self._news = asyncio.Event()

    async def arrange(self, orders: Orders) -> Report:
        self.told.append(orders)
        self._news.set()
        if self.failing:
            raise ProgramFailed("no such kernel")
        refused = [each for each in orders.items if self.refuses(each)]
        self.items = set(orders.items) - set(refused)
        return Report(failed=[f"put {words(each)}" for each in refused])

    def there(self, items: Sequence[Item]) -> bool:
        self.looks += 1
        self._news.set()
        return {each for each in items if isinstance(each, Link | Route)} <= self.items

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(WITHIN_S):
            while not holds():
                self._news.clear()
                await self._news.wait()

    def networks(self) -> set[str]:
        """Of other nodes' pods, as told last."""
        last = self.told[-1].items if self.told else ()
        return {each.network for each in last if isinstance(each, Route) and each.gateway}


def node(name: str, number: int) -> Node:
    return Node(
        metadata=ObjectMeta(name=name),
        spec=NodeSpec(pod_cidr=f"10.244.{number}.0/24"),
        status=NodeStatus(addresses=[NodeAddress(type="InternalIP", address=f"192.0.2.{number}")]),
    )


@contextlib.asynccontextmanager
async def routing(
    api: FakeApi, kernel: ScriptedKernel, *, synced: bool = True, look_s: float = 0.01
) -> AsyncIterator[Routing]:
    nodes = node_informer(api.client())
    made = Routing(
        nodes,
        kernel,
        node="n1",
        address="127.0.0.1",
        network=NETWORK,
        overlay="host-gw",
        options=RoutingOptions(batch_s=0.0, look_s=look_s),
        random=Random(1),
        there=kernel.there,
    )
    async with contextlib.AsyncExitStack() as stack:
        if synced:
            await stack.enter_async_context(nodes)
        running = asyncio.create_task(made.run())
        try:
            yield made
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


def test_routes_follow_the_nodes() -> None:
    async def body() -> None:
        api, kernel = FakeApi(), ScriptedKernel()
        api.put(node("n1", 1))
        api.put(node("n2", 2))
        async with routing(api, kernel, look_s=3600.0) as made:
            await kernel.until(lambda: kernel.networks() == {"10.244.2.0/24"})
            await made.applied.wait()
            api.put(node("n3", 3))
            await kernel.until(lambda: kernel.networks() == {"10.244.2.0/24", "10.244.3.0/24"})
            api.remove(Node, "n2", "")
            await kernel.until(lambda: kernel.networks() == {"10.244.3.0/24"})

    asyncio.run(body())


def test_before_all_nodes_are_known_the_dns_has_its_address_and_nothing_goes() -> None:
    async def body() -> None:
        kernel = ScriptedKernel()
        async with routing(FakeApi(), kernel, synced=False) as made:
            await made.applied.wait()
            assert [each.removing for each in kernel.told] == [False]
            assert kernel.networks() == set()

    asyncio.run(body())


def test_by_a_memory_of_nodes_routes_are_made_and_nothing_goes() -> None:
    async def body() -> None:
        kernel = ScriptedKernel()
        async with routing(FakeApi(), kernel, synced=False) as made:
            made._nodes.recall([node("n2", 2)])
            await kernel.until(lambda: kernel.networks() == {"10.244.2.0/24"})
            assert not any(each.removing for each in kernel.told)

    asyncio.run(body())


def test_what_was_taken_away_is_made_again_and_what_is_there_is_left_alone() -> None:
    async def body() -> None:
        api, kernel = FakeApi(), ScriptedKernel()
        api.put(node("n2", 2))
        async with routing(api, kernel):
            await kernel.until(lambda: kernel.networks() == {"10.244.2.0/24"})
            before, looks = len(kernel.told), kernel.looks
            await kernel.until(lambda: kernel.looks > looks + 3)
            assert len(kernel.told) == before
            kernel.items = set()
            await kernel.until(lambda: len(kernel.told) > before)

    asyncio.run(body())


def test_what_is_refused_is_tried_again_and_holds_up_nothing() -> None:
    async def body() -> None:
        api, kernel = FakeApi(), ScriptedKernel()
        api.put(node("n2", 2))
        kernel.refuses = lambda item: isinstance(item, Route) and item.gateway == "192.0.2.2"
        async with routing(api, kernel) as made:
            await made.applied.wait()
            kernel.refuses = lambda _: False
            await kernel.until(lambda: len(kernel.told) > 1 and kernel.there(kernel.told[-1].items))

    asyncio.run(body())


def test_the_dns_waits_for_its_address() -> None:
    async def body() -> None:
        kernel = ScriptedKernel()
        kernel.failing = True
        async with routing(FakeApi(), kernel, look_s=3600.0) as made:
            await kernel.until(lambda: bool(kernel.told))
            assert not made.applied.is_set()
            kernel.failing, kernel.refuses = False, lambda item: isinstance(item, Address)
            await kernel.until(lambda: len(kernel.told) > 2)
            assert not made.applied.is_set()
            kernel.refuses = lambda _: False
            await asyncio.wait_for(made.applied.wait(), WITHIN_S)

    asyncio.run(body())
