"""`kmini cluster` as a shell has it: processes of their own, exit codes, one line for what is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_hosts import lost, lost_from_outside, ping, ping_from_outside, traces
from kmini.cluster import Cluster
from kmini_process import environment, eventually, kmini

KMINI = [sys.executable, "-m", "kmini"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("commands") / "c"
    yield folder
    Cluster(folder).down()


def ok(folder: Path, name: str, *arguments: str) -> str:
    done = kmini("cluster", name, "--dir", folder, *arguments, timeout_s=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def fails(folder: Path, name: str, *arguments: str, code: int = 1) -> str:
    done = kmini("cluster", name, "--dir", folder, *arguments)
    assert done.returncode == code, done.stderr
    assert len(done.stderr.splitlines()) == 1
    return done.stderr


def test_a_whole_life(folder: Path) -> None:
    up = json.loads(ok(folder, "up", "--servers", "2", "--tmpfs", "-o", "json"))
    assert [host["name"] for host in up["hosts"]] == ["s1", "s2"]
    eventually(lambda: kmini("cluster", "status", "--dir", folder).returncode == 0, what="all answer in time")
    assert "runs already" in ok(folder, "up", "--servers", "2", "--tmpfs")
    cluster = Cluster(folder)

    ok(folder, "partition", "--from", "s1", "--to", "s2,outside")
    assert lost_from_outside(cluster.hosts["s1"].address)
    ok(folder, "heal", "s1", "outside")
    assert ping_from_outside(cluster.hosts["s1"].address)
    assert lost(cluster, "s2", "s1")
    done = kmini("cluster", "status", "--dir", folder)
    assert done.returncode == 1
    assert "cut: s1 -> s2" in done.stdout
    ok(folder, "heal")
    assert ping(cluster, "s2", "s1")
    ok(folder, "partition", "s1", "s2")
    ok(folder, "partition", "s1")
    ok(folder, "heal", "s2")

    ok(folder, "pause", "s2")
    paused = json.loads(kmini("cluster", "status", "--dir", folder, "-o", "json").stdout)
    assert [host["condition"] for host in paused["hosts"]] == ["running", "paused"]
    assert not paused["healthy"]
    ok(folder, "resume", "s2")
    ok(folder, "kill", "s2", "--process", "server")
    assert "stopped" in kmini("cluster", "status", "--dir", folder).stdout
    ok(folder, "start", "s2")
    ok(folder, "restart", "s1")
    ok(folder, "kill", "s1")
    ok(folder, "start", "s1")
    assert json.loads(ok(folder, "kubeconfig")) == json.loads(cluster.kubeconfig.read_text())

    own = cluster.state.id
    assert "is down" in ok(folder, "down")
    assert traces(own, folder) == []
    assert "nothing runs" in ok(folder, "down")
    ok(folder, "down", "--purge")
    assert not folder.exists()


def test_a_command_in_a_host_has_our_streams_and_its_exit_code(tmp_path: Path) -> None:
    with Cluster(tmp_path, servers=1, tmpfs=True):
        inside = [*KMINI, "cluster", "run", "--dir", str(tmp_path), "s1", "--", "sh", "-c", "cat; exit 3"]
        done = subprocess.run(inside, input=b"hello", capture_output=True, env=environment(), check=False)
        assert (done.stdout, done.returncode) == (b"hello", 3)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    for name, *arguments in (["status"], ["kill", "s1"], ["heal"], ["pause", "s1"], ["run", "s1", "--", "true"]):
        assert "no cluster runs in" in fails(tmp_path, name, *arguments)
    assert "cannot read" in fails(tmp_path, "kubeconfig")
    (tmp_path / "cluster.json").write_text("{}")
    assert "is not a cluster's state" in fails(tmp_path, "status")
    (tmp_path / "cluster.json").write_text('{"format": 99}')
    assert "has format 99; this kmini knows format 1" in fails(tmp_path, "down")
