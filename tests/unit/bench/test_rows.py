"""Which figures meet in a row, and which of etcd's ways it is compared by."""

from __future__ import annotations

import pytest
from kmini.bench.figures import Verdict
from kmini.bench.measure import INSIDE, THROUGH_FACE, Plan, Record
from kmini.bench.rows import rows

AFTERWARDS = (
    "fail_over", "fill", "restart", "rss_idle", "anonymous_idle", "rss_filled", "anonymous_filled",
    "device_put", "written_put", "written_idle", "cpu_idle",
)  # fmt: skip


def complete_record() -> Record:
    record = Record()
    for step in INSIDE:
        record.add("ours", step, 10.0)
    for side in ("ours", "etcd"):
        for step in (*THROUGH_FACE, *AFTERWARDS):
            record.add(side, step, 10.0, 0.25)
    return record


def test_every_row_of_a_complete_record_is_made_once() -> None:
    keys = [row.key for row in rows(complete_record(), Plan())]
    assert len(keys) == len(set(keys))
    assert {"put_p50", "put_rate", "get_rate", "range", "watch", "fail_over_p50", "fail_over_p99"} <= set(keys)
    assert {"restart", "rss_idle", "rss_filled", "written_put", "written_idle", "grpc_put_shared"} <= set(keys)


def test_ours_is_compared_with_the_faster_way_of_etcd() -> None:
    record = complete_record()
    record.add("etcd", "grpc_put_separate", 1000.0)
    record.add("etcd", "grpc_put_separate", 1000.0)
    found = {row.key: row for row in rows(record, Plan())}
    assert found["put_rate"].peer_median == 1000.0
    assert found["put_rate"].verdict is Verdict.MISSED
    assert found["get_rate"].peer_median == 10.0


def test_the_slowest_fail_over_is_the_p99() -> None:
    record = complete_record()
    for figure in (11.0, 12.0, 30.0):
        record.add("ours", "fail_over", figure)
    found = {row.key: row for row in rows(record, Plan())}
    assert found["fail_over_p99"].ours_median == 30.0
    assert found["fail_over_p50"].ours_median == 11.5


def test_a_step_that_was_not_measured_is_an_error_not_a_gap() -> None:
    with pytest.raises(KeyError, match="put_shared was not measured"):
        rows(Record(), Plan())


def test_without_a_known_device_its_row_is_left_out() -> None:
    record = complete_record()
    record._figures.pop(("etcd", "device_put"))
    keys = [row.key for row in rows(record, Plan())]
    assert "device_put" not in keys
    assert "written_put" in keys


def test_a_scaled_idle_minute_says_so() -> None:
    found = {row.key: row for row in rows(complete_record(), Plan.quick())}
    assert "scaled up from 10 s" in found["written_idle"].note


@pytest.mark.parametrize(("plan", "minutes"), [(Plan(), 15), (Plan.quick(), 3)])
def test_every_plan_is_bounded_and_has_three_rounds(plan: Plan, minutes: int) -> None:
    assert plan.limit_s < minutes * 60
    assert plan.rounds >= 3
