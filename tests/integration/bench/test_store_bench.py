"""A run of seconds on real processes: every row gets its figures, and nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from folder_processes import processes_of
from kmini.bench import process
from kmini.bench.etcd import EtcdCluster
from kmini.bench.measure import Plan, Run
from kmini.bench.rows import rows
from kmini.bench.side import FILL_PREFIX

pytestmark = pytest.mark.skipif(
    shutil.which("etcd") is None or shutil.which("h2load") is None,
    reason="etcd or h2load is not installed (Debian: etcd-server, nghttp2-client)",
)

#: A load sees something done also when the machine stands still for a moment.
BRIEF = Plan(rounds=1, load_s=1.5, events=3, kills=1, fill=500, restarts=1, settle_s=0.2, idle_s=0.5, limit_s=400.0)
PATIENCE_S = 120.0


@pytest.mark.timeout(600)
def test_every_row_is_measured_and_every_process_ended(tmp_path: Path) -> None:
    told: list[str] = []
    record = asyncio.run(Run(BRIEF, tmp_path / "data", told.append).all())
    made = rows(record, BRIEF)
    assert len(made) >= 20
    # write_bytes may truly be zero while idle; everything else took time, memory or disk
    empty = [row.key for row in made if row.key not in ("written_idle", "cpu_idle") and not row.ours_median > 0]
    assert not empty
    assert processes_of(tmp_path) == []


@pytest.mark.timeout(600)
def test_the_peer_survives_what_is_done_to_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        cluster = EtcdCluster()
        try:
            await cluster.start(tmp_path / "etcd")
            await cluster.fill(FILL_PREFIX, 200)
            assert 0 < await cluster.fail_over() < PATIENCE_S
            assert 0 < await cluster.restart() < PATIENCE_S
            assert len(cluster.memory()) == 3
        finally:
            await cluster.stop()

    asyncio.run(scenario())
    assert processes_of(tmp_path) == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_nothing_behind(tmp_path: Path, end: signal.Signals) -> None:
    if process.file_system(tmp_path) == "tmpfs":
        pytest.skip("the temporary folder is in memory and the benchmark wants a disk")
    data, results = tmp_path / "data", tmp_path / "results"
    data.mkdir()
    command = [sys.executable, "-m", "kmini.bench", "store", "--quick", "--dir", str(data), "--results", str(results)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    listening = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs ignore it
    with subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
        preexec_fn=listening,
    ) as run:
        assert run.stderr is not None
        for line in run.stderr:
            if "round 1" in line:  # both clusters run
                break
        assert len(processes_of(data)) >= 6
        run.send_signal(end)
        _, errors = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 1
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert processes_of(data) == []
    assert list(data.iterdir()) == []
    assert not results.exists()
