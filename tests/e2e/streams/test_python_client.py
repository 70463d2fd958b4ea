"""exec and port-forward by Kubernetes' own Python client: version 4 over WebSocket. It leaves its sockets to us."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from container_agent import PODS, asked, make_pod, phase, soon, wait_serving
from kmini.images import SAMPLE
from kmini_process import Server
from kubernetes import client, config
from kubernetes.stream import portforward, stream


@pytest.fixture(scope="module")
def api(server: Server) -> Iterator[client.CoreV1Api]:
    make_pod(server, "py", {"name": "main", "image": SAMPLE})
    soon(lambda: phase(server, "py") == "Running", "the pod runs")
    wait_serving(server, "py")
    with config.new_client_from_config(str(server.data_dir / "kubeconfig")) as connection:  # type: ignore[no-untyped-call]
        yield client.CoreV1Api(connection)
    asked(server, "DELETE", f"{PODS}/py?gracePeriodSeconds=0")


def test_a_command(api: client.CoreV1Api) -> None:
    running = stream(
        api.connect_get_namespaced_pod_exec,
        "py",
        "default",
        command=["sh", "-c", "read line; echo got $line; echo err >&2; exit 9"],
        stdin=True,
        stdout=True,
        stderr=True,
        tty=False,
        _preload_content=False,
    )
    running.write_stdin("h\u00e9llo\n")
    running.run_forever(timeout=120)
    running.sock.shutdown()
    assert (running.read_stdout(), running.read_stderr(), running.returncode) == ("got h\u00e9llo\n", "err\n", 9)


def test_a_port(api: client.CoreV1Api) -> None:
    forwarded = portforward(api.connect_get_namespaced_pod_portforward, "py", "default", ports="8080")
    connection = forwarded.socket(8080)
    connection.settimeout(120)
    connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
    answer = b""
    while data := connection.recv(65536):
        answer += data
    assert answer.endswith(b"py\n")
    assert forwarded.error(8080) is None
    connection.close()
    for thread in threading.enumerate():
        if thread.name.startswith("Kubernetes port forward"):
            thread.join(timeout=120)
    forwarded.websocket.shutdown()
