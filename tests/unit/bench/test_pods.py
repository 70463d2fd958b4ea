"""The benchmark of pods: its rows are judged as they should, and its quick form has every row of the whole one."""

from __future__ import annotations

import pytest
from kmini.bench import pods_rows
from kmini.bench.api_measure import ApiRecord
from kmini.bench.figures import Row, Verdict
from kmini.bench.pods_measure import PodsPlan

MIB = 1024 * 1024
FIGURES = {
    "bare_p50_s": 0.300,
    "running_p50_s": 0.345,
    "running_p99_s": 0.500,
    "added_p50_s": 0.045,
    "bare_rate_1": 3.0,
    "rate_1": 2.8,
    "bare_rate_many": 6.0,
    "rate_many": 5.0,
    "running_many_p50_s": 1.0,
    "running_many_p99_s": 2.0,
    "idle_rss": 70.0 * MIB,
    "idle_anonymous": 40.0 * MIB,
    "idle_cpu": 0.001,
    "kept_rss": 85.0 * MIB,
    "kept_anonymous": 45.0 * MIB,
    "kept_cpu": 0.03,
}


def made(**other: float) -> dict[str, Row]:
    record = ApiRecord()
    for step, figure in (FIGURES | other).items():
        record.add(step, figure)
    return {row.key: row for row in pods_rows.rows(record, PodsPlan.quick())}


def test_rows_with_an_aim_are_judged() -> None:
    verdicts = {key: row.verdict for key, row in made().items() if row.verdict is not Verdict.REPORTED}
    assert verdicts == {
        "added_p50_s": Verdict.MET,
        "rate_1": Verdict.MET,
        "rate_many": Verdict.MISSED,
        "idle_rss": Verdict.MET,
        "kept_cpu": Verdict.MISSED,
    }


def test_the_bare_calls_stand_beside_ours() -> None:
    rows = made()
    assert rows["running_p50_s"].ratio == pytest.approx(1.15)
    assert rows["rate_many"].ratio == pytest.approx(5 / 6)


def test_a_step_that_was_not_measured_is_named() -> None:
    with pytest.raises(KeyError, match="was not measured"):
        pods_rows.rows(ApiRecord(), PodsPlan())
