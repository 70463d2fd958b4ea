"""Nodes with real containers on hosts of their own, and what asks in their network: from a host, from inside a pod's
network, from outside.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from container_processes import is_first
from kmini.agent_runtime import RuntimeSettings, make_runtime
from kmini.api import admin_context, json_object
from kmini.api import request as http_request
from kmini.cluster import Cluster
from kmini.cluster.daemons import API_PORT
from kmini.errors import CommandError
from kmini.images import SAMPLE
from kmini_process import eventually
from pod_network import inside

from nodeagent.runtime.cgroups import groups
from nodeagent.runtime.interface import RuntimeFailure

WITHIN_S = 180.0
PATIENCE_S = 20.0
PORT = 8080
#: This machine itself, which is no host of the cluster.
OUTSIDE = "/proc/self/ns/net"
_PATHS = {
    "Pod": "/api/v1/namespaces/default/pods",
    "Service": "/api/v1/namespaces/default/services",
    "Deployment": "/apis/apps/v1/namespaces/default/deployments",
    "Node": "/api/v1/nodes",
}


class Rig:
    """Places, for `ask` and others, are network namespaces: those of hosts, of pods, and OUTSIDE."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._context = admin_context(cluster.files.pki)

    @property
    def nodes(self) -> list[str]:
        return [name for name, host in self.cluster.hosts.items() if host.role == "node"]

    def address(self, host: str) -> str:
        return self.cluster.hosts[host].address

    # --- objects ------------------------------------------------------------------------------------------

    def api(self, method: str, kind: str, name: str = "", body: Any = None) -> dict[str, Any]:
        return self._asked(method, f"{_PATHS[kind]}/{name}" if name else _PATHS[kind], body)

    def _asked(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        server = f"{self.address('s1')}:{API_PORT}"
        raw = None if body is None else json.dumps(body).encode()
        return json_object(http_request(server, self._context, method, path, raw), server)

    def create(self, *bodies: dict[str, Any]) -> None:
        for body in bodies:
            self.api("POST", body["kind"], body=body)

    def delete(self, kind: str, name: str) -> None:
        with contextlib.suppress(CommandError):
            self.api("DELETE", kind, f"{name}?gracePeriodSeconds=1" if kind == "Pod" else name)

    def pods(self, app: str) -> list[dict[str, Any]]:
        """Those that are ready and do not end."""
        found = self._asked("GET", f"{_PATHS['Pod']}?labelSelector=app%3D{app}")["items"]
        return [each for each in found if _is_ready(each)]

    def wait_pods(self, app: str, count: int) -> list[dict[str, Any]]:
        """`count` of them, on every node."""

        def look() -> list[dict[str, Any]]:
            found = self.pods(app)
            nodes = {each["spec"]["nodeName"] for each in found}
            return found if len(found) == count and len(nodes) == min(count, len(self.nodes)) else []

        with self.logs_on_failure():
            pods: list[dict[str, Any]] = eventually(look, WITHIN_S, f"{count} ready pods of {app}")
        return pods

    def cluster_ip(self, service: str) -> str:
        return str(self.api("GET", "Service", service)["spec"]["clusterIP"])

    @contextmanager
    def logs_on_failure(self) -> Iterator[None]:
        try:
            yield
        except AssertionError as error:
            for node in self.nodes:
                error.add_note(f"{node}: {self.cluster.hosts[node].log.read_text()[-3000:]}")
            raise

    # --- places -------------------------------------------------------------------------------------------

    def host(self, name: str) -> str:
        return str(self.cluster.hosts[name].namespace)

    def inside_pod(self, pod: dict[str, Any]) -> str:
        """Its network, by its first process: others come and go."""
        node, uid = pod["spec"]["nodeName"], pod["metadata"]["uid"]
        for group in groups(f"/{self.cluster.state.group_name}/{node}/kubepods/pod{uid}/{_container_id(pod)}"):
            procs = group / "cgroup.procs"
            for pid in procs.read_text(encoding="ascii").split() if procs.exists() else ():
                if is_first(int(pid)):
                    return f"/proc/{pid}/ns/net"
        raise AssertionError(f"no process of {pod['metadata']['name']} is there")

    def exec(self, pod: dict[str, Any], *command: str) -> str:
        """What a command in its container says, on both streams."""
        node = pod["spec"]["nodeName"]
        folder = self.cluster.hosts[node].data_dir / "agent"
        settings = RuntimeSettings(node=node, folder=folder, images=folder, socket=None, group=f"/{node}")

        async def body() -> str:
            runtime = make_runtime(settings)
            try:
                done = await runtime.exec_sync(_container_id(pod), command, timeout_s=60.0)
            finally:
                await runtime.close()
            return (done.stdout + done.stderr).decode()

        try:
            return asyncio.run(body())
        except RuntimeFailure as error:
            return error.message

    def wait_open(self) -> None:
        """Until pods are let on every node: one that is ready is still tainted for a moment."""

        def none_tainted() -> bool:
            return not any(each["spec"].get("taints") for each in self.api("GET", "Node")["items"])

        eventually(none_tainted, WITHIN_S, "nodes without taints")

    def wait_routes(self) -> None:
        """Until every node knows the way to the pods of every other."""
        networks = [each["spec"].get("podCIDR", "none") for each in self.api("GET", "Node")["items"]]
        with self.logs_on_failure():
            for node in self.nodes:
                eventually(lambda node=node: all(each in self.routes(node) for each in networks), WITHIN_S, "routes")

    def wait_service(self, name: str, app: str) -> None:
        """Until every node sends what asks for it to all its pods: each learns of them in its own time."""
        address = self.cluster_ip(name)
        names = {each["metadata"]["name"] for each in self.pods(app)}
        with self.logs_on_failure():
            for node in self.nodes:
                place = self.host(node)
                eventually(lambda place=place: tried(place, address, names), WITHIN_S, f"{name} at {node}")

    def wait_names(self, pods: list[dict[str, Any]], service: str) -> None:
        """Until the DNS of every node that these pods are on knows the Service."""
        name = f"{service}.default.svc.cluster.local"
        address = self.cluster_ip(service)
        with self.logs_on_failure():
            for pod in pods:
                eventually(lambda pod=pod: address in self.exec(pod, "nslookup", name), WITHIN_S, f"{name} is known")

    def routes(self, node: str) -> str:
        return self.cluster.run(node, ["ip", "route"]).stdout


def ask(place: str, address: str, port: int) -> str:
    """What answers over HTTP; a connection of its own. Raises OSError."""
    with connect(place, address, port) as connection:
        return request(connection)


def connect(place: str, address: str, port: int) -> socket.socket:
    with inside(place):
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        connection.settimeout(PATIENCE_S)
        connection.connect((address, port))
    except BaseException:
        connection.close()
        raise
    return connection


def request(connection: socket.socket, said: bytes = b"GET / HTTP/1.0\r\n\r\n") -> str:
    """What answers, once this is said."""
    connection.sendall(said)
    answer = b""
    while piece := connection.recv(4096):
        answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    if b" 200 " not in head or not body:
        raise ConnectionError(f"no answer but {answer!r}")
    return body.decode().strip()


class Load:
    """Asks again and again in a thread, a request on a connection of its own each time, until the end of the block."""

    def __init__(self, place: str, address: str, port: int, *, at_least: int = 0, pause_s: float = 0.01) -> None:
        self.asked = 0
        self.failures: list[str] = []
        self.answered_by: set[str] = set()
        self._target = (place, address, port)
        self._at_least = at_least
        self._pause_s = pause_s
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        while self.asked < self._at_least or not self._ending.is_set():
            try:
                self.answered_by.add(ask(*self._target))
            except OSError as error:
                self.failures.append(f"{time.strftime('%H:%M:%S')} {type(error).__name__}: {error}")
            self.asked += 1
            time.sleep(self._pause_s)


def answers(place: str, address: str, port: int, *, wanted: int, tries: int = 200) -> set[str]:
    """Who answers; asked until so many did."""
    found: set[str] = set()
    for _ in range(tries):
        found.add(ask(place, address, port))
        if len(found) >= wanted:
            break
    return found


def tried(place: str, address: str, names: set[str], port: int = 80) -> bool:
    """Whether just these answer there, now."""
    try:
        return answers(place, address, port, wanted=len(names)) == names
    except OSError:
        return False


@contextmanager
def rig(*, nodes: int = 2, overlay: str = "host-gw") -> Iterator[Rig]:
    folder = Path(tempfile.mkdtemp(prefix="kmini-", dir="/tmp"))  # short: paths of sockets are
    try:
        arguments = ["--overlay", overlay]
        with Cluster(folder, servers=1, nodes=nodes, tmpfs=True, node_arguments=arguments) as cluster:
            made = Rig(cluster)
            made.wait_open()
            yield made
    finally:
        shutil.rmtree(folder)


# --- objects in few words ---------------------------------------------------------------------------------


def deployment(app: str, replicas: int, **pod: Any) -> dict[str, Any]:
    """Of the sample, spread over the nodes, ready once it serves."""
    container = {
        "name": "main",
        "image": SAMPLE,
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
    }
    labels = {"app": app}
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": labels},
    }
    spec = {"containers": [container], "topologySpreadConstraints": [spread]} | pod
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": app, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def lone_pod(name: str, container: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 1} | spec,
    }


def service(name: str, app: str, **spec: Any) -> dict[str, Any]:
    ports = [{"port": 80, "targetPort": PORT, "protocol": "TCP"}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"app": app}, "ports": ports} | spec,
    }


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", ())}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]


def _container_id(pod: dict[str, Any]) -> str:
    return str(pod["status"]["containerStatuses"][0]["containerID"]).rpartition("/")[2]
