"""One node whose parts are real as far as a test asks, on the runtime and the API in memory, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from random import Random

import msgspec
from agent_world import NODES, AgentWorld
from fake_api import FakeApi
from virtual_time import now_s, run

from apiserver.api.core.event import Event
from apiserver.client import Client
from nodeagent.events import NodeEvents
from nodeagent.house import Parts
from nodeagent.machine import simulated
from nodeagent.plain import plain_parts
from nodeagent.running import NodeAgent
from nodeagent.runtime.fake import FakeRuntime, Latency

NODE = "node-1"
Change = Callable[[Parts, FakeRuntime], Parts]


class OneNode:
    """What AgentWorld asks of its nodes. `start` and `stop` the agent; the runtime stays."""

    def __init__(self, client: Client, runtime: FakeRuntime, change: Change) -> None:
        self.names: Sequence[str] = (NODE,)
        self._client = client
        self._runtime = runtime
        self._change = change
        self._task: asyncio.Task[None] | None = None

    def runtime(self, name: str) -> FakeRuntime:
        return self._runtime

    def lose_data(self) -> None:
        """Of the runtime: as if there never had been anything."""
        self._runtime = FakeRuntime(node=NODE, wall=now_s, random=Random(1))

    async def start(self, *, boot_id: str = "") -> None:
        events = NodeEvents(self._client, NODE, wall=now_s)
        plain = msgspec.structs.replace(plain_parts(self._runtime), events=events, works=(events.run,))
        parts = self._change(plain, self._runtime)
        capacity = {"cpu": "4", "memory": "8Gi", "pods": "20"}
        machine = simulated(NODE, "192.0.2.1", capacity=capacity, labels={}, boot_id=boot_id)
        agent = NodeAgent(self._client, NODE, machine, self._runtime, parts, wall=now_s)
        self._task = asyncio.create_task(agent.run(), name="agent")
        await agent.registered.wait()

    async def stop(self) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class LifeWorld(AgentWorld):
    """`node` is the agent of the one node."""

    def __init__(self, api: FakeApi, client: Client, node: OneNode) -> None:
        super().__init__(api, client, node)  # type: ignore[arg-type]  # as much of it as is asked for
        self.node = node

    def events(self, name: str) -> list[Event]:
        """Those about an object of this name, oldest first."""
        found = [each for each in self.api.objects(Event) if each.involved_object.name == name]
        return sorted(found, key=lambda each: (each.first_timestamp or "", each.metadata.name))

    def told(self, name: str) -> list[tuple[str, str, str]]:
        """Type, reason and message of each."""
        return [(each.type, each.reason, each.message) for each in self.events(name)]

    def reasons(self, name: str) -> list[str]:
        return [each.reason for each in self.events(name)]


def _unchanged(parts: Parts, runtime: FakeRuntime) -> Parts:
    return parts


def run_life(
    story: Callable[[LifeWorld], Awaitable[None]],
    *,
    change: Change = _unchanged,
    latency: Latency | None = None,
    seed: int = 0,
    shuffle: bool = False,
) -> None:
    async def main() -> None:
        api = FakeApi(seed=seed)
        theirs, ours = api.client(NODES), api.client("test")
        runtime = FakeRuntime(node=NODE, latency=latency, wall=now_s, random=Random(seed))
        node = OneNode(theirs, runtime, change)
        async with theirs, ours:
            world = LifeWorld(api, ours, node)
            await node.start()
            try:
                await story(world)
                world.check_running()
            finally:
                await node.stop()
        api.check()

    run(main(), seed=seed, shuffle=shuffle)
