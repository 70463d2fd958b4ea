"""`kmini agent --runtime containerd`: a pod of a real control plane runs here, in a network namespace of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from container_host import Host
from kmini.api import api_request
from kmini.images import SAMPLE
from kmini.layout import Layout
from kmini_process import Server, environment, eventually, running

from nodeagent.runtime import processes

WITHIN_S = 40.0
PODS = "/api/v1/namespaces/default/pods"


@pytest.fixture(scope="module")
def server(host: Host) -> Iterator[Server]:
    made = Server("a", host.folder / "server" / "a", controllers="in-process")
    made.data_dir.parent.mkdir()
    with running(made):
        yield made


@contextmanager
def agent(host: Host, server: Server, *more: object) -> Iterator[subprocess.Popen[bytes]]:
    """The process; killed at last."""
    command = [sys.executable, "-m", "kmini", "agent", "--node-name", host.name, "--data-dir", host.folder]
    command += ["--server", f"https://127.0.0.1:{server.api_port}", "--token-file", server.data_dir / "token"]
    with (host.folder / "agent.log").open("ab") as log:
        process = subprocess.Popen(
            [*map(str, command), *map(str, more)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment()
        )
    try:
        yield process
    except AssertionError as error:
        error.add_note((host.folder / "agent.log").read_text()[-4000:])
        raise
    finally:
        process.kill()
        process.wait()


def asked(server: Server, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = api_request(Layout(server.data_dir), method, path, body)
    return found


def soon(condition: Callable[[], bool], what: str) -> None:
    eventually(condition, WITHIN_S, what)


def node_is_ready(host: Host, server: Server) -> bool:
    items = asked(server, "GET", "/api/v1/nodes")["items"]
    conditions = [each for item in items for each in item["status"]["conditions"] if each["type"] == "Ready"]
    return [each["status"] for each in conditions] == ["True"]


def sample(name: str, **more: Any) -> dict[str, Any]:
    container = {"name": "main", "image": SAMPLE, "imagePullPolicy": "Always"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [container]} | more,
    }


def status_of(server: Server, name: str) -> dict[str, Any]:
    found: dict[str, Any] = asked(server, "GET", f"{PODS}/{name}")["status"]
    return found


def is_running(server: Server, name: str) -> bool:
    status = status_of(server, name)
    ready = [each["ready"] for each in status.get("containerStatuses", ())]
    return status.get("phase") == "Running" and ready == [True]


def answer(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}:8080/", timeout=10) as response:
        return str(response.read().decode()).strip()


def names(server: Server) -> list[str]:
    return [each["metadata"]["name"] for each in asked(server, "GET", PODS)["items"]]


def test_a_pod_runs_survives_the_agent_and_goes(host: Host, server: Server) -> None:
    with agent(host, server) as first:
        soon(lambda: node_is_ready(host, server), "the node is ready")
        asked(server, "POST", PODS, sample("hello"))
        soon(lambda: is_running(server, "hello"), "the pod runs")
        status = status_of(server, "hello")
        assert answer(status["podIP"]) == "hello"
        assert own_network(host, status)
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert answer(status["podIP"]) == "hello", "nobody needs the agent for that"
    with agent(host, server):
        asked(server, "POST", PODS, sample("second"))
        soon(lambda: is_running(server, "second"), "the next pod runs")
        again = status_of(server, "hello")
        assert again["podIP"] == status["podIP"]
        assert again["containerStatuses"] == status["containerStatuses"], "nothing was restarted"
        for name in ("hello", "second"):
            asked(server, "DELETE", f"{PODS}/{name}")
        soon(lambda: names(server) == [], "the pods are gone")
        soon(lambda: [each for group in host.groups for each in group.glob("kubepods/pod*")] == [], "all is gone")


def own_network(host: Host, status: dict[str, Any]) -> bool:
    """Whether the processes of its container are in another network namespace than the node."""
    container = status["containerStatuses"][0]["containerID"].rpartition("/")[2]
    found = set()
    for group in host.groups:
        for procs in group.glob(f"kubepods/pod*/{container}/cgroup.procs"):
            for pid in procs.read_text().split():
                with contextlib.suppress(FileNotFoundError):  # one that answered a request, and is gone
                    found.add(os.readlink(f"/proc/{pid}/ns/net"))
    return len(found) == 1 and os.readlink("/proc/thread-self/ns/net") not in found


def test_a_container_that_ends_is_restarted_and_a_bad_image_says_so(host: Host, server: Server) -> None:
    with agent(host, server):
        ends = {"name": "main", "image": SAMPLE, "command": ["sh", "-c", "sleep 1; exit 3"]}
        asked(server, "POST", PODS, sample("ends", containers=[ends]))
        missing = {"name": "main", "image": "kmini.local/none:1"}
        asked(server, "POST", PODS, sample("missing", containers=[missing]))
        soon(lambda: restarts(server, "ends") >= 1, "it is restarted")
        last = status_of(server, "ends")["containerStatuses"][0]["lastState"]["terminated"]
        assert (last["exitCode"], last["reason"]) == (3, "Error")
        soon(lambda: waits_for(server, "missing") == "ErrImageNeverPull", "the reason")
        for name in ("ends", "missing"):
            asked(server, "DELETE", f"{PODS}/{name}?gracePeriodSeconds=1")
        soon(lambda: names(server) == [], "the pods are gone")


def restarts(server: Server, name: str) -> int:
    return sum(each["restartCount"] for each in status_of(server, name).get("containerStatuses", ()))


def waits_for(server: Server, name: str) -> str:
    found = [each["state"].get("waiting", {}) for each in status_of(server, name).get("containerStatuses", ())]
    return str(found[0].get("reason", "")) if found else ""


def test_containerd_dies_and_is_back_and_no_container_with_it(host: Host, server: Server) -> None:
    with agent(host, server):
        asked(server, "POST", PODS, sample("lives"))
        soon(lambda: is_running(server, "lives"), "the pod runs")
        before = status_of(server, "lives")
        layout = host.settings.layout
        (containerd,) = processes.find(["--config", str(layout.config)])
        os.kill(containerd.pid, signal.SIGKILL)
        soon(lambda: other_than(containerd, layout.config) is not None, "another containerd runs")
        asked(server, "POST", PODS, sample("later"))
        soon(lambda: is_running(server, "later"), "the next pod runs")
        after = status_of(server, "lives")
        assert (after["podIP"], after["containerStatuses"]) == (before["podIP"], before["containerStatuses"])
        assert answer(before["podIP"]) == "lives"
        for name in ("lives", "later"):
            asked(server, "DELETE", f"{PODS}/{name}?gracePeriodSeconds=1")
        soon(lambda: names(server) == [], "the pods are gone")


def other_than(known: processes.Process, config: Path) -> processes.Process | None:
    found = processes.find(["--config", str(config)])
    return next((each for each in found if each != known), None)
