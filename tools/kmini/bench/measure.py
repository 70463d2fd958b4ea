"""The run: every step on both sides in turns, never both under load at once.

Two pairs of clusters: one for loads and fail-overs, and a fresh one for memory, disk and restart, whose
figures depend on everything the cluster did before. Figures go into a `Record` under the names of the steps;
`rows` makes the table of them.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from . import face
from .etcd import EtcdCluster
from .figures import median
from .h2load import LoadResult
from .ours import OurCluster
from .process import device_written_bytes
from .side import FILL_PREFIX, RANGE_KEYS, RANGE_PREFIX, Cluster, Latency, Rate

Progress = Callable[[str], None]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How long and how often. Times in seconds; `limit_s` bounds the whole run."""

    rounds: int = 3
    load_s: float = 3.0
    events: int = 60
    kills: int = 20
    fill: int = 100_000
    restarts: int = 3
    settle_s: float = 5.0
    idle_s: float = 60.0
    limit_s: float = 870.0

    @classmethod
    def quick(cls) -> Plan:
        return cls(load_s=0.7, events=25, kills=5, fill=20_000, restarts=3, settle_s=1.5, idle_s=10.0, limit_s=175.0)


class Record:
    """What was measured: per side ("ours", "etcd") and step one figure per round."""

    def __init__(self) -> None:
        self._figures: dict[tuple[str, str], list[float]] = defaultdict(list)
        self._client_cpu: dict[tuple[str, str], list[float]] = defaultdict(list)

    def add(self, side: str, step: str, figure: float, client_cpu: float = 0.0) -> None:
        self._figures[side, step].append(figure)
        self._client_cpu[side, step].append(client_cpu)

    def has(self, step: str) -> bool:
        """Whether the step was measured on both sides."""
        return all(self._figures.get((side, step)) for side in ("ours", "etcd"))

    def figures(self, side: str, step: str) -> tuple[float, ...]:
        """Raises KeyError when the step was not measured on that side."""
        found = self._figures.get((side, step))
        if not found:
            raise KeyError(f"{step} was not measured for {side}")
        return tuple(found)

    def client_cpu(self, side: str, step: str) -> float:
        """The load generator's share of one core, median of the rounds."""
        return median(self._client_cpu[side, step])


Figure = tuple[float, float]  # and the load generator's processor share


async def _p50(work: Awaitable[Latency | LoadResult]) -> Figure:
    result = await work
    if isinstance(result, LoadResult):
        return median(result.latencies_s), result.cpu_share
    return median(result.samples_s), result.client_cpu


async def _rate(work: Awaitable[Rate | LoadResult]) -> Figure:
    result = await work
    return result.rate, result.cpu_share if isinstance(result, LoadResult) else result.client_cpu


#: Loads inside our leader's process.
INSIDE: dict[str, Callable[[OurCluster, Plan], Awaitable[Figure]]] = {
    "put_alone": lambda ours, plan: _p50(ours.put_latency(plan.load_s)),
    "put_rate": lambda ours, plan: _rate(ours.put_rate(plan.load_s)),
    "get_rate": lambda ours, plan: _rate(ours.get_rate(plan.load_s)),
    "range": lambda ours, plan: _p50(ours.range_latency(plan.load_s)),
    "watch": lambda ours, plan: _p50(ours.watch_latency(plan.events)),
}

#: Loads through the leader's gRPC port, the same for both sides.
THROUGH_FACE: dict[str, Callable[[int, Plan], Awaitable[Figure]]] = {
    "grpc_put_alone": lambda port, plan: _p50(face.put_load(port, face.ALONE, plan.load_s)),
    "grpc_put_shared": lambda port, plan: _rate(face.put_load(port, face.SHARED, plan.load_s)),
    "grpc_put_separate": lambda port, plan: _rate(face.put_load(port, face.SEPARATE, plan.load_s)),
    "grpc_get_shared": lambda port, plan: _rate(face.get_load(port, face.SHARED, plan.load_s)),
    "grpc_get_separate": lambda port, plan: _rate(face.get_load(port, face.SEPARATE, plan.load_s)),
    "grpc_range": lambda port, plan: _p50(face.range_load(port, plan.load_s)),
    "grpc_watch": lambda port, plan: _p50(face.watch_latency(port, plan.events)),
}

#: The order within a round: what is compared is measured side by side.
GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("put_alone", ("grpc_put_alone",)),
    ("put_rate", ("grpc_put_shared", "grpc_put_separate")),
    ("get_rate", ("grpc_get_shared", "grpc_get_separate")),
    ("range", ("grpc_range",)),
    ("watch", ("grpc_watch",)),
)


class Run:
    """One run of the plan; `folder` lies on a disk."""

    def __init__(self, plan: Plan, folder: Path, progress: Progress) -> None:
        self._plan = plan
        self._folder = folder
        self._begin = time.monotonic()
        self._tell = progress
        self.record = Record()

    def _say(self, text: str) -> None:
        self._tell(f"[{time.monotonic() - self._begin:5.0f} s] {text}")

    async def all(self) -> Record:
        """The whole plan. Raises TimeoutError past its limit, and what the sides raise."""
        async with asyncio.timeout(self._plan.limit_s):
            async with self._clusters("loaded") as (ours, etcd):
                await self._loads(ours, etcd)
                await self._fail_overs(ours, etcd)
            async with self._clusters("filled") as (ours, etcd):
                await self._memory_and_disk(ours, etcd)
                await self._restarts(ours, etcd)
        return self.record

    @asynccontextmanager
    async def _clusters(self, name: str) -> AsyncIterator[tuple[OurCluster, EtcdCluster]]:
        ours, etcd = OurCluster(), EtcdCluster()
        try:
            for cluster in (ours, etcd):
                self._say(f"starting {cluster.name}: three members")
                await cluster.start(self._folder / name / cluster.name)
            yield ours, etcd
        finally:
            await asyncio.shield(asyncio.gather(ours.stop(), etcd.stop()))

    # --- loads ------------------------------------------------------------------------------------

    async def _loads(self, ours: OurCluster, etcd: EtcdCluster) -> None:
        for cluster in (ours, etcd):
            await cluster.fill(RANGE_PREFIX, RANGE_KEYS)
        for number in range(1, self._plan.rounds + 1):
            self._say(f"loads, round {number} of {self._plan.rounds}")
            ports = {"etcd": await etcd.leader_port(), "ours": await ours.leader_port()}
            for inside, through_face in GROUPS:
                await self._take("ours", inside, INSIDE[inside](ours, self._plan))
                for step in through_face:
                    for side, port in ports.items():
                        await self._take(side, step, THROUGH_FACE[step](port, self._plan))

    async def _take(self, side: str, step: str, work: Awaitable[Figure]) -> None:
        figure, client_cpu = await work
        self.record.add(side, step, figure, client_cpu)
        self._say(f"  {side} {step}: {figure:,.4g}")

    async def _fail_overs(self, ours: OurCluster, etcd: EtcdCluster) -> None:
        for number in range(1, self._plan.kills + 1):
            self._say(f"kill -9 of the leader, {number} of {self._plan.kills}")
            await self._in_turn("fail_over", (ours, etcd), lambda cluster: cluster.fail_over())

    async def _in_turn(
        self, step: str, clusters: Sequence[Cluster], work: Callable[[Cluster], Awaitable[float]]
    ) -> None:
        for cluster in clusters:
            figure = await work(cluster)
            self.record.add(cluster.name, step, figure)
            self._say(f"  {cluster.name} {step}: {figure:.3f} s")

    # --- memory, disk, restart --------------------------------------------------------------------

    async def _memory_and_disk(self, ours: OurCluster, etcd: EtcdCluster) -> None:
        clusters: tuple[Cluster, ...] = (ours, etcd)
        await asyncio.sleep(self._plan.settle_s)
        self._memory("idle", clusters)
        for cluster in clusters:
            self._say(f"{cluster.name}: {self._plan.fill:,} puts")
            device_before, before = await self._device_written(), cluster.written_bytes()
            rate = await cluster.fill(FILL_PREFIX, self._plan.fill)
            await asyncio.sleep(self._plan.settle_s)
            device, written = await self._device_written(), cluster.written_bytes()
            self.record.add(cluster.name, "fill", rate.rate, rate.client_cpu)
            self.record.add(cluster.name, "written_put", (written - before) / self._plan.fill)
            if device is not None and device_before is not None:
                self.record.add(cluster.name, "device_put", (device - device_before) / self._plan.fill)
        self._memory("filled", clusters)
        self._say(f"both idle for {self._plan.idle_s:g} s")
        before_idle = {cluster.name: (cluster.written_bytes(), cluster.cpu_s()) for cluster in clusters}
        await asyncio.sleep(self._plan.idle_s)
        for cluster in clusters:
            written, busy = before_idle[cluster.name]
            minutes = self._plan.idle_s / 60
            self.record.add(cluster.name, "written_idle", (cluster.written_bytes() - written) / minutes)
            self.record.add(cluster.name, "cpu_idle", (cluster.cpu_s() - busy) / minutes)

    async def _device_written(self) -> int | None:
        """What reached the device, once everything that waits in memory was sent to it."""
        await asyncio.to_thread(os.sync)
        return device_written_bytes(self._folder)

    def _memory(self, when: str, clusters: Sequence[Cluster]) -> None:
        """The largest member's, for a machine must have room for it."""
        for cluster in clusters:
            members = cluster.memory()
            self.record.add(cluster.name, f"rss_{when}", max(member.rss for member in members))
            self.record.add(cluster.name, f"anonymous_{when}", max(member.anonymous for member in members))

    async def _restarts(self, ours: OurCluster, etcd: EtcdCluster) -> None:
        for number in range(1, self._plan.restarts + 1):
            self._say(f"kill -9 of all three and start, {number} of {self._plan.restarts}")
            await self._in_turn("restart", (ours, etcd), lambda cluster: cluster.restart())
