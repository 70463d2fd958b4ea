"""Which figures meet in a row of the API's table, and what is aimed at."""

from __future__ import annotations

import pytest
from kmini.bench import api_rows, report
from kmini.bench.api_measure import ApiPlan, ApiRecord
from kmini.bench.figures import Row, Verdict

STEPS = (
    "hello", "hello_p99", "get", "get_p99", "get_follower", "get_alone", "etcd_get", "create", "create_p99",
    "create_follower", "create_alone", "etcd_put", "list_many", "list_few", "etcd_range", "probe_idle",
    "probe_listing", "probe_creating", "watch_last", "watch_first", "watch_answered", "watch_read", "rss_filled",
    "anonymous_filled", "file_filled", "rss_idle", "anonymous_idle", "boot_first", "boot_again",
)  # fmt: skip


def complete_record() -> ApiRecord:
    record = ApiRecord()
    for step in STEPS:
        record.add(step, 10.0, 0.25)
    return record


def made(record: ApiRecord) -> dict[str, Row]:
    return {row.key: row for row in api_rows.rows(record, ApiPlan())}


def test_every_row_of_a_complete_record_is_made_once() -> None:
    found = api_rows.rows(complete_record(), ApiPlan())
    keys = [row.key for row in found]
    assert len(keys) == len(set(keys))
    judged = {row.key for row in found if row.verdict is not Verdict.REPORTED}
    assert judged == {"get", "create", "list_many", "watch_last", "rss_filled", "boot_first", "boot_again"}


def test_gets_and_creates_are_judged_by_the_hello() -> None:
    record = complete_record()
    assert made(record)["get"].verdict is Verdict.MET
    record.add("hello", 100.0)
    record.add("hello", 100.0)
    assert made(record)["get"].verdict is Verdict.MISSED
    assert made(record)["get_etcd"].verdict is Verdict.REPORTED


def test_lists_boots_and_memory_are_judged_by_what_they_are() -> None:
    record = complete_record()
    assert made(record)["list_many"].verdict is Verdict.MISSED
    assert made(record)["rss_filled"].verdict is Verdict.MET
    assert made(record)["boot_first"].verdict is Verdict.MISSED


def test_a_kube_apiserver_s_figures_stand_below_ours_where_there_are_any() -> None:
    record = complete_record()
    record.add("kube_get", 5.0)
    keys = [row.key for row in api_rows.rows(record, ApiPlan())]
    assert keys[keys.index("get") + 1] == "get_kube"
    assert [key for key in keys if key.endswith("_kube")] == ["get_kube"]
    found = made(record)["get_kube"]
    assert (found.ours_median, found.peer_median, found.peer_name) == (10.0, 5.0, "kube")
    assert found.verdict is Verdict.REPORTED


def test_a_step_that_was_not_measured_is_an_error_not_a_gap() -> None:
    with pytest.raises(KeyError, match="get was not measured"):
        api_rows.rows(ApiRecord(), ApiPlan())


def test_the_table_names_each_figure_s_peer_and_bears_rows_without_one() -> None:
    text = report.table(api_rows.rows(complete_record(), ApiPlan()))
    assert "hello 10/s" in text
    assert "etcd 10/s" in text
    line = next(line for line in text.splitlines() if line.startswith("RSS with"))
    assert line.split()[-5:] == ["-", "<=", "150.0", "MiB", "met"]
    document = report.document(api_rows.rows(complete_record(), ApiPlan()), machine={}, setup={}, benchmark="api")
    first = document["rows"][0]
    assert (document["benchmark"], first["hello"], first["hello_rounds"]) == ("api", 10.0, [10.0])
