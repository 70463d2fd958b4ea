"""Simulated nodes on the API in memory, on virtual time: what tests of the node agent stand in.

    async def story(world: AgentWorld) -> None:
        await world.pod("a")
        await world.until(lambda: world.phase("a") == "Running")
    run_story(story)

At every write it is checked that no pod of a node that was not refused asks for more than there is, and at every look
that no pod has two running containers of one name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import msgspec
from fake_api import FakeApi, Faults
from virtual_time import now_s, run

from apiserver.api.core.pod import ContainerStatus, Pod, PodStatus
from apiserver.api.meta import DeleteOptions
from apiserver.client import Client
from nodeagent.runtime.fake import FakeRuntime, Latency
from nodeagent.runtime.interface import Container
from nodeagent.simulation import SimulatedNodes

NODES = "nodes"  # the name of the agents' client
Story = Callable[["AgentWorld"], Awaitable[None]]


class AgentWorld:
    """`api` is everybody's; `client` is the test's, which no fault hinders."""

    def __init__(self, api: FakeApi, client: Client, nodes: SimulatedNodes) -> None:
        self.api = api
        self.client = client
        self.nodes = nodes

    # --- what a test does -----------------------------------------------------------------------------

    async def pod(self, name: str, *, node: str = "node-1", labels: dict[str, str] | None = None, **spec: Any) -> Pod:
        """A pod that is given to a node; one container `main` unless `spec` says otherwise, in the API's names."""
        body = {
            "metadata": {"name": name, "namespace": "default", "labels": labels or {"app": name}},
            "spec": {"nodeName": node, "containers": [{"name": "main", "image": "registry.test/main:1"}]} | spec,
        }
        return await self.client.create(msgspec.convert(body, Pod))

    async def delete(self, name: str, *, grace_s: int | None = None) -> None:
        options = None if grace_s is None else DeleteOptions(grace_period_seconds=grace_s)
        await self.client.delete(Pod, name, namespace="default", options=options)

    async def until(self, condition: Callable[[], object], *, within_s: float = 600.0) -> float:
        """Look every 50 ms of virtual time until it holds; how long that took. AssertionError when it never does."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while not condition():
            assert loop.time() - began < within_s, f"not true within {within_s:g} s"
            self.check_running()
            await asyncio.sleep(0.05)
        return loop.time() - began

    async def running(self, name: str) -> Pod:
        """Once it is Running."""
        await self.until(lambda: self.phase(name) == "Running")
        return self.get(name)

    # --- what there is --------------------------------------------------------------------------------

    @property
    def runtime(self) -> FakeRuntime:
        """Of the first node."""
        return self.nodes.runtime(self.nodes.names[0])

    def get(self, name: str) -> Pod:
        found = self.api.get(Pod, name)
        assert found is not None, f"there is no pod {name}"
        return found

    def there(self, name: str) -> bool:
        return self.api.get(Pod, name) is not None

    def phase(self, name: str) -> str:
        return self.get(name).status.phase

    def status(self, name: str) -> PodStatus:
        return self.get(name).status

    def container(self, name: str, container: str = "main") -> ContainerStatus:
        status = self.status(name)
        found = [*status.container_statuses, *status.init_container_statuses]
        return next((each for each in found if each.name == container), ContainerStatus(name=container))

    def waiting(self, name: str, container: str = "main") -> str:
        """The reason why it waits, "" when it does not."""
        state = self.container(name, container).state
        return state.waiting.reason if state.waiting else ""

    def condition(self, name: str, kind: str) -> str:
        return next((each.status for each in self.status(name).conditions if each.type == kind), "")

    def ready(self, name: str) -> bool:
        return self.condition(name, "Ready") == "True"

    def containers(self, name: str, *, node: str = "") -> list[Container]:
        """What runs of the pod of this name, in order of start."""
        runtime = self.nodes.runtime(node or self.nodes.names[0])
        found = [each for each in runtime.running if each.pod.name == name]
        return sorted(found, key=lambda each: each.started_at)

    def check_running(self) -> None:
        for node in self.nodes.names:
            found = [(each.pod.uid, each.name) for each in self.nodes.runtime(node).running]
            assert len(found) == len(set(found)), f"a container runs twice on {node}"


def run_story(
    story: Story,
    *,
    seed: int = 0,
    count: int = 1,
    latency: Latency | None = None,
    faults: Faults | None = None,
    shuffle: bool = False,
    **settings: Any,
) -> AgentWorld:
    """`settings` are those of SimulatedNodes."""

    async def main() -> AgentWorld:
        api = FakeApi(seed=seed, faults=faults)
        theirs, ours = api.client(NODES), api.client("test")
        nodes = SimulatedNodes(theirs, count=count, latency=latency, wall=now_s, random=Random(seed), **settings)
        async with theirs, ours, nodes:
            world = AgentWorld(api, ours, nodes)
            await nodes.wait_registered(timeout_s=3600.0)
            await story(world)
            world.check_running()
        api.check()
        return world

    return run(main(), seed=seed, shuffle=shuffle)
