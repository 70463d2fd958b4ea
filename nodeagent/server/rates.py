"""How fast counters of CPU time grow. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from nodeagent.runtime.interface import Usage

from .machine_usage import MachineUsage

_NANOSECONDS = 1_000_000_000
SHORTEST_S = 0.05  # what is counted in less says nothing


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """`taken` by a monotonic clock, `at` since the epoch. `containers` by id; `started`: when those began to run."""

    taken: float
    at: float
    machine: MachineUsage
    containers: Mapping[str, Usage]
    started: Mapping[str, float]


def nano_cores(counted_ns: int, seconds: float) -> int | None:
    """None when that cannot be: the counter was set back, or the time is too short."""
    if counted_ns < 0 or seconds < SHORTEST_S:
        return None
    return round(counted_ns / seconds)


def machine_rate(before: Sample, now: Sample) -> int | None:
    return nano_cores(now.machine.cpu_ns - before.machine.cpu_ns, now.taken - before.taken)


def container_rate(before: Sample, now: Sample, container_id: str) -> int | None:
    """Of one that began to run between the two, since then: its counter began at 0."""
    usage = now.containers[container_id]
    last = before.containers.get(container_id)
    if last is not None:
        return nano_cores(usage.cpu_ns - last.cpu_ns, usage.at - last.at)
    started = now.started.get(container_id, 0.0)
    return nano_cores(usage.cpu_ns, usage.at - started) if started else None
