"""Health, metrics and status from what a replica says of itself."""

from __future__ import annotations

import json
from collections.abc import Iterable

import msgspec
import pytest
from kmini.health import Observed, readiness, routes

from raftstore.raft.engine import Configuration, Member, Role
from raftstore.replica import ReplicaStatus

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


def get(path: str, status: ReplicaStatus | None = GOOD, **query: list[str]) -> tuple[int, str]:
    response = routes(Seen(status), "0.1.0")[path].answer(query)
    return response.status.value, response.body.decode()


def test_health_and_version_are_all_that_is_open() -> None:
    table = routes(Seen(None), "0.1.0")
    assert {path for path, route in table.items() if route.open_to_all} == {"/livez", "/readyz", "/healthz", "/version"}


def test_a_server_that_waits_for_its_peers_lives_and_is_not_ready() -> None:
    assert get("/livez", None) == (200, "ok\n")
    assert get("/readyz", None)[0] == 503


def test_ready_is_short_and_verbose_on_request() -> None:
    assert get("/readyz") == (200, "ok\n")
    code, text = get("/readyz", verbose=[""])
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
    code, text = get("/readyz", status)
    assert code == 503
    assert word in text
    assert get("/livez", status)[0] == 200
    assert any(readiness(status).values())


def test_metrics_are_prometheus_text() -> None:
    code, text = get("/metrics")
    assert code == 200
    lines = text.splitlines()
    for line in ("kmini_store_revision 7.0", "kmini_store_is_leader 1.0", "kmini_store_batches_total 5.0"):
        assert line in lines
    assert "kmini_store_backup_age_seconds 12.5" in lines
    assert any(line.startswith("process_resident_memory_bytes ") for line in lines)


def test_metrics_before_there_is_a_store() -> None:
    assert "kmini_store_revision" not in get("/metrics", None)[1]


def test_status_is_json() -> None:
    assert json.loads(get("/debug/status")[1])["role"] == "leader"
    assert json.loads(get("/version")[1]) == {"kmini": "0.1.0"}
