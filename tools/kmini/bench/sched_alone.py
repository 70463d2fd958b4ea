"""The scheduler alone, on a sink in its own process (sched_sink.py): its speed, and how long one decision takes."""

from __future__ import annotations

import asyncio
import time

import msgspec

from apiserver.client import Informers
from controlplane.runtime.context import Context
from controlplane.runtime.metrics import Metrics
from controlplane.scheduler.numbers import Numbers
from controlplane.scheduler.profile import default_profile
from controlplane.scheduler.scheduler import Scheduler

from .figures import percentile
from .sched_sink import NAMESPACES, NODES, PODS, Sink
from .sched_work import NAMESPACE, node, pod

LIMIT_S = 120.0
_PROBE_S = 0.005


class Alone(msgspec.Struct, frozen=True, kw_only=True):
    """`rate`: pods bound per second, from when the scheduler sees them; times in seconds."""

    rate: float
    cpu_pod_s: float
    decision_p50_s: float
    decision_p99_s: float
    decision_max_s: float
    lateness_p99_s: float


class _Timed(Numbers):
    """Keeps how long each decision took."""

    def __init__(self, metrics: Metrics, profile: str) -> None:
        super().__init__(metrics, profile)
        self.took_s: list[float] = []

    def attempt(self, result: str, took_s: float) -> None:
        super().attempt(result, took_s)
        self.took_s.append(took_s)


async def measure(nodes: int, pods: int) -> Alone:
    """Raises TimeoutError when not all pods are bound within LIMIT_S."""
    sink = Sink()
    sink.put(NAMESPACES, [{"metadata": {"name": NAMESPACE}}])
    sink.put(NODES, map(node, range(nodes)))
    async with sink.client() as client:
        informers = Informers(client)
        context = Context(client, informers)
        timed = _Timed(context.metrics, context.options.scheduler_name)
        scheduler = Scheduler(context, default_profile(), timed)
        late: list[float] = []
        async with informers, asyncio.TaskGroup() as group:
            tasks = [group.create_task(part.run()) for part in (context.recorder, scheduler)]
            tasks.append(group.create_task(_probe(late)))
            await informers.wait_for_sync()
            began, cpu_s = time.perf_counter(), time.process_time()
            sink.put(PODS, map(pod, range(pods)))
            async with asyncio.timeout(LIMIT_S):
                await sink.all_bound.wait()
            took_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_s
            for task in tasks:
                task.cancel()
    return Alone(
        rate=pods / took_s,
        cpu_pod_s=cpu_s / pods,
        decision_p50_s=percentile(timed.took_s, 0.5),
        decision_p99_s=percentile(timed.took_s, 0.99),
        decision_max_s=max(timed.took_s),
        lateness_p99_s=percentile(late, 0.99),
    )


async def _probe(late: list[float]) -> None:
    """How late timers come meanwhile."""
    while True:
        due = time.perf_counter() + _PROBE_S
        await asyncio.sleep(_PROBE_S)
        late.append(max(0.0, time.perf_counter() - due))
