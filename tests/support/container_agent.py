"""A control plane, an agent with real containers beside it, and kubectl: what e2e tests of the agent stand in."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from container_host import Host
from kmini.api import ApiFailure, api_request
from kmini.images import SAMPLE
from kmini.layout import Layout
from kmini_process import Server, environment, eventually, running

WITHIN_S = 180.0
PORT = 8080  # of the sample
PODS = "/api/v1/namespaces/default/pods"


@contextmanager
def server_of(host: Host) -> Iterator[Server]:
    made = Server("a", host.folder / "server" / "a", controllers="in-process")
    made.data_dir.parent.mkdir()
    with running(made):
        yield made


@contextmanager
def agent_of(host: Host, server: Server, *more: object) -> Iterator[subprocess.Popen[bytes]]:
    """The process; killed at last. What it said is added to failures."""
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


def soon(condition: Callable[[], Any], what: str) -> Any:
    return eventually(condition, WITHIN_S, what)


def wait_for_node_api(host: Host, server: Server) -> None:
    """A pod may run before its node has the certificate of its own port."""

    def answers() -> bool:
        try:
            return bool(asked(server, "GET", f"/api/v1/nodes/{host.name}/proxy/pods")["kind"])
        except ApiFailure:
            return False

    soon(answers, "the node's API answers")


def wait_serving(server: Server, name: str) -> None:
    """A pod of the sample may run before it listens. In the network of its node."""
    address = pod_status(server, name)["podIP"]

    def listens() -> bool:
        try:
            with socket.create_connection((address, PORT), timeout=10):
                return True
        except OSError:
            return False

    soon(listens, f"{name} listens at {address}")


def container(name: str, script: str, **more: Any) -> dict[str, Any]:
    """Of the sample image, which runs a shell script."""
    return {"name": name, "image": SAMPLE, "command": ["sh", "-c", script]} | more


def make_pod(server: Server, name: str, *containers: dict[str, Any], **spec: Any) -> None:
    body = {"containers": list(containers), "terminationGracePeriodSeconds": 1} | spec
    asked(server, "POST", PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": body})


def pod_status(server: Server, name: str) -> dict[str, Any]:
    found: dict[str, Any] = asked(server, "GET", f"{PODS}/{name}")["status"]
    return found


def phase(server: Server, name: str) -> str:
    return str(pod_status(server, name).get("phase", ""))


def container_states(server: Server, name: str) -> dict[str, dict[str, Any]]:
    """By name: its state, with `restarts`."""
    statuses = pod_status(server, name).get("containerStatuses", ())
    return {each["name"]: each["state"] | {"restarts": each["restartCount"]} for each in statuses}
