"""What the node and its pods use, when somebody asks: two looks at counters and the time between.

Nobody asking costs nothing. Who asks first waits AGAIN_S for the second look; who asks within FRESH_S is given the same
answer; otherwise the last look is the first of the two, if it is not older than OLD_S, so that a rate is of late.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from apiserver.api.core.pod import Pod
from apiserver.api.errors import InternalError, ServiceUnavailable
from apiserver.api.summary import (
    ContainerStats,
    CpuStats,
    FsStats,
    MemoryStats,
    NodeStats,
    PodReference,
    PodStats,
    Summary,
)
from nodeagent.clock import Wall, timestamp
from nodeagent.runtime.interface import Container, PodKey, Runtime, RuntimeFailure, Usage

from .machine_usage import MachineUsage, machine_usage
from .rates import Sample, container_rate, machine_rate
from .real_containers import RealContainers

FRESH_S = 5.0
OLD_S = 60.0
AGAIN_S = 1.0


class Stats:
    """`folder`: whose file system is the node's disk. Without `real` containers use nothing."""

    def __init__(
        self,
        node: str,
        runtime: Runtime,
        real: RealContainers | None,
        pods: Callable[[], Sequence[Pod]],
        folder: Path,
        *,
        wall: Wall = time.time,
        look: Callable[[Path], MachineUsage] = machine_usage,
    ) -> None:
        self._node = node
        self._runtime = runtime
        self._real = real
        self._pods = pods
        self._folder = folder
        self._wall = wall
        self._look = look
        self._one_at_a_time = asyncio.Lock()
        self._last: Sample | None = None
        self._summary: Summary | None = None

    async def summary(self) -> Summary:
        """Raises ServiceUnavailable when the runtime does not answer, InternalError."""
        async with self._one_at_a_time:
            now = asyncio.get_running_loop().time()
            last = self._last
            if self._summary is not None and last is not None and now - last.taken < FRESH_S:
                return self._summary
            if last is None or now - last.taken > OLD_S:
                last = await self._sample()
                await asyncio.sleep(AGAIN_S)
            self._last = await self._sample()
            self._summary = self._made(last, self._last)
            return self._summary

    async def _sample(self) -> Sample:
        try:
            machine = await asyncio.to_thread(self._look, self._folder)
            taken, at = asyncio.get_running_loop().time(), self._wall()
            containers = [each for each in await self._runtime.list_containers() if each.running]
            usages = await self._real.usage() if self._real is not None else [_nothing(each, at) for each in containers]
        except RuntimeFailure as error:
            raise ServiceUnavailable(f"the container runtime does not say what is used: {error.message}") from error
        except (OSError, ValueError, KeyError) as error:
            raise InternalError(f"the machine does not say what is used: {error}") from error
        return Sample(
            taken=taken,
            at=at,
            machine=machine,
            containers={each.container_id: each for each in usages},
            started={each.id: each.started_at for each in containers},
        )

    # --- in the kubelet's form ----------------------------------------------------------------------------

    def _made(self, before: Sample, now: Sample) -> Summary:
        begun = {pod.metadata.uid: pod.status.start_time or "" for pod in self._pods()}
        by_pod: dict[PodKey, list[Usage]] = {}
        for usage in now.containers.values():
            if usage.container_id in now.started:  # what ended in between is not told of
                by_pod.setdefault(usage.pod, []).append(usage)
        return Summary(
            node=_node_stats(self._node, before, now),
            window_seconds=round(now.taken - before.taken, 3),
            pods=[_pod_stats(pod, begun.get(pod.uid, ""), usages, before, now) for pod, usages in by_pod.items()],
        )


def _nothing(container: Container, at: float) -> Usage:
    """What is simulated uses nothing."""
    return Usage(
        pod=container.pod,
        container=container.name,
        container_id=container.id,
        at=at,
        cpu_ns=0,
        memory_working_set=0,
        memory_rss=0,
    )


def _node_stats(node: str, before: Sample, now: Sample) -> NodeStats:
    machine, at = now.machine, timestamp(now.at)
    return NodeStats(
        node_name=node,
        start_time=timestamp(machine.booted_at),
        cpu=CpuStats(time=at, usage_nano_cores=machine_rate(before, now), usage_core_nano_seconds=machine.cpu_ns),
        memory=MemoryStats(
            time=at,
            available_bytes=machine.memory_available,
            usage_bytes=machine.memory_used,
            working_set_bytes=machine.memory_working_set,
            rss_bytes=machine.memory_rss,
        ),
        fs=FsStats(
            time=at,
            available_bytes=machine.disk_free,
            capacity_bytes=machine.disk_bytes,
            used_bytes=machine.disk_bytes - machine.disk_free,
            inodes=machine.inodes,
            inodes_free=machine.inodes_free,
            inodes_used=machine.inodes - machine.inodes_free,
        ),
    )


def _pod_stats(pod: PodKey, begun: str, usages: Sequence[Usage], before: Sample, now: Sample) -> PodStats:
    containers = [_container_stats(each, before, now) for each in sorted(usages, key=lambda each: each.container)]
    cpus = [each.cpu for each in containers if each.cpu is not None]
    rates = [each.usage_nano_cores for each in cpus]
    known = [rate for rate in rates if rate is not None]
    at = timestamp(now.at)
    return PodStats(
        pod_ref=PodReference(name=pod.name, namespace=pod.namespace, uid=pod.uid),
        start_time=begun,
        containers=containers,
        cpu=CpuStats(
            time=at,
            usage_nano_cores=sum(known) if len(known) == len(rates) else None,
            usage_core_nano_seconds=sum(each.cpu_ns for each in usages),
        ),
        memory=MemoryStats(
            time=at,
            working_set_bytes=sum(each.memory_working_set for each in usages),
            rss_bytes=sum(each.memory_rss for each in usages),
        ),
    )


def _container_stats(usage: Usage, before: Sample, now: Sample) -> ContainerStats:
    at = timestamp(usage.at)
    rate = container_rate(before, now, usage.container_id)
    return ContainerStats(
        name=usage.container,
        start_time=timestamp(now.started[usage.container_id]),
        cpu=CpuStats(time=at, usage_nano_cores=rate, usage_core_nano_seconds=usage.cpu_ns),
        memory=MemoryStats(time=at, working_set_bytes=usage.memory_working_set, rss_bytes=usage.memory_rss),
    )
