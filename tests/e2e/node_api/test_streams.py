"""Commands in containers and connections to their ports, from kubectl through server and agent."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator

import pytest
from container_agent import PODS, asked, container, make_pod, phase, soon, wait_serving
from kmini.images import SAMPLE
from kmini_process import Server
from kubectl_shell import Shell


@pytest.fixture(scope="module")
def pods(server: Server) -> Iterator[None]:
    make_pod(
        server, "web", {"name": "main", "image": SAMPLE}, container("second", "while read l; do echo got $l; done")
    )
    soon(lambda: phase(server, "web") == "Running", "the pod runs")
    wait_serving(server, "web")
    yield
    asked(server, "DELETE", f"{PODS}/web?gracePeriodSeconds=0")


def test_commands(pods: None, kubectl: Shell) -> None:
    assert kubectl.ok("exec web -c main -- echo hello") == "hello\n"
    assert kubectl.run("echo some text | kubectl exec -i web -c main -- cat") == ("some text\n", 0)
    text, code = kubectl.run("kubectl exec web -c main -- sh -c 'echo said; exit 7'")
    assert (text, code) == ("said\ncommand terminated with exit code 7\n", 7)


def test_ports(pods: None, kubectl: Shell) -> None:
    forwarding = kubectl.start(["port-forward", "pod/web", ":8080"])
    try:
        assert forwarding.stdout is not None
        line = forwarding.stdout.readline()
        port = int(line.split("127.0.0.1:")[1].split(" ")[0])
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as answer:
            assert answer.read().decode().strip() == "web"
    finally:
        forwarding.kill()
        forwarding.communicate()


def test_nobody_answers_for_what_is_not_there(pods: None, kubectl: Shell) -> None:
    text, code = kubectl.run("kubectl exec web -c none -- true")
    assert code == 1
    assert "container none is not valid for pod web" in text
