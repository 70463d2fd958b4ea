"""`kmini up` with real containers: from nothing to a sample that answers over its Service, and back to nothing."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from folder_processes import processes_of
from kmini_process import environment, eventually
from upped import HELLO, Upped, machine

from nodeagent.runtime import processes

POD_WITH_MOUNTS = {
    "metadata": {"name": "mounts"},
    "spec": {
        "containers": [
            {
                "name": "main",
                "image": "kmini.local/sample:latest",
                "volumeMounts": [{"name": "in-memory", "mountPath": "/memory"}],
            }
        ],
        "volumes": [{"name": "in-memory", "emptyDir": {"medium": "Memory"}}],
    },
}


@pytest.fixture(scope="module")
def bare(containers: None) -> Iterator[tuple[Upped, list[str]]]:
    """A machine on which nothing runs, and what is seen on it then."""
    with machine() as made:
        yield made, made.traces()


@pytest.fixture
def upped(bare: tuple[Upped, list[str]]) -> Upped:
    """It is up."""
    bare[0].up()
    return bare[0]


def answered(said: str) -> set[str]:
    (line,) = [line for line in said.splitlines() if " answers: " in line]
    assert re.search(r"  http://10\.96\.\d+\.\d+/ answers: ", line)
    return set(line.partition(" answers: ")[2].split(", "))


def test_from_nothing_to_an_answer_and_back(bare: tuple[Upped, list[str]]) -> None:
    upped, before = bare
    said = upped.up()
    assert "Deployment hello and Service hello are made" in said
    assert re.search(r"node \S+ is ready\n", said)
    pods = {pod["metadata"]["name"]: pod for pod in upped.pods()}
    assert len(pods) == 2
    assert answered(said) == set(pods)
    assert len(upped.traces()) > len(before) + 10
    for _ in range(2):
        upped.down()
        assert upped.traces() == before
    assert upped.run("status").returncode == 1


def test_what_is_in_the_api_comes_back(bare: tuple[Upped, list[str]]) -> None:
    upped, before = bare
    upped.up()
    names = [pod["metadata"]["uid"] for pod in upped.pods()]
    upped.ask("POST", "/api/v1/namespaces/default/pods", POD_WITH_MOUNTS)
    eventually(lambda: "mount" in {each.split()[0] for each in upped.traces() if "/in-memory" in each}, 180, "mounts")
    upped.down()
    assert upped.traces() == before
    said = upped.up()
    assert "the sample is there" in said
    assert [pod["metadata"]["uid"] for pod in upped.pods()] == names
    upped.ask("DELETE", "/api/v1/namespaces/default/pods/mounts?gracePeriodSeconds=0")


def test_up_again_changes_nothing(upped: Upped) -> None:
    before = (upped.containers(), upped.status()["process"]["pid"], upped.status()["node"]["pid"])
    said = upped.up()
    assert said.count("runs already") == 2
    assert len(answered(said)) == 2
    assert (upped.containers(), upped.status()["process"]["pid"], upped.status()["node"]["pid"]) == before


def test_what_somebody_changed_is_left_alone(upped: Upped) -> None:
    upped.scale(3)
    try:
        assert len(answered(upped.up())) == 3
        upped.ask("DELETE", HELLO)
        assert "Deployment hello is made" in upped.up()
    finally:
        upped.scale(2)
        eventually(lambda: len(upped.pods()) == 2, 180, "the others are gone")


def healthy(upped: Upped) -> dict[str, Any]:
    """Its status; a pod that takes more than a second to answer is a problem, and may be one of the machine's."""

    def look() -> dict[str, Any]:
        found = upped.status()
        return found if found["healthy"] else {}

    found: dict[str, Any] = eventually(look, 180, "all is well")
    return found


def test_status_tells_of_all_that_runs(upped: Upped) -> None:
    found = healthy(upped)
    assert found["problems"] == []
    node = found["node"]
    assert node["ready"]
    assert node["containerd"] == upped.containerd().pid
    names = [pod["metadata"]["name"] for pod in upped.pods()]
    assert sorted(each["name"] for each in node["pods"]) == names
    assert found["sample"]["answered"] == names
    line = rf"node {node['name']}  ready: agent \d+, containerd [^ ]+ \d+, 2 of 2 pods run"

    def told() -> bool:
        text = upped.run("status").stdout
        return bool(re.search(line, text)) and f"{found['sample']['url']} {', '.join(names)}" in text

    eventually(told, 180, "the same in words for people")


def test_containers_outlive_their_daemons_and_are_found_again(upped: Upped) -> None:
    before = upped.containers()
    kill_daemons(upped)
    found = upped.run("status")
    assert found.returncode == 1
    assert "the server does not run" in found.stdout
    assert "its agent does not run" in found.stdout
    assert len(answered(upped.up())) == 2
    assert upped.containers() == before


def test_containers_that_were_there_outlive_an_up_that_fails(upped: Upped) -> None:
    before = upped.pods()[0]["status"]["podIP"]
    kill_daemons(upped)
    key = upped.layout.pki / "ca.key"
    content = key.read_bytes()
    key.write_bytes(b"no key")
    try:
        done = upped.run("up")
        assert done.returncode == 1
        assert done.stderr.startswith("error: the server ended: ")
    finally:
        key.write_bytes(content)
    with urllib.request.urlopen(f"http://{before}:8080/", timeout=60) as answer:
        assert answer.status == 200
    upped.up()


def kill_daemons(upped: Upped) -> None:
    """They are gone when this returns."""
    status = upped.status()
    pids = (status["process"]["pid"], status["node"]["pid"], status["node"]["containerd"])
    known = [found for pid in pids if (found := processes.process(pid)) is not None]
    assert len(known) == len(pids)
    for each in known:
        os.kill(each.pid, signal.SIGKILL)
    eventually(lambda: not any(map(processes.alive, known)), what="the end of what was killed")


def kill_everything(upped: Upped) -> None:
    for pid in processes_of(upped.folder):
        known = processes.process(pid)
        if known is not None:
            processes.send(known, signal.SIGKILL)


def start_machine_anew(upped: Upped) -> None:
    """As far as it can be told from what was written down: all is gone, and the boot is another."""
    upped.down()
    file = upped.layout.agent_file
    text = file.read_text().replace('"torn_down":true', '"torn_down":false')
    file.write_text(re.sub(r'"boot_id":"[^"]+"', '"boot_id":"another"', text))


@pytest.mark.parametrize("disaster", [kill_daemons, kill_everything, start_machine_anew])
def test_down_leaves_nothing_after(disaster: object, bare: tuple[Upped, list[str]]) -> None:
    upped, before = bare
    upped.up()
    assert callable(disaster)
    disaster(upped)
    upped.down()
    assert upped.traces() == before


def test_a_second_node_in_the_same_network_is_refused(upped: Upped) -> None:
    ports = ["--api-port", 7443, "--peer-port", 7380, "--etcd-port", 7379, "--node-port", 7250]
    other = upped.folder / "other"
    done = upped.run("up", *ports, data_dir=other)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert f"error: {upped.layout.data_dir} has a node with containers in this network" in done.stderr
    assert upped.run("status", data_dir=other).returncode == 1, "nothing was started"
    try:
        simulated = upped.run("up", "--runtime", "fake", *ports, data_dir=other)
        assert simulated.returncode == 0, simulated.stderr
    finally:
        upped.run("down", "--purge", data_dir=other)
    healthy(upped)


def test_ports_that_are_taken_are_named(upped: Upped) -> None:
    done = upped.run("up", "--runtime", "fake", data_dir=upped.folder / "other")
    assert (done.returncode, done.stderr) == (
        1,
        "error: --api-port 6443 cannot be used: Address already in use: choose another one\n",
    )


def test_a_runtime_that_is_another_is_refused(upped: Upped) -> None:
    done = upped.run("up", "--runtime", "fake")
    assert done.returncode == 1
    assert "runs with --runtime containerd" in done.stderr


def test_in_the_foreground_all_ends_with_it(bare: tuple[Upped, list[str]]) -> None:
    upped, before = bare
    upped.down()
    command = [sys.executable, "-m", "kmini", "up", "--foreground", "--data-dir", upped.layout.data_dir]
    with subprocess.Popen(
        [*map(str, command)], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, env=environment()
    ) as process:
        assert process.stdout is not None
        assert any(line.startswith("Ctrl-C ends ") for line in process.stdout)
        process.send_signal(signal.SIGINT)
        assert "stopped the server" in process.stdout.read()
        assert process.wait(180) == 0
    assert upped.traces() == before


def test_purge_leaves_nothing_but_what_is_not_ours(bare: tuple[Upped, list[str]]) -> None:
    upped, before = bare
    upped.up()
    upped.layout.images.mkdir(exist_ok=True)
    mine = upped.layout.images / "mine.tar"
    mine.write_bytes(b"")
    upped.down("--purge")
    assert list(upped.layout.data_dir.iterdir()) == [upped.layout.images]
    assert mine.exists()
    assert upped.traces() == before
