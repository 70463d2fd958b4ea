"""The run of the benchmark of pods: one node with real containers, through the API and by the bare calls of the CRI.

Both sides use the same containerd, in turns, so that what the machine does otherwise strikes both.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from apiserver.api.core.node import Node
from apiserver.api.core.pod import Pod
from apiserver.api.errors import ApiError
from apiserver.api.meta import DeleteOptions
from apiserver.client import Change, Client, Informer
from kmini.images import SAMPLE
from nodeagent.node import is_ready

from .api_measure import ApiRecord
from .api_servers import environment
from .figures import median, percentile
from .pods_node import NODE, BenchNode
from .sched_server import SchedServer

Tell = Callable[[str], None]

NAMESPACE = "default"
READY_WITHIN_S = 90.0
POD_WITHIN_S = 60.0
_POLL_S = 0.05


class PodsPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How much and how long. `limit_s` bounds the whole run."""

    rounds: int = 3
    one_by_one: int = 12
    many: int = 32
    at_once: int = 8
    kept: int = 30
    idle_s: float = 30.0
    settle_s: float = 10.0
    limit_s: float = 1_200.0

    @classmethod
    def quick(cls) -> PodsPlan:
        """Still every row, too short to mean much."""
        return cls(rounds=1, one_by_one=3, many=8, kept=8, idle_s=3.0, settle_s=2.0, limit_s=175.0)


class PodsRun:
    """One run of the plan; `folder` lies on a disk."""

    def __init__(self, plan: PodsPlan, folder: Path, tell: Tell) -> None:
        self._plan = plan
        self._folder = folder
        self._tell = tell
        self._begin = time.monotonic()
        self._environment = environment(folder)
        self.record = ApiRecord()

    def _say(self, text: str) -> None:
        self._tell(f"[{time.monotonic() - self._begin:5.0f} s] {text}")

    def _add(self, step: str, figure: float) -> None:
        self.record.add(step, figure)
        self._say(f"  {step}: {figure:,.4g}")

    async def all(self) -> ApiRecord:
        """The whole plan. Raises TimeoutError past its limit, and what the daemons raise."""
        plan = self._plan
        async with asyncio.timeout(plan.limit_s), self._cluster() as (node, client, pods):
            await self._idle(node, "idle")
            await node.bare_pods(1, at_once=1)  # images are unpacked
            for number in range(1, plan.rounds + 1):
                self._say(f"{plan.one_by_one} pods one by one, round {number} of {plan.rounds}")
                await self._one_by_one(node, client, pods)
                self._say(f"{plan.many} pods, {plan.at_once} at once")
                await self._many(node, client, pods)
            self._say(f"{plan.kept} pods that run")
            await pods.start(client, plan.kept, at_once=plan.at_once)
            await self._idle(node, "kept")
        return self.record

    @asynccontextmanager
    async def _cluster(self) -> AsyncIterator[tuple[BenchNode, Client, StartedPods]]:
        server, node = (
            SchedServer(self._folder / "server", self._environment),
            BenchNode(self._folder / "node", self._environment),
        )
        try:
            await server.start("in-process")
            node.start(server.base, self._folder / "server" / "data" / "token")
            async with Client.from_kubeconfig(server.kubeconfig) as client:
                await _ready(node, client)
                async with StartedPods(client) as pods:
                    yield node, client, pods
        finally:
            await asyncio.shield(_end(node, server))

    # --- steps ----------------------------------------------------------------------------------------

    async def _one_by_one(self, node: BenchNode, client: Client, pods: StartedPods) -> None:
        """In turns, a bare one and one of ours."""
        bare: list[float] = []
        ours: list[float] = []
        for _ in range(self._plan.one_by_one):
            calls, _elapsed = await node.bare_pods(1, at_once=1)
            bare.append(calls[0].total)
            taken, _elapsed = await pods.start(client, 1, at_once=1)
            ours += taken
            await pods.remove(client)
            await node.until_empty(POD_WITHIN_S)
        self._add("bare_p50_s", median(bare))
        self._add("running_p50_s", median(ours))
        self._add("running_p99_s", percentile(ours, 0.99))
        self._add("added_p50_s", median(ours) - median(bare))
        self._add("bare_rate_1", len(bare) / sum(bare))
        self._add("rate_1", len(ours) / sum(ours))

    async def _many(self, node: BenchNode, client: Client, pods: StartedPods) -> None:
        plan = self._plan
        _calls, elapsed_s = await node.bare_pods(plan.many, at_once=plan.at_once)
        self._add("bare_rate_many", plan.many / elapsed_s)
        taken, elapsed_s = await pods.start(client, plan.many, at_once=plan.at_once)
        self._add("rate_many", plan.many / elapsed_s)
        self._add("running_many_p50_s", median(taken))
        self._add("running_many_p99_s", percentile(taken, 0.99))
        await pods.remove(client)
        await node.until_empty(POD_WITHIN_S)

    async def _idle(self, node: BenchNode, step: str) -> None:
        plan = self._plan
        await asyncio.sleep(plan.settle_s)
        before = node.cpu_s()
        await asyncio.sleep(plan.idle_s)
        self._add(f"{step}_cpu", (node.cpu_s() - before) / plan.idle_s)
        found = node.memory()
        self._add(f"{step}_rss", found.rss)
        self._add(f"{step}_anonymous", found.anonymous)


async def _ready(node: BenchNode, client: Client) -> None:
    """Raises TimeoutError, ProcessDied."""
    async with asyncio.timeout(READY_WITHIN_S):
        while True:
            node.check()
            try:
                if is_ready((await client.get(Node, NODE)).status):
                    return
            except ApiError:
                pass  # it has not come yet
            await asyncio.sleep(_POLL_S)


async def _end(node: BenchNode, server: SchedServer) -> None:
    try:
        await node.stop()
    finally:
        await server.stop()


class StartedPods:
    """Pods of the sample, given to the node by name; seen by a watch, as everybody sees them."""

    def __init__(self, client: Client) -> None:
        self._informer = Informer(client, Pod, namespace=NAMESPACE, labels="app=bench")
        self._informer.add_handler(self._changed)
        self._running: dict[str, asyncio.Event] = {}
        self._gone: dict[str, asyncio.Event] = {}
        self._number = 0

    async def __aenter__(self) -> StartedPods:
        await self._informer.__aenter__()
        await self._informer.wait_for_sync()
        return self

    async def __aexit__(self, *details: object) -> None:
        await self._informer.__aexit__(*details)

    async def start(self, client: Client, count: int, *, at_once: int) -> tuple[list[float], float]:
        """From the request to the event that shows it running: of each, and until all were."""
        taken: list[float] = []
        waiting = iter(range(count))

        async def work() -> None:
            for _ in waiting:
                taken.append(await self._one(client))

        begin = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(at_once)))
        return taken, time.perf_counter() - begin

    async def _one(self, client: Client) -> float:
        self._number += 1
        name = f"bench-{self._number}"
        running = self._running[name] = asyncio.Event()
        begin = time.perf_counter()
        await client.create(_pod(name))
        async with asyncio.timeout(POD_WITHIN_S):
            await running.wait()
        return time.perf_counter() - begin

    async def remove(self, client: Client) -> None:
        """All, and until they are gone."""
        names = list(self._running)
        self._gone = {name: asyncio.Event() for name in names}
        options = DeleteOptions(grace_period_seconds=0)
        for name in names:
            await client.delete(Pod, name, namespace=NAMESPACE, options=options)
        async with asyncio.timeout(POD_WITHIN_S):
            for name in names:
                await self._gone[name].wait()
        self._running.clear()

    def _changed(self, change: Change[Pod]) -> None:
        name = change.object.metadata.name
        if change.type == "deleted":
            if name in self._gone:
                self._gone[name].set()
        elif change.object.status.phase == "Running" and name in self._running:
            self._running[name].set()


def _pod(name: str) -> Pod:
    body: dict[str, Any] = {
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app": "bench"}},
        "spec": {
            "nodeName": NODE,
            "automountServiceAccountToken": False,
            "containers": [{"name": "sample", "image": SAMPLE}],
        },
    }
    return msgspec.convert(body, Pod)


def setup(plan: PodsPlan) -> dict[str, Any]:
    """For the report."""
    return {
        "nodes": 1,
        "replicas": 1,
        "image": SAMPLE,
        "plan": {name: getattr(plan, name) for name in plan.__struct_fields__},
    }
