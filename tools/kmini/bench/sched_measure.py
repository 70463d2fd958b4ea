"""The run of the scheduler's benchmark: alone, through the API of one replica, a Deployment, and doing nothing.

Nodes are objects alone: nobody runs what is bound. Everything shares one machine: the server, its controllers, and the
benchmark, whose own work is small while figures are taken.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from . import sched_work as work
from .api_access import Hands
from .api_measure import ApiRecord
from .api_servers import environment
from .sched_alone import measure as measure_alone
from .sched_idle import Idle
from .sched_idle import measure as measure_idle
from .sched_server import (
    LIMIT_S,
    Numbers,
    SchedServer,
    fill,
    settled,
    share_below,
    until_all_bound,
    until_bound,
)

#: Nodes are objects alone, which nobody reports on: what would take them for lost, or give them addresses, is left out.
CONTROLLERS = "in-process,-node-lifecycle,-node-ipam"

Tell = Callable[[str], None]

_DECISIONS = "scheduler_scheduling_attempt_duration_seconds"
_LATENESS = "kmini_controllers_lateness_seconds"
_DEPLOYMENTS = f"/apis/apps/v1/namespaces/{work.NAMESPACE}/deployments"


class SchedPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How much and how long. `limit_s` bounds the whole run."""

    rounds: int = 3
    nodes: int = work.NODES
    pods: int = work.PODS
    replicas: int = 1_000
    idle_nodes: tuple[int, ...] = (1, 100)
    idle_s: float = 60.0
    idle_settle_s: float = 75.0  # a server's first snapshot comes a minute after its start
    settle_s: float = 10.0
    limit_s: float = 1_800.0

    @classmethod
    def quick(cls) -> SchedPlan:
        """Still every row, too short to mean much."""
        return cls(
            rounds=1, nodes=200, pods=1_500, replicas=200, idle_s=8.0, idle_settle_s=3.0, settle_s=3.0, limit_s=175.0
        )


class SchedRun:
    """One run of the plan; `folder` lies on a disk."""

    def __init__(self, plan: SchedPlan, folder: Path, tell: Tell) -> None:
        self._plan = plan
        self._folder = folder
        self._tell = tell
        self._begin = time.monotonic()
        self._environment = environment(folder)
        self._servers = 0
        self.record = ApiRecord()

    def _say(self, text: str) -> None:
        self._tell(f"[{time.monotonic() - self._begin:5.0f} s] {text}")

    def _add(self, step: str, figure: float) -> None:
        self.record.add(step, figure)
        self._say(f"  {step}: {figure:,.4g}")

    async def all(self) -> ApiRecord:
        """The whole plan. Raises TimeoutError past its limit, and what the servers raise."""
        plan = self._plan
        async with asyncio.timeout(plan.limit_s):
            for number in range(1, plan.rounds + 1):
                self._say(f"{plan.pods:,} pods onto {plan.nodes:,} nodes, round {number} of {plan.rounds}")
                await self._alone()
                await self._through_the_api()
            for nodes in plan.idle_nodes:
                self._say(f"nothing to do, {nodes} nodes, {plan.idle_s:g} s each time")
                self._idle(nodes, await measure_idle(self._server, nodes, plan.idle_s, plan.idle_settle_s))
        return self.record

    @asynccontextmanager
    async def _server(self) -> AsyncIterator[SchedServer]:
        self._servers += 1
        server = SchedServer(self._folder / f"server-{self._servers}", self._environment)
        try:
            yield server
        finally:
            await asyncio.shield(server.stop())

    async def _alone(self) -> None:
        found = await measure_alone(self._plan.nodes, self._plan.pods)
        for name in found.__struct_fields__:
            self._add(f"alone_{name}", getattr(found, name))

    # --- through the API ------------------------------------------------------------------------------

    async def _through_the_api(self) -> None:
        plan = self._plan
        async with self._server() as server:
            await server.start("none")
            async with server.admin() as admin:
                await fill(admin, plan.nodes, plan.pods)
            await server.stop()
            await server.start(CONTROLLERS)
            async with server.admin() as admin:
                await self._backlog(server, admin)
                await self._deployment(admin)

    async def _backlog(self, server: SchedServer, admin: Hands) -> None:
        """The pods are all there when the scheduler begins."""
        plan = self._plan
        await until_bound(admin, LIMIT_S)
        first, cpu_s, before = time.monotonic(), server.cpu_s(), await Numbers.read(admin)
        await until_all_bound(admin, LIMIT_S)
        self._add("api_rate", plan.pods / (time.monotonic() - first))
        self._add("api_cpu_pod_s", (server.cpu_s() - cpu_s) / plan.pods)
        numbers = await Numbers.read(admin)
        self._add("api_decision_p99_s", share_below({}, numbers.buckets(_DECISIONS, 'result="scheduled"'), 0.99))
        self._add("api_lateness_p99_s", share_below(before.buckets(_LATENESS), numbers.buckets(_LATENESS), 0.99))
        self._add("api_refused", numbers.value("kmini_scheduler_bindings_failed_total"))
        await settled(admin, "/api/v1/events")
        await asyncio.sleep(plan.settle_s)
        memory = server.memory()
        self._add("rss", memory.rss)
        self._add("anonymous", memory.anonymous)

    async def _deployment(self, admin: Hands) -> None:
        """On the filled cluster, with all controllers."""
        replicas = self._plan.replicas
        begin = time.monotonic()
        await admin.send("POST", _DEPLOYMENTS, work.deployment("scaled", replicas))
        await until_all_bound(admin, LIMIT_S, labels="app=scaled", count=replicas)
        self._add("deployment_s", time.monotonic() - begin)

    def _idle(self, nodes: int, found: Idle) -> None:
        for name in found.__struct_fields__:
            self._add(f"idle_{nodes}_{name}", getattr(found, name))


def setup(plan: SchedPlan) -> dict[str, Any]:
    """For the report."""
    return {
        "replicas": 1,
        "nodes": "objects alone",
        "pod_bytes": len(work.as_json(work.pod(0))),
        "plan": {name: getattr(plan, name) for name in plan.__struct_fields__},
    }
