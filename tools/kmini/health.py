"""What a server says of itself on `--api-port`: health for probes, numbers for Prometheus, status for people.

`/livez` says that the process turns its loop, `/readyz` and `/healthz` that the replica serves: it knows a leader
and trusts its data. These and `/version` are open to all (docs/architecture.md, section 5); the others need
`system:masters`. Nothing here waits for anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Protocol

import msgspec
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from raftstore.raft.engine import Role
from raftstore.replica import ReplicaStatus

from .https import JSON, Response, Route

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


def readiness(status: ReplicaStatus | None) -> Checks:
    """Every condition for serving."""
    if status is None:
        return {"store": "not open yet"}
    return {
        "store": "",
        "leader": "" if status.leader else "no leader is known",
        "voter": "" if status.role is not Role.LEARNER else "still catching up as a learner",
        "integrity": "; ".join(status.problems),
    }


def _report(checks: Checks, *, verbose: bool) -> Response:
    good = not any(checks.values())
    lines = [f"[{'+' if not said else '-'}]{name} {said or 'ok'}" for name, said in checks.items()]
    text = "\n".join([*lines, "check passed" if good else "check failed"]) if verbose or not good else "ok"
    return Response(f"{text}\n".encode(), status=HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE)


def routes(observed: Observed, version: str) -> Mapping[str, Route]:
    """The paths of the port. `version` is the package's."""
    registry = CollectorRegistry()
    registry.register(StoreCollector(observed))
    ProcessCollector(registry=registry)

    def live(query: Mapping[str, list[str]]) -> Response:
        return _report({"ping": ""}, verbose="verbose" in query)

    def ready(query: Mapping[str, list[str]]) -> Response:
        return _report(readiness(observed.status()), verbose="verbose" in query)

    def metrics(_query: Mapping[str, list[str]]) -> Response:
        return Response(generate_latest(registry), CONTENT_TYPE_LATEST)

    def status(_query: Mapping[str, list[str]]) -> Response:
        return Response(msgspec.json.encode(observed.status()), JSON)

    def show_version(_query: Mapping[str, list[str]]) -> Response:
        return Response(msgspec.json.encode({"kmini": version}), JSON)

    return {
        "/livez": Route(live, open_to_all=True),
        "/readyz": Route(ready, open_to_all=True),
        "/healthz": Route(ready, open_to_all=True),
        "/version": Route(show_version, open_to_all=True),
        "/metrics": Route(metrics),
        "/debug/status": Route(status),
    }
