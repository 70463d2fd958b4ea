"""Health and metrics from what a replica says of itself."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from apiserver.http.health import Observed, StoreCollector, readiness, report
from apiserver.http.metrics import RequestMetrics
from raftstore import Configuration, Member, ReplicaStatus, Role

GOOD = ReplicaStatus(
    member_id=1,
    name="n1",
    cluster_id=2,
    role=Role.LEADER,
    term=3,
    leader=1,
    commit_index=9,
    applied_index=8,
    revision=7,
    compact_revision=1,
    used_bytes=100,
    size_bytes=200,
    quota_bytes=1000,
    configuration=Configuration(2, (Member(1, "n1", "127.0.0.1:1"),)),
    problems=(),
)


class Seen(Observed):
    def __init__(self, status: ReplicaStatus | None) -> None:
        self._status = status

    def status(self) -> ReplicaStatus | None:
        return self._status

    def counters(self) -> Iterable[tuple[str, str, float]]:
        return [("batches", "Batches", 5)]

    def gauges(self) -> Iterable[tuple[str, str, float]]:
        return [("backup_age_seconds", "Age", 12.5)]


def shown(status: ReplicaStatus | None, *, verbose: bool = False) -> tuple[int, str]:
    code, body = report(readiness(status), verbose=verbose)
    return code, body.decode()


def exposed(status: ReplicaStatus | None) -> list[str]:
    registry = CollectorRegistry()
    registry.register(StoreCollector(Seen(status)))
    return generate_latest(registry).decode().splitlines()


def test_a_server_that_waits_for_its_peers_is_not_ready() -> None:
    assert shown(None)[0] == 503


def test_ready_is_short_and_verbose_on_request() -> None:
    assert shown(GOOD) == (200, "ok\n")
    code, text = shown(GOOD, verbose=True)
    assert code == 200
    assert "[+]leader ok\n" in text


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"leader": 0}, "leader"),
        ({"role": Role.LEARNER}, "learner"),
        ({"problems": ("the disk of this replica's state is full",)}, "disk"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, object], word: str) -> None:
    status = msgspec.structs.replace(GOOD, **change)
    code, text = shown(status)
    assert code == 503
    assert word in text
    assert any(readiness(status).values())


def test_metrics_are_prometheus_text() -> None:
    lines = exposed(GOOD)
    for line in ("kmini_store_revision 7.0", "kmini_store_is_leader 1.0", "kmini_store_batches_total 5.0"):
        assert line in lines
    assert "kmini_store_backup_age_seconds 12.5" in lines


def test_metrics_before_there_is_a_store() -> None:
    assert not [line for line in exposed(None) if line.startswith("kmini_store_revision")]


def test_requests_are_counted_by_verb_resource_and_code() -> None:
    registry = CollectorRegistry()
    metrics = RequestMetrics(registry)
    metrics.observe("get", "pods", 200, 0.003)
    metrics.observe("get", "pods", 200, 0.3)
    metrics.observe("create", "pods", 409, 0.003)
    lines = generate_latest(registry).decode().splitlines()
    assert 'apiserver_request_duration_seconds_count{code="200",resource="pods",verb="get"} 2.0' in lines
    assert 'apiserver_request_duration_seconds_count{code="409",resource="pods",verb="create"} 1.0' in lines
    assert 'apiserver_request_duration_seconds_bucket{code="200",le="0.005",resource="pods",verb="get"} 1.0' in lines
