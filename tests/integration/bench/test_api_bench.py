"""A run of seconds on real replicas: every row gets its figure, and nothing is left behind."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from folder_processes import processes_of
from kmini.bench.api_measure import ApiPlan, ApiRun
from kmini.bench.api_rows import rows

pytestmark = pytest.mark.skipif(
    any(shutil.which(program) is None for program in ("wrk", "etcd", "h2load")),
    reason="wrk, etcd or h2load is not installed (Debian: wrk, etcd-server, nghttp2-client)",
)

#: A load sees something done also when the machine stands still for a moment.
BRIEF = ApiPlan(
    rounds=1, load_s=2.0, list_s=2.0, clients=4, pods_many=60, watchers=5, events=2, boots=1, settle_s=0.1,
    limit_s=400.0,
)  # fmt: skip


@pytest.mark.timeout(600)
def test_every_row_is_measured_and_every_process_ended(tmp_path: Path) -> None:
    told: list[str] = []
    data = tmp_path / "data"
    data.mkdir()
    record = asyncio.run(ApiRun(BRIEF, data, told.append).all())
    made = rows(record, BRIEF)
    assert len(made) >= 25
    assert [row.key for row in made if not row.ours_median > 0] == []
    assert any("round 1 of 1" in line for line in told)
    assert processes_of(tmp_path) == []
