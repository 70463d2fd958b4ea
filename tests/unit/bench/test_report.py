"""The table and the JSON say the same, and a missed aim stands in both."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from kmini.bench import report
from kmini.bench.figures import Aim, Row, Unit

ROWS = [
    Row(key="put", title="put", unit=Unit.SECONDS, ours=(0.002, 0.004), peer=(0.001,), aim=Aim(at_most=1.0), note="n"),
    Row(key="get", title="get", unit=Unit.RATE, ours=(100.0,), peer=(10.0,), aim=Aim(at_least=10.0)),
    Row(key="disk", title="disk", unit=Unit.BYTES, ours=(1024.0,), peer=(0.0,)),
]


def test_the_table_shows_ratio_aim_and_verdict_of_each_row() -> None:
    lines = report.table(ROWS).splitlines()
    assert lines[2].split() == ["put", "3.00", "ms", "1.00", "ms", "3.00x", "<=", "1x", "missed"]
    assert lines[3].split() == ["get", "100/s", "10/s", "10.00x", ">=", "10x", "met"]
    assert lines[4].split() == ["disk", "1.00", "KiB", "0.00", "KiB", "-", "report"]


def test_columns_are_aligned() -> None:
    header, _, *lines = report.table(ROWS).splitlines()
    end = header.index("etcd") + len("etcd")
    assert all(line[end - 1] != " " and line[end : end + 2] == "  " for line in lines)


def test_the_document_keeps_every_round_and_survives_json() -> None:
    data = json.loads(json.dumps(report.document(ROWS, machine={"cores": 2}, setup={})))
    put, _, disk = data["rows"]
    assert (put["ours"], put["ours_rounds"], put["verdict"]) == (0.003, [0.002, 0.004], "missed")
    assert disk["ratio"] is None
    assert data["machine"] == {"cores": 2}


def test_results_are_written_under_a_name_of_their_own(tmp_path: Path) -> None:
    data = report.document(ROWS, machine={}, setup={})
    path = report.write(data, tmp_path / "results", at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    assert path.name == "store-20260102T030405.json"
    assert json.loads(path.read_text()) == data


def test_notes_name_only_rows_that_have_one() -> None:
    assert report.notes(ROWS) == "- put: n"
