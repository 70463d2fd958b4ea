"""Services of real pods on two hosts: by name, while backends change, while agents die, with nobody behind them."""

from __future__ import annotations

import signal
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest
from kmini.images import SAMPLE
from kmini_process import eventually
from network_cluster import (
    OUTSIDE,
    PORT,
    Load,
    Rig,
    answers,
    ask,
    connect,
    deployment,
    lone_pod,
    request,
    rig,
    service,
    tried,
)
from pod_network import inside

REQUESTS = 1000


@pytest.fixture(scope="module")
def world() -> Iterator[Rig]:
    with rig() as made:
        made.create(deployment("web", 4), service("web", "web", type="NodePort"), deployment("client", 2))
        made.wait_pods("web", 4)
        clients = made.wait_pods("client", 2)
        made.wait_routes()
        made.wait_service("web", "web")
        made.wait_names(clients, "web")
        yield made


def client(world: Rig) -> dict[str, Any]:
    return world.wait_pods("client", 2)[0]


def test_a_pod_finds_services_by_name(world: Rig) -> None:
    names = {each["metadata"]["name"] for each in world.wait_pods("web", 4)}
    for each in world.wait_pods("client", 2):
        for name in ("web", "web.default", "web.default.svc.cluster.local"):
            assert world.exec(each, "wget", "-qO-", f"http://{name}/").strip() in names
        assert "NXDOMAIN" in world.exec(each, "nslookup", "none.default.svc.cluster.local")


def test_headless_services_and_other_names(world: Rig) -> None:
    world.create(
        service("direct", "web", clusterIP="None"),
        service("alias", "web", type="ExternalName", externalName="web.default.svc.cluster.local"),
    )
    pod, addresses = client(world), {each["status"]["podIP"] for each in world.wait_pods("web", 4)}

    def direct() -> bool:
        return addresses <= set(world.exec(pod, "nslookup", "direct.default.svc.cluster.local").split())

    def aliased() -> bool:
        found = world.exec(pod, "nslookup", "alias.default.svc.cluster.local")
        return world.cluster_ip("web") in found and "web.default.svc.cluster.local" in found

    eventually(direct, what="the addresses of its pods")
    eventually(aliased, what="the other name")
    back = world.exec(pod, "nslookup", world.cluster_ip("web"))
    assert "web.default.svc.cluster.local" in back


def test_a_pod_in_its_nodes_network_finds_services_too(world: Rig) -> None:
    names = {each["metadata"]["name"] for each in world.wait_pods("web", 4)}
    container = {"name": "main", "image": SAMPLE, "command": ["sleep", "1000"]}
    world.create(lone_pod("on-the-node", container, hostNetwork=True, dnsPolicy="ClusterFirstWithHostNet"))
    found = world.wait_pods("on-the-node", 1)[0]
    assert world.exec(found, "wget", "-qO-", "http://web/").strip() in names


def test_a_port_of_the_node_leads_to_its_pod(world: Rig) -> None:
    container = {"name": "main", "image": SAMPLE, "ports": [{"containerPort": PORT, "hostPort": 9090}]}
    world.create(lone_pod("with-a-port", container, nodeName="n1"))
    found = world.wait_pods("with-a-port", 1)[0]
    for place in (
        OUTSIDE,
        world.host("n1"),
        world.host("n2"),
        world.inside_pod(client(world)),
        world.inside_pod(found),
    ):
        eventually(
            lambda place=place: tried(place, world.address("n1"), {"with-a-port"}, 9090), what=f"an answer at {place}"
        )


def test_the_api_is_reached_from_a_pod(world: Rig) -> None:
    context = ssl.create_default_context(cafile=str(world.cluster.files.pki / "ca.crt"))
    address = world.cluster_ip("kubernetes")
    with (
        connect(world.inside_pod(client(world)), address, 443) as plain,
        context.wrap_socket(plain, server_hostname="kubernetes.default.svc") as connection,
    ):
        assert "v1.33" in request_path(connection, "/version")
    token = "/var/run/secrets/kubernetes.io/serviceaccount"
    assert set(world.exec(client(world), "ls", token).split()) >= {"ca.crt", "namespace", "token"}


def request_path(connection: socket.socket, path: str) -> str:
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: kubernetes.default.svc\r\nConnection: close\r\n\r\n".encode())
    answer = b""
    while piece := connection.recv(4096):
        answer += piece
    return answer.decode()


def test_no_request_fails_while_the_backends_are_replaced(world: Rig) -> None:
    """The sample serves on for 2 s after it was asked to end: by then every node has heard."""
    before = {each["metadata"]["name"] for each in world.wait_pods("web", 4)}
    spec = world.api("GET", "Service", "web")["spec"]
    ways = [
        (world.inside_pod(client(world)), spec["clusterIP"], 80),
        (world.host("n1"), spec["clusterIP"], 80),
        (OUTSIDE, world.address("n2"), spec["ports"][0]["nodePort"]),
    ]
    with ExitStack() as stack:
        loads = [stack.enter_context(Load(*way, at_least=REQUESTS)) for way in ways]
        eventually(lambda: all(load.answered_by == before for load in loads), what="each way leads to every old one")
        annotations = {"spec": {"template": {"metadata": {"annotations": {"restarted": "1"}}}}}
        patch(world, "Deployment", "web", annotations)
        eventually(lambda: all_new(world, before), 180.0, "the new pods")
        eventually(lambda: all(load.answered_by > before for load in loads), what="each way leads to new ones")
    for load in loads:
        assert load.failures == []
        assert load.asked >= REQUESTS
        assert load.answered_by > before, "new ones answered too"


def patch(world: Rig, kind: str, name: str, change: dict[str, Any]) -> None:
    """Merged into the object."""
    for _ in range(20):
        found = world.api("GET", kind, name)
        merge(found, change)
        try:
            world.api("PUT", kind, name, found)
        except Exception as error:
            if "Conflict" not in str(error) and "modified" not in str(error):
                raise
        else:
            return
    raise AssertionError(f"{kind} {name} could not be changed")


def merge(into: dict[str, Any], change: dict[str, Any]) -> None:
    for key, value in change.items():
        if isinstance(value, dict):
            merge(into.setdefault(key, {}), value)
        else:
            into[key] = value


def all_new(world: Rig, before: set[str]) -> bool:
    status = world.api("GET", "Deployment", "web")["status"]
    now = {each["metadata"]["name"] for each in world.pods("web")}
    return len(now) == 4 and not now & before and status.get("replicas") == 4


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_connections_outlive_the_agent_and_services_answer_meanwhile(world: Rig, number: signal.Signals) -> None:
    address = world.cluster_ip("web")
    place = world.inside_pod(next(each for each in world.wait_pods("client", 2) if each["spec"]["nodeName"] == "n1"))
    with connect(place, address, 80) as old:
        old.sendall(b"GET / HTTP/1.0\r\n")
        if number is signal.SIGKILL:
            world.cluster.kill("n1", process="agent")
        else:
            world.cluster.run("n1", ["kill", str(agent_pid(world, "n1"))])
            eventually(lambda: not running(world, "n1"), what="the agent has ended")
        go_on(old)
        with Load(place, address, 80, at_least=20) as load:
            assert answers(place, address, 80, wanted=4) == {each["metadata"]["name"] for each in world.pods("web")}
            if number is not signal.SIGKILL:
                world.cluster.kill("n1", process="agent")  # so that the cluster knows
            world.cluster.start("n1")
            world.cluster.wait_ready("n1")
            go_on(old)
            eventually(lambda: resolves(world), what="names are answered again")
        assert load.failures == []
        assert request(old, b"\r\n"), "a connection from before goes on"


def go_on(connection: socket.socket) -> None:
    """One more field of a request: its server waits a minute for each, and no longer."""
    connection.sendall(b"Patience: yes\r\n")


def agent_pid(world: Rig, host: str) -> int:
    return next(each.pid for each in world.cluster.state.host(host).processes if each.name == "agent")


def running(world: Rig, host: str) -> bool:
    return world.cluster.run(host, ["kill", "-0", str(agent_pid(world, host))]).returncode == 0


def resolves(world: Rig) -> bool:
    on_first = [each for each in world.pods("client") if each["spec"]["nodeName"] == "n1"]
    return "web.default" in world.exec(on_first[0], "nslookup", "web.default.svc.cluster.local")


def test_nobody_behind_it_is_said_at_once(world: Rig) -> None:
    world.create(service("nobody", "nobody"))
    address = world.cluster_ip("nobody")

    def refused() -> bool:
        try:
            ask(world.inside_pod(client(world)), address, 80)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
        return False

    eventually(refused, what="the refusal")


def test_udp_leaves_a_backend_that_is_gone(world: Rig) -> None:
    """A client that sends from one port for ever gets a new backend, once its old one has gone."""
    ports = [{"port": 53, "targetPort": PORT, "protocol": "UDP"}]
    world.create(deployment("datagrams", 1), service("datagrams", "datagrams", ports=ports))
    address = world.cluster_ip("datagrams")
    with inside(world.inside_pod(client(world))):
        asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asking.settimeout(0.3)
    with asking, ExitStack() as stack:
        first = world.wait_pods("datagrams", 1)[0]
        name = stack.enter_context(echoing(world, first))
        eventually(lambda: heard(asking, address) == name, what="an answer of the first")
        world.delete("Pod", name)
        second = eventually(lambda: others(world, "datagrams", name), 180.0, "another")[0]
        name = stack.enter_context(echoing(world, second))
        eventually(lambda: heard(asking, address) == name, what="an answer of the second")


def others(world: Rig, app: str, name: str) -> list[dict[str, Any]]:
    return [each for each in world.pods(app) if each["metadata"]["name"] != name]


@contextmanager
def echoing(world: Rig, pod: dict[str, Any]) -> Iterator[str]:
    """Datagrams to the pod are answered with its name, which this gives."""
    name = str(pod["metadata"]["name"])
    with inside(world.inside_pod(pod)):
        answering = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    answering.bind((pod["status"]["podIP"], PORT))
    answering.settimeout(0.1)
    ending = threading.Event()

    def work() -> None:
        while not ending.is_set():
            with suppress(OSError):
                _, sender = answering.recvfrom(100)
                answering.sendto(name.encode(), sender)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield name
    finally:
        ending.set()
        thread.join()
        answering.close()


def heard(asking: socket.socket, address: str) -> str:
    asking.sendto(b"?", (address, 53))
    try:
        return asking.recv(200).decode().strip()
    except OSError:
        return ""
