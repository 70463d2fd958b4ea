"""From an agent's summary to NodeMetrics and PodMetrics. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from apiserver.api.base import ResourceList
from apiserver.api.meta import ObjectMeta
from apiserver.api.metrics import ContainerMetrics, NodeMetrics, PodMetrics
from apiserver.api.quantity import Form, Quantity
from apiserver.api.summary import CpuStats, MemoryStats, PodStats, Summary
from apiserver.api.times import is_time

API_VERSION = "metrics.k8s.io/v1beta1"
_NANO = 10**9
_MOST = 2**63 - 1  # an agent may say anything


def node_metrics(name: str, labels: Mapping[str, str], summary: Summary) -> NodeMetrics | None:
    """None when it is not known yet."""
    usage, measured = _usage(summary.node.cpu, summary.node.memory), _time(summary.node.cpu)
    if usage is None or not measured:
        return None
    return NodeMetrics(
        api_version=API_VERSION,
        kind="NodeMetrics",
        metadata=ObjectMeta(name=name, creation_timestamp=measured, labels=dict(labels)),
        timestamp=measured,
        window=_window(summary),
        usage=usage,
    )


def pod_metrics(namespace: str, name: str, labels: Mapping[str, str], summary: Summary) -> PodMetrics | None:
    """None when it is not known of all its containers: a sum would be wrong."""
    stats = find_pod(summary, namespace, name)
    if stats is None or not stats.containers:
        return None
    containers, measured = [], _time(stats.cpu)
    for each in stats.containers:
        usage = _usage(each.cpu, each.memory)
        if usage is None:
            return None
        containers.append(ContainerMetrics(name=each.name, usage=usage))
    if not measured:
        return None
    return PodMetrics(
        api_version=API_VERSION,
        kind="PodMetrics",
        metadata=ObjectMeta(name=name, namespace=namespace, creation_timestamp=measured, labels=dict(labels)),
        timestamp=measured,
        window=_window(summary),
        containers=containers,
    )


def find_pod(summary: Summary, namespace: str, name: str) -> PodStats | None:
    wanted = (namespace, name)
    return next((each for each in summary.pods if (each.pod_ref.namespace, each.pod_ref.name) == wanted), None)


def _usage(cpu: CpuStats | None, memory: MemoryStats | None) -> ResourceList | None:
    cores = cpu.usage_nano_cores if cpu is not None else None
    held = memory.working_set_bytes if memory is not None else None
    if cores is None or held is None or not (0 <= cores <= _MOST and 0 <= held <= _MOST):
        return None
    return {"cpu": str(Quantity(cores)), "memory": str(Quantity(held * _NANO, Form.BINARY))}


def _time(cpu: CpuStats | None) -> str:
    text = cpu.time if cpu is not None else ""
    return "" if is_time(text) else text


def _window(summary: Summary) -> str:
    return f"{min(max(summary.window_seconds, 0.0), 1e6):.3f}s"
