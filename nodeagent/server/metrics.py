"""GET /metrics (the agent's own numbers) and /metrics/resource (what the node and its pods use), for Prometheus.

Names are the kubelet's, so that dashboards and alerts for it work.
"""

from __future__ import annotations

import asyncio
import os
import resource
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from aiohttp import web

from apiserver.api.errors import ServiceUnavailable
from apiserver.api.summary import ContainerStats, NodeStats, PodStats, Summary
from apiserver.api.times import parse_time
from nodeagent.runtime.interface import Runtime, RuntimeFailure
from nodeagent.timings import Timing

from .api import Parameters
from .exposition import CONTENT_TYPE, Exposition
from .pod_starts import PodStarts
from .sources import Counters
from .stats import Stats

_CRI = "/runtime.v1."
_NANOSECONDS = 1e9


class Metrics:
    """`operations`: of the runtime, by their name in the CRI; `counters`: further numbers."""

    def __init__(
        self,
        node: str,
        runtime: Runtime,
        stats: Stats,
        starts: PodStarts,
        *,
        operations: Mapping[str, Timing],
        counters: Callable[[], Counters],
    ) -> None:
        self._node = node
        self._runtime = runtime
        self._stats = stats
        self._starts = starts
        self._operations = operations
        self._counters = counters

    async def own(
        self, _request: web.BaseRequest, _names: Sequence[str], _parameters: Parameters
    ) -> web.StreamResponse:
        made = Exposition()
        made.gauge("kubelet_node_name", "The node's name; always 1", [({"node": self._node}, 1)])
        await self._what_runs(made)
        self._runtime_operations(made)
        about = "From a pod's creation until it is seen to run"
        made.histogram("kubelet_pod_start_duration_seconds", about, [({}, self._starts.timing)])
        for (name, about), rows in self._counters().items():
            made.counter(name, about, rows)
        await asyncio.to_thread(_process, made)
        return _shown(made)

    async def _what_runs(self, made: Exposition) -> None:
        """Left out when the runtime does not answer: nobody knows, and the rest is wanted all the more."""
        try:
            sandboxes, containers = await self._runtime.list_sandboxes(), await self._runtime.list_containers()
        except RuntimeFailure:
            return
        pods = len({each.pod.uid for each in sandboxes if each.ready})
        made.gauge("kubelet_running_pods", "Pods that have a sandbox that works", [({}, pods)])
        states = Counter(each.phase.value for each in containers)
        rows = [({"container_state": state}, float(number)) for state, number in sorted(states.items())]
        made.gauge("kubelet_running_containers", "Containers by state", rows)

    def _runtime_operations(self, made: Exposition) -> None:
        named = {operation_name(method): self._operations[method] for method in sorted(self._operations)}
        labelled = [({"operation_type": name}, timing) for name, timing in named.items() if name]
        rows = [(labels, float(sum(timing.counts))) for labels, timing in labelled]
        made.counter("kubelet_runtime_operations_total", "Calls of the container runtime", rows)
        rows = [(labels, float(timing.errors)) for labels, timing in labelled if timing.errors]
        made.counter("kubelet_runtime_operations_errors_total", "Calls of the container runtime that failed", rows)
        name = "kubelet_runtime_operations_duration_seconds"
        made.histogram(name, "How long calls of the container runtime take", labelled)

    async def resource(
        self, _request: web.BaseRequest, _names: Sequence[str], _parameters: Parameters
    ) -> web.StreamResponse:
        made = Exposition()
        try:
            summary: Summary | None = await self._stats.summary()
        except ServiceUnavailable:
            summary = None
        if summary is not None:
            resource_metrics(made, summary)
        made.gauge("resource_scrape_error", "1 if there was an error, 0 otherwise", [({}, 0 if summary else 1)])
        return _shown(made)


def operation_name(method: str) -> str:
    """As the kubelet calls it: `/runtime.v1.RuntimeService/RunPodSandbox` is `run_podsandbox`; "" for what is not of
    the CRI."""
    if not method.startswith(_CRI):
        return ""
    word = method.rpartition("/")[2].replace("PodSandbox", "Podsandbox")
    return "".join(f"_{each.lower()}" if each.isupper() else each for each in word).lstrip("_")


def _shown(made: Exposition) -> web.Response:
    return web.Response(body=made.text, headers={"Content-Type": CONTENT_TYPE})


def resource_metrics(made: Exposition, summary: Summary) -> None:
    containers = [(pod, each) for pod in summary.pods for each in pod.containers]
    labelled = [(_of_container(pod, each), each) for pod, each in containers]
    pods = [({"namespace": pod.pod_ref.namespace, "pod": pod.pod_ref.name}, pod) for pod in summary.pods]
    about = "Cumulative CPU time used by the {} in core-seconds"
    made.counter(
        "container_cpu_usage_seconds_total", about.format("container"), [(at, _seconds(each)) for at, each in labelled]
    )
    made.counter("node_cpu_usage_seconds_total", about.format("node"), [({}, _seconds(summary.node))])
    made.counter("pod_cpu_usage_seconds_total", about.format("pod"), [(at, _seconds(pod)) for at, pod in pods])
    about = "Current working set of the {} in bytes"
    made.gauge(
        "container_memory_working_set_bytes", about.format("container"), [(at, _bytes(each)) for at, each in labelled]
    )
    made.gauge("node_memory_working_set_bytes", about.format("node"), [({}, _bytes(summary.node))])
    made.gauge("pod_memory_working_set_bytes", about.format("pod"), [(at, _bytes(pod)) for at, pod in pods])
    started = [(at, parse_time(each.start_time).timestamp()) for at, each in labelled]
    made.gauge("container_start_time_seconds", "Start time of the container since unix epoch in seconds", started)


def _of_container(pod: PodStats, container: ContainerStats) -> dict[str, str]:
    return {"container": container.name, "namespace": pod.pod_ref.namespace, "pod": pod.pod_ref.name}


def _seconds(counted: ContainerStats | PodStats | NodeStats) -> float:
    return (counted.cpu.usage_core_nano_seconds or 0) / _NANOSECONDS if counted.cpu else 0.0


def _bytes(counted: ContainerStats | PodStats | NodeStats) -> float:
    return (counted.memory.working_set_bytes or 0) if counted.memory else 0


def _process(made: Exposition) -> None:
    """This process, in the words of every Prometheus client."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    resident = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    made.counter("process_cpu_seconds_total", "CPU time used, in seconds", [({}, used.ru_utime + used.ru_stime)])
    made.gauge("process_resident_memory_bytes", "Memory that is there, in bytes", [({}, resident)])
    made.gauge("process_open_fds", "Open file descriptors", [({}, len(os.listdir("/proc/self/fd")))])
