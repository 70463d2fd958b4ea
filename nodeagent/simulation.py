"""Many simulated nodes in one process: each registers, keeps its pulse and runs pods on a fake runtime.

    async with SimulatedNodes(client, count=100, capacity={"cpu": "8", "memory": "32Gi", "pods": "110"}) as nodes:
        nodes.fail({"app": "web"}, Fault.exits(after_s=5, code=3))
        await nodes.stop_node("node-1")          # falls silent; its containers stay
        await nodes.start_node("node-1")

They share one client, which therefore must be allowed to act for all of them (an administrator), one informer of pods
and one of nodes, and the writers of pod status. Times are the event loop's, so that it works on virtual time; `wall`
is what timestamps show. Nothing is left in the API at the end but what was there: the Nodes stay unless `remove`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from random import Random
from typing import Self

from apiserver.api.core.node import Node
from apiserver.api.core.pod import Pod
from apiserver.api.errors import NotFound
from apiserver.client import Client

from .agent import Agent, AgentOptions
from .clock import Wall
from .feeds import node_feed, pod_feed
from .machine import simulated
from .plain import plain_parts
from .runtime.fake import FakeRuntime, Latency
from .runtime.faults import Fault, Faults, Matches, Rule
from .runtime.interface import PodKey
from .status_writer import StatusWriter

log = logging.getLogger(__name__)

CAPACITY = {"cpu": "8", "memory": "32Gi", "pods": "110", "ephemeral-storage": "100Gi"}
NODES_MAX = 10_000
WRITERS = 32
_NODE_ADDRESSES = ipaddress.ip_network("100.64.0.0/10")
_POD_ADDRESSES = int(ipaddress.ip_address("10.128.0.0"))  # a /24 for each, until the control plane gives another
_RELIST_S = 600.0  # a fake loses no events

#: Which pods a fault strikes: one pod ("namespace/name", or the object), or all with these labels.
Selector = str | Pod | Mapping[str, str]
Labels = Mapping[str, str] | Callable[[int], Mapping[str, str]]


class _Place:
    """A simulated machine. It is there whether or not its agent runs."""

    def __init__(self, name: str, number: int, runtime: FakeRuntime) -> None:
        self.name = name
        self.number = number
        self.runtime = runtime
        self.agent: Agent | None = None
        self.task: asyncio.Task[None] | None = None


class SimulatedNodes:
    """`names` are `<prefix>-1` to `<prefix>-<count>`. `labels` may depend on the number of the node (from 1).

    `stagger_s`: over how long the nodes register; `remove`: delete the Nodes at the end.
    """

    def __init__(
        self,
        client: Client,
        *,
        count: int,
        prefix: str = "node",
        capacity: Mapping[str, str] | None = None,
        labels: Labels | None = None,
        latency: Latency | None = None,
        options: AgentOptions | None = None,
        stagger_s: float = 0.0,
        remove: bool = False,
        wall: Wall = time.time,
        random: Random | None = None,
    ) -> None:
        if not 1 <= count <= NODES_MAX:
            raise ValueError(f"there can be 1 to {NODES_MAX} simulated nodes, not {count}")
        self.faults = Faults()
        self.writer = StatusWriter(client, writers=WRITERS, wall=wall, random=random)
        self._client = client
        self._capacity = dict(CAPACITY | dict(capacity or {}))
        self._labels = labels or {}
        self._options = options or AgentOptions(relist_s=_RELIST_S)
        self._stagger_s = stagger_s
        self._remove = remove
        self._wall = wall
        self._random = random or Random()
        self._pods = pod_feed(client)
        self._nodes = node_feed(client)
        self._writing: asyncio.Task[None] | None = None
        self._places = {
            f"{prefix}-{number}": _Place(f"{prefix}-{number}", number, self._make_runtime(number, latency))
            for number in range(1, count + 1)
        }

    @property
    def names(self) -> Sequence[str]:
        return list(self._places)

    def runtime(self, name: str) -> FakeRuntime:
        return self._places[name].runtime

    @property
    def running_containers(self) -> int:
        return sum(len(place.runtime.running) for place in self._places.values())

    async def wait_registered(self, *, timeout_s: float = 60.0) -> None:
        """All whose agents run. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            for place in self._places.values():
                if place.agent is not None:
                    await place.agent.registered.wait()

    async def watch_over(self) -> None:
        """Until the end. Raises what ended the informers of all agents."""
        async with asyncio.TaskGroup() as group:
            for feed in (self._pods, self._nodes):
                group.create_task(feed.watch_over())

    # --- what may happen ----------------------------------------------------------------------------------

    def fail(self, selector: Selector, fault: Fault) -> Rule:
        """From now on, also what runs already. `faults.remove(rule)` and `faults.clear()` end it."""
        return self.faults.add(_matches(selector), fault)

    async def stop_node(self, name: str, *, lose_power: bool = False) -> None:
        """Its agent falls silent, without a word to the API. Containers stay as they are, or are dead when the power
        is lost."""
        place = self._places[name]
        await self._end(place)
        if lose_power:
            place.runtime.lose_power()

    async def start_node(self, name: str) -> None:
        """Its agent starts again, on the runtime that was there. Does nothing when it runs."""
        self._begin(self._places[name])

    # --- life ---------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self._pods.__aenter__()
        await self._nodes.__aenter__()
        self._writing = asyncio.create_task(self.writer.run(), name="status writers of simulated nodes")
        for place in self._places.values():
            self._begin(place, delay_s=self._stagger_s * self._random.random())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Raises what an agent failed with, once everything has ended."""
        ended = await asyncio.gather(*(self._end(place) for place in self._places.values()), return_exceptions=True)
        if self._writing is not None:
            self._writing.cancel()
            with suppress(asyncio.CancelledError):
                await self._writing
        await self._nodes.__aexit__()
        await self._pods.__aexit__()
        for failure in ended:
            if failure is not None:
                raise failure
        if self._remove:
            for name in self._places:
                with suppress(NotFound):
                    await self._client.delete(Node, name)

    def _begin(self, place: _Place, *, delay_s: float = 0.0) -> None:
        if place.task is None:
            place.agent = agent = self._make_agent(place)
            place.task = asyncio.create_task(_run(agent, delay_s), name=f"agent of {place.name}")

    async def _end(self, place: _Place) -> None:
        task, place.task, place.agent = place.task, None, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def _make_runtime(self, number: int, latency: Latency | None) -> FakeRuntime:
        cidr = f"{ipaddress.ip_address(_POD_ADDRESSES + 256 * number)}/24"
        random = Random(self._random.random())
        return FakeRuntime(pod_cidr=cidr, latency=latency, faults=self.faults, wall=self._wall, random=random)

    def _make_agent(self, place: _Place) -> Agent:
        labels = self._labels(place.number) if callable(self._labels) else self._labels
        machine = simulated(
            place.name,
            str(_NODE_ADDRESSES[place.number]),
            capacity=self._capacity,
            labels=labels,
        )
        return Agent(
            self._client,
            place.name,
            machine,
            place.runtime,
            plain_parts(place.runtime),
            pods=self._pods,
            nodes=self._nodes,
            writer=self.writer,
            options=self._options,
            wall=self._wall,
            random=Random(self._random.random()),
        )


async def _run(agent: Agent, delay_s: float) -> None:
    await asyncio.sleep(delay_s)
    try:
        await agent.run()
    except Exception:
        log.exception("the agent of a simulated node ended", extra={"node": agent.name})
        raise


def _matches(selector: Selector) -> Matches:
    if isinstance(selector, Pod):
        uid = selector.metadata.uid
        return lambda pod, labels: pod.uid == uid
    if isinstance(selector, str):
        return lambda pod, labels: _path(pod) == selector
    wanted = dict(selector)
    return lambda pod, labels: all(labels.get(key) == value for key, value in wanted.items())


def _path(pod: PodKey) -> str:
    return f"{pod.namespace}/{pod.name}"
