"""`kmini up`, `status`, `doctor` and `down` with a real server and a simulated node."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kmini.api import ApiFailure, api_request
from kmini.layout import Layout, worked_on
from kmini_process import environment, eventually, kmini
from ports import free_ports

WITHIN_S = 160.0  # of one command: far more than any takes, and less than a test may
HELLO = "/apis/apps/v1/namespaces/default/deployments/hello"
STEPS = [
    r"the server starts: process \d+, log in .*/run/server\.log$",
    r"the node's agent starts: process \d+, log in .*/run/agent\.log$",
    r"the server is ready: https://127\.0\.0\.1:\d+$",
    r"Deployment hello and Service hello are made$",
    r"the node is simulated$",
    r"node \S+ is registered$",
    r"node \S+ is ready$",
    r"2 of 2 pods are ready, but simulated: nothing answers$",
]


class Up:
    def __init__(self, folder: Path) -> None:
        self.data_dir = folder / "data"
        self.peer_port, self.etcd_port, self.api_port, self.node_port = free_ports(4)

    @property
    def arguments(self) -> list[object]:
        ports = ["--peer-port", self.peer_port, "--etcd-port", self.etcd_port, "--api-port", self.api_port]
        ports += ["--node-port", self.node_port]
        return ["up", "--data-dir", self.data_dir, "--runtime", "fake", *ports]

    def up(self, *more: object) -> subprocess.CompletedProcess[str]:
        return kmini(*self.arguments, *more, timeout_s=WITHIN_S)

    def run(self, name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        return kmini(name, "--data-dir", self.data_dir, *arguments, timeout_s=WITHIN_S)

    def get(self, path: str, *, certificate: bool = False) -> tuple[int, str]:
        """GET from the health port, with or without the admin certificate."""
        context = ssl.create_default_context(cafile=self.data_dir / "pki" / "ca.crt")
        if certificate:
            context.load_cert_chain(self.data_dir / "pki" / "admin.crt", self.data_dir / "pki" / "admin.key")
        try:
            url = f"https://127.0.0.1:{self.api_port}{path}"
            with urllib.request.urlopen(url, context=context, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()


@pytest.fixture(scope="module")
def upped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Up, str]]:
    """One for the whole file, and what `kmini up` said."""
    instance = Up(tmp_path_factory.mktemp("up"))
    first = instance.up()
    try:
        assert first.returncode == 0, first.stderr
        yield instance, first.stdout
    finally:
        instance.run("down", "--purge")


def test_up_says_what_it_does_and_how_to_go_on(upped: tuple[Up, str]) -> None:
    up, said = upped
    timed = [line for line in said.splitlines() if re.match(r" *\d+\.\d s  ", line)]
    steps = [line for line in timed if "  pod hello-" not in line and "  waiting: " not in line]
    for step, words in zip(steps, STEPS, strict=True):
        assert re.search(words, step), steps
    assert f"export KUBECONFIG={up.data_dir}/kubeconfig" in said
    assert f"kmini down --data-dir {up.data_dir}" in said
    eventually(lambda: told(up, "readyReplicas") == 2, what="the Deployment says of its pods what they said")


def test_up_again_keeps_what_runs_and_what_was_changed(upped: tuple[Up, str]) -> None:
    up, _said = upped
    before = json.loads(up.run("status", "-o", "json").stdout)
    api_request(Layout(up.data_dir), "PUT", f"{HELLO}/scale", scale_to(1))
    try:
        eventually(lambda: told(up, "replicas") == 1, what="one of the pods is told to go")
        again = up.up()
        assert again.returncode == 0, again.stderr
        assert again.stdout.count("runs already") == 2
        assert "the sample is there" in again.stdout
        assert "1 of 1 pods are ready" in again.stdout
    finally:
        api_request(Layout(up.data_dir), "PUT", f"{HELLO}/scale", scale_to(2))
    eventually(lambda: two_pods_run(up), 120, "both pods are ready again, and the one that had to go has gone")
    assert json.loads(up.run("status", "-o", "json").stdout)["process"]["pid"] == before["process"]["pid"]


def told(up: Up, number: str) -> int:
    """In the Deployment's status."""
    return int(api_request(Layout(up.data_dir), "GET", HELLO)["status"].get(number, 0))


def two_pods_run(up: Up) -> bool:
    found = json.loads(up.run("status", "-o", "json").stdout)
    return bool(found["healthy"]) and len(found["node"]["pods"]) == 2


def scale_to(count: int) -> dict[str, Any]:
    meta = {"name": "hello", "namespace": "default"}
    return {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": meta, "spec": {"replicas": count}}


def test_status_for_people_and_machines(upped: tuple[Up, str]) -> None:
    up, _said = upped
    text = up.run("status")
    assert text.returncode == 0
    assert "leader n1" in text.stdout
    assert re.search(r"node \S+  ready: agent \d+, simulated, 2 of 2 pods run", text.stdout)
    found: dict[str, Any] = json.loads(up.run("status", "-o", "json").stdout)
    assert found["healthy"] is True
    node = found["node"]
    assert (node["runtime"], node["ready"], node["containerd"], len(node["pods"])) == ("fake", True, 0, 2)
    assert (found["sample"]["ready"], found["sample"]["answered"], found["problems"]) == (2, [], [])
    (member,) = found["cluster"]["members"]
    assert (member["name"], member["leader"], member["reachable"]) == ("n1", True, True)


def test_doctor_finds_nothing_bad(upped: tuple[Up, str]) -> None:
    up, _said = upped
    done = up.run("doctor", "-o", "json")
    findings = json.loads(done.stdout)
    assert [finding for finding in findings if finding["level"] == "bad"] == []
    assert done.returncode == 0
    assert {finding["check"] for finding in findings} >= {"disk", "fsync", "clock", "certificates", "quorum", "lag"}


def test_the_lines_it_prints_for_etcdctl_work(upped: tuple[Up, str]) -> None:
    if shutil.which("etcdctl") is None:
        pytest.skip("etcdctl is not installed (Debian: etcd-client)")
    _up, said = upped
    lines = said[said.index("  export ETCDCTL_API") : said.index("See how it is")]
    done = subprocess.run(["bash", "-c", lines], capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 0, done.stderr
    assert "/registry/apps/deployments/default/hello" in done.stdout


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz", "/version"])
def test_health_and_version_need_no_certificate(upped: tuple[Up, str], path: str) -> None:
    assert upped[0].get(path)[0] == 200


@pytest.mark.parametrize("path", ["/metrics", "/debug/status", "/nowhere"])
def test_everything_else_needs_one(upped: tuple[Up, str], path: str) -> None:
    up, _said = upped
    assert up.get(path)[0] == 403
    assert up.get(path, certificate=True)[0] == (404 if path == "/nowhere" else 200)


def test_metrics_count_what_was_written(upped: tuple[Up, str]) -> None:
    _code, text = upped[0].get("/metrics", certificate=True)
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(values["kmini_store_revision"]) >= 2
    assert float(values["kmini_store_batches_total"]) >= 1


def test_down_is_idempotent_and_purge_leaves_nothing(tmp_path: Path) -> None:
    up = Up(tmp_path)
    try:
        assert up.up().returncode == 0
        down = up.run("down").stdout
        assert re.fullmatch(r"stopped the node's agent \(process \d+\)\nstopped the server \(process \d+\)\n", down)
        assert up.run("status").returncode == 1
        assert "nothing runs" in up.run("down").stdout
        assert (up.data_dir / "raft").is_dir()
        again = up.up()
        assert again.returncode == 0  # it starts again with what it had
        assert "the sample is there" in again.stdout
    finally:
        purged = up.run("down", "--purge")
    assert purged.returncode == 0
    assert not up.data_dir.exists()


def test_up_says_why_it_could_not_start(tmp_path: Path) -> None:
    up = Up(tmp_path)
    up.etcd_port = up.peer_port
    done = up.up()
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "must differ" in done.stderr


def test_down_refuses_to_purge_what_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "precious").write_text("x")
    done = kmini("down", "--data-dir", tmp_path, "--purge")
    assert done.returncode == 1
    assert (tmp_path / "state" / "precious").exists()


def test_one_command_at_a_time(tmp_path: Path) -> None:
    up = Up(tmp_path)
    with worked_on(Layout(up.data_dir)):
        for done in (up.up(), up.run("down")):
            assert done.returncode == 1
            assert done.stderr.startswith("error: another `kmini up` or `kmini down` works on ")
    assert up.run("status").returncode == 1


def test_a_daemon_that_ends_at_once_is_told_of_and_leaves_nothing(tmp_path: Path) -> None:
    """What the agent cannot use was left by somebody else."""
    up = Up(tmp_path)
    (up.data_dir / "agent").mkdir(parents=True)
    (up.data_dir / "agent" / "client.pem").write_text("no certificate")
    done = up.up()
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("error: the node's agent ended: ")
    assert "client.pem holds no certificate" in done.stderr
    assert up.run("status").returncode == 1
    assert Layout(up.data_dir).running() is None


def test_in_the_foreground_it_ends_when_a_daemon_does(tmp_path: Path) -> None:
    up = Up(tmp_path)
    command = [sys.executable, "-m", "kmini", *map(str, up.arguments), "--foreground"]
    pipe = subprocess.PIPE
    try:
        with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment()) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert any(line.startswith("Ctrl-C ends ") for line in process.stdout)
            agent = Layout(up.data_dir).running_agent()
            assert agent is not None
            os.kill(agent.pid, signal.SIGKILL)
            assert process.wait(WITHIN_S) == 1
            assert process.stderr.read().startswith("error: the node's agent ended by signal 9 (Killed): ")
        found = up.run("status")
        assert found.returncode == 1
        assert re.search(r"problem: node \S+: its agent does not run", found.stdout)
    finally:
        up.run("down", "--purge")


def test_without_a_sample(tmp_path: Path) -> None:
    up = Up(tmp_path)
    try:
        done = up.up("--no-sample")
        assert done.returncode == 0, done.stderr
        assert "hello" not in done.stdout
        assert json.loads(up.run("status", "-o", "json").stdout)["sample"] is None
        with pytest.raises(ApiFailure, match="not found"):
            api_request(Layout(up.data_dir), "GET", HELLO)
    finally:
        up.run("down", "--purge")
