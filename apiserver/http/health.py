"""What a server says of itself: health for probes, numbers for Prometheus, status for people.

`/livez` says that the process turns its loop, `/readyz` and `/healthz` that the replica serves: it knows a leader,
trusts its data and has what every cluster begins with. These and `/version` are open to all (docs/architecture.md,
section 5). Nothing here waits for anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from raftstore import ReplicaStatus, Role

Checks = Mapping[str, str]  # check → "" when good, else what is wrong

_GAUGES: tuple[tuple[str, str, Callable[[ReplicaStatus], float]], ...] = (
    ("term", "Raft term", lambda status: status.term),
    ("is_leader", "1 on the leader", lambda status: status.role is Role.LEADER),
    ("has_leader", "1 when a leader is known", lambda status: status.leader != 0),
    ("commit_index", "Newest committed log index", lambda status: status.commit_index),
    ("applied_index", "Newest applied log index", lambda status: status.applied_index),
    ("revision", "Revision of the state", lambda status: status.revision),
    ("compact_revision", "Compacted revision", lambda status: status.compact_revision),
    ("used_bytes", "Bytes of the state in use", lambda status: status.used_bytes),
    ("size_bytes", "Bytes of the state's file", lambda status: status.size_bytes),
    ("quota_bytes", "Quota of the state in bytes", lambda status: status.quota_bytes),
    ("members", "Members of the cluster", lambda status: len(status.configuration.members)),
    ("problems", "Problems the replica reports", lambda status: len(status.problems)),
)


class Observed(Protocol):
    """What is looked at; a store, or nothing yet while the server starts."""

    def status(self) -> ReplicaStatus | None: ...

    def counters(self) -> Iterable[tuple[str, str, float]]:
        """(name, help, value)"""

    def gauges(self) -> Iterable[tuple[str, str, float]]: ...


class StoreCollector(Collector):
    """The replica's numbers in Prometheus' terms, read when asked."""

    def __init__(self, observed: Observed) -> None:
        self._observed = observed

    def collect(self) -> Iterable[Metric]:
        status = self._observed.status()
        if status is not None:
            for name, text, read in _GAUGES:
                yield GaugeMetricFamily(f"kmini_store_{name}", text, value=float(read(status)))
        for name, text, value in self._observed.gauges():
            yield GaugeMetricFamily(f"kmini_store_{name}", text, value=value)
        for name, text, value in self._observed.counters():
            yield CounterMetricFamily(f"kmini_store_{name}", text, value=value)


def readiness(status: ReplicaStatus | None) -> dict[str, str]:
    """Every condition of the store for serving."""
    if status is None:
        return {"store": "not open yet"}
    return {
        "store": "",
        "leader": "" if status.leader else "no leader is known",
        "voter": "" if status.role is not Role.LEARNER else "still catching up as a learner",
        "integrity": "; ".join(status.problems),
    }


def report(checks: Checks, *, verbose: bool) -> tuple[int, bytes]:
    """Status code and text, as kube-apiserver writes them."""
    good = not any(checks.values())
    lines = [f"[{'+' if not said else '-'}]{name} {said or 'ok'}" for name, said in checks.items()]
    text = "\n".join([*lines, "check passed" if good else "check failed"]) if verbose or not good else "ok"
    return (200 if good else 503), f"{text}\n".encode()
