"""`kmini agent --runtime containerd`: a pod of a real control plane runs here, in a network namespace of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from container_agent import PODS, agent_of, asked, pod_status, server_of, soon, wait_serving
from container_host import Host
from kmini.images import SAMPLE
from kmini_process import Server

from nodeagent.runtime import processes


@pytest.fixture(scope="module")
def server(host: Host) -> Iterator[Server]:
    with server_of(host) as made:
        yield made


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


def is_running(server: Server, name: str) -> bool:
    status = pod_status(server, name)
    ready = [each["ready"] for each in status.get("containerStatuses", ())]
    return status.get("phase") == "Running" and ready == [True]


def answer(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}:8080/", timeout=60) as response:
        return str(response.read().decode()).strip()


def names(server: Server) -> list[str]:
    return [each["metadata"]["name"] for each in asked(server, "GET", PODS)["items"]]


def test_a_pod_runs_survives_the_agent_and_goes(host: Host, server: Server) -> None:
    with agent_of(host, server) as first:
        soon(lambda: node_is_ready(host, server), "the node is ready")
        asked(server, "POST", PODS, sample("hello"))
        soon(lambda: is_running(server, "hello"), "the pod runs")
        status = pod_status(server, "hello")
        wait_serving(server, "hello")
        assert answer(status["podIP"]) == "hello"
        assert own_network(host, status)
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert answer(status["podIP"]) == "hello", "nobody needs the agent for that"
    with agent_of(host, server):
        asked(server, "POST", PODS, sample("second"))
        soon(lambda: is_running(server, "second"), "the next pod runs")
        again = pod_status(server, "hello")
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
                with contextlib.suppress(OSError):  # one that answered a request, and is gone
                    found.add(os.readlink(f"/proc/{pid}/ns/net"))
    return len(found) == 1 and os.readlink("/proc/thread-self/ns/net") not in found


def test_a_container_that_ends_is_restarted_and_a_bad_image_says_so(host: Host, server: Server) -> None:
    with agent_of(host, server):
        ends = {"name": "main", "image": SAMPLE, "command": ["sh", "-c", "sleep 1; exit 3"]}
        asked(server, "POST", PODS, sample("ends", containers=[ends]))
        missing = {"name": "main", "image": "kmini.local/none:1"}
        asked(server, "POST", PODS, sample("missing", containers=[missing]))
        soon(lambda: restarts(server, "ends") >= 1, "it is restarted")
        last = pod_status(server, "ends")["containerStatuses"][0]["lastState"]["terminated"]
        assert (last["exitCode"], last["reason"]) == (3, "Error")
        soon(lambda: waits_for(server, "missing") == "ErrImageNeverPull", "the reason")
        for name in ("ends", "missing"):
            asked(server, "DELETE", f"{PODS}/{name}?gracePeriodSeconds=1")
        soon(lambda: names(server) == [], "the pods are gone")


def restarts(server: Server, name: str) -> int:
    return sum(each["restartCount"] for each in pod_status(server, name).get("containerStatuses", ()))


def waits_for(server: Server, name: str) -> str:
    found = [each["state"].get("waiting", {}) for each in pod_status(server, name).get("containerStatuses", ())]
    return str(found[0].get("reason", "")) if found else ""


def test_containerd_dies_and_is_back_and_no_container_with_it(host: Host, server: Server) -> None:
    with agent_of(host, server):
        asked(server, "POST", PODS, sample("lives"))
        soon(lambda: is_running(server, "lives"), "the pod runs")
        before = pod_status(server, "lives")
        wait_serving(server, "lives")
        layout = host.settings.layout
        (containerd,) = processes.find(["--config", str(layout.config)])
        os.kill(containerd.pid, signal.SIGKILL)
        soon(lambda: other_than(containerd, layout.config) is not None, "another containerd runs")
        asked(server, "POST", PODS, sample("later"))
        soon(lambda: is_running(server, "later"), "the next pod runs")
        after = pod_status(server, "lives")
        assert (after["podIP"], after["containerStatuses"]) == (before["podIP"], before["containerStatuses"])
        assert answer(before["podIP"]) == "lives"
        for name in ("lives", "later"):
            asked(server, "DELETE", f"{PODS}/{name}?gracePeriodSeconds=1")
        soon(lambda: names(server) == [], "the pods are gone")


def other_than(known: processes.Process, config: Path) -> processes.Process | None:
    found = processes.find(["--config", str(config)])
    return next((each for each in found if each != known), None)
