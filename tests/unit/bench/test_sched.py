"""The scheduler's benchmark: its work fits its nodes, its twin of the API binds, its rows are judged as they should."""

from __future__ import annotations

import asyncio
import math

import msgspec
import pytest
from kmini.bench import sched_rows, sched_work
from kmini.bench.api_measure import ApiRecord
from kmini.bench.figures import Row, Verdict
from kmini.bench.sched_alone import measure
from kmini.bench.sched_measure import SchedPlan
from kmini.bench.sched_server import Numbers, share_below

from apiserver.api.apps import ReplicaSet
from apiserver.api.core.node import Node
from apiserver.api.core.pod import Pod

METRICS = """# TYPE took histogram
took_seconds_bucket{result="a",le="0.1"} 90.0
took_seconds_bucket{result="a",le="0.2"} 99.0
took_seconds_bucket{result="a",le="+Inf"} 100.0
took_seconds_bucket{result="b",le="0.1"} 5.0
took_seconds_bucket{result="b",le="0.2"} 5.0
took_seconds_bucket{result="b",le="+Inf"} 5.0
failed_total 3.0
"""


def test_the_work_is_made_of_objects_of_the_api() -> None:
    owners = {sched_work.set_name(0): "uid-1"}
    msgspec.convert(sched_work.node(9), Node)
    msgspec.convert(sched_work.replica_set(0), ReplicaSet)
    made = msgspec.convert(sched_work.pod(7, owners), Pod)
    assert made.metadata.owner_references[0].uid == "uid-1"


def test_the_scheduler_alone_binds_every_pod_of_the_work() -> None:
    found = asyncio.run(measure(nodes=60, pods=10 * sched_work.SET))
    assert found.rate > 0


def test_numbers_are_read_by_name_and_label() -> None:
    numbers = Numbers(METRICS)
    assert numbers.value("failed_total") == 3
    assert numbers.value("unknown") == 0
    buckets = numbers.buckets("took_seconds", 'result="a"')
    assert buckets == {0.1: 90, 0.2: 99, math.inf: 100}
    assert share_below({}, buckets, 0.99) == 0.2
    assert share_below({0.1: 90}, buckets, 0.5) == 0.2
    assert math.isnan(share_below({}, {}, 0.5))


def complete_record(plan: SchedPlan) -> ApiRecord:
    record = ApiRecord()
    steps = [
        *("alone_" + name for name in ("rate", "cpu_pod_s", "decision_p50_s", "decision_p99_s", "lateness_p99_s")),
        *("api_" + name for name in ("rate", "cpu_pod_s", "decision_p99_s", "lateness_p99_s")),
        "rss",
        "anonymous",
        "deployment_s",
    ]
    for nodes in plan.idle_nodes:
        names = ("cpu_controllers", *(f"{what}_{when}_leases" for what in ("cpu", "written", "journal")
                 for when in ("with", "without")))  # fmt: skip
        steps += [f"idle_{nodes}_{name}" for name in names]
    for step in steps:
        record.add(step, 0.005)
    return record


def made(record: ApiRecord, plan: SchedPlan) -> dict[str, Row]:
    return {row.key: row for row in sched_rows.rows(record, plan)}


def test_rows_with_an_aim_are_judged() -> None:
    plan = SchedPlan()
    rows = made(complete_record(plan), plan)
    assert rows["api_rate"].verdict is Verdict.MISSED
    judged = {key for key, row in rows.items() if row.verdict is not Verdict.REPORTED}
    assert judged == {
        "api_rate",
        "rss",
        *(f"idle_{nodes}_{name}" for nodes in (1, 100) for name in ("cpu_controllers", "written_without_leases")),
    }


def test_enough_pods_a_second_meet_the_aim() -> None:
    plan = SchedPlan()
    record = complete_record(plan)
    record.add("api_rate", 2_000.0)
    assert made(record, plan)["api_rate"].verdict is Verdict.MET


def test_a_step_that_was_not_measured_is_named() -> None:
    with pytest.raises(KeyError, match="alone_rate was not measured"):
        sched_rows.rows(ApiRecord(), SchedPlan())
