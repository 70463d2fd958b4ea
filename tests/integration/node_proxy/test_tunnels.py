"""exec, attach and port-forward: bytes through a real server to something real that stands for the agent."""

from __future__ import annotations

import threading
from functools import partial

import pytest
from api_server import RunningApi
from node_agent import Agent, Asked, Line
from node_world import PODS, SPDY, SWITCHES, WEBSOCKET, answers, call, echo, head, make_pod, message, say, switched
from raw_http import RawConnection

from apiserver.admission.plugin import Admission, Base, Lookup, forbidden
from apiserver.http import node_proxy

TOTAL = 32 * 1024 * 1024  # far more than all buffers between client and agent


@pytest.mark.parametrize(
    ("method", "verb", "fields", "path"),
    [
        ("GET", "exec?command=ls&command=-l&stdin=true&stdout=1&tty=true&stderr=false", WEBSOCKET,
         "/exec/default/{pod}/app?input=1&output=1&tty=1&command=ls&command=-l"),
        ("POST", "exec?container=app&command=a%20b&stderr=1", SPDY, "/exec/default/{pod}/app?error=1&command=a+b"),
        ("POST", "attach?stdout=1", SPDY, "/attach/default/{pod}/app?output=1"),
        ("GET", "portforward?ports=80,8080", WEBSOCKET, "/portForward/default/{pod}?port=80&port=8080"),
        ("POST", "portforward", SPDY, "/portForward/default/{pod}"),
    ],
    ids=range(5),
)  # fmt: skip
def test_bytes_go_both_ways(
    api: RunningApi, agent: Agent, wire: RawConnection, method: str, verb: str, fields: tuple[str, ...], path: str
) -> None:
    name = make_pod(api)
    agent.serve = echo
    wire.send(head(method, f"{PODS}/{name}/{verb}", *fields, "X-Remote-User: root"))
    switched(wire)
    assert wire.read(5) == b"hello"
    wire.send(b"\x00\xff ping")
    assert wire.read(7) == b"\x00\xff ping"
    wire.close()
    asked = agent.asked[-1]
    assert (asked.method, asked.path, asked.user) == (method, path.format(pod=name), "kmini:server:n1")
    assert asked.headers["upgrade"] == fields[1].partition(": ")[2]
    assert "x-remote-user" not in asked.headers
    if fields is WEBSOCKET:
        assert asked.headers["sec-websocket-protocol"] == "v5.channel.k8s.io"


def test_a_client_that_does_not_read_stops_the_agent(api: RunningApi, agent: Agent, wire: RawConnection) -> None:
    """And in the end gets every byte, though the agent closed long before."""
    name, total, written = make_pod(api), TOTAL, threading.Event()
    sent: list[int] = [0]

    def serve(_asked: Asked, line: Line) -> None:
        line.send(SWITCHES)
        block = b"x" * 65536
        while sent[0] < total:
            line.send(block)
            sent[0] += len(block)
        written.set()

    agent.serve = serve
    wire.send(head("GET", f"{PODS}/{name}/exec?command=x&stdout=1", *WEBSOCKET))
    switched(wire)
    assert wire.read(1) == b"x"
    assert not written.wait(0.5), "32 MiB have gone somewhere, though the client reads nothing"
    assert len(wire.rest()) == total - 1


def test_an_agent_that_does_not_read_stops_the_client(api: RunningApi, agent: Agent, wire: RawConnection) -> None:
    name, total, go, done = make_pod(api), TOTAL, threading.Event(), threading.Event()
    received: list[int] = []

    def serve(_asked: Asked, line: Line) -> None:
        line.send(SWITCHES)
        assert go.wait(120)
        received.append(len(line.rest()))
        done.set()

    agent.serve = serve
    wire.send(head("GET", f"{PODS}/{name}/exec?command=x&stdin=1", *WEBSOCKET))
    switched(wire)

    def send() -> None:
        wire.send(b"x" * total)
        wire.close()

    sender = threading.Thread(target=send)
    sender.start()
    sender.join(0.5)
    assert sender.is_alive(), "32 MiB have gone somewhere, though the agent reads nothing"
    go.set()
    sender.join()
    assert done.wait(120)
    assert received == [total]


def test_an_idle_tunnel_ends(api: RunningApi, agent: Agent, wire: RawConnection) -> None:
    name = make_pod(api)
    agent.serve = echo
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(node_proxy, "IDLE_S", 0.05)
        wire.send(head("GET", f"{PODS}/{name}/exec?command=x&stdin=1", *WEBSOCKET))
        switched(wire)
        assert wire.rest() == b"hello"


def test_a_refused_switch_leaves_the_connection_as_it_was(api: RunningApi, agent: Agent, wire: RawConnection) -> None:
    name = make_pod(api)
    chunked = b"HTTP/1.1 400 No\r\nTransfer-Encoding: chunked\r\n\r\na\r\nno command\r\n0\r\n\r\n"
    for said in (answers(400, b"no command"), chunked):
        agent.serve = partial(say, said)
        for fields in (WEBSOCKET, SPDY):
            wire.send(head("GET", f"{PODS}/{name}/exec", *fields))
            assert message(wire.answer(), 400) == "no command"
    wire.send(head("GET", f"{PODS}/{name}"))
    assert wire.answer().code == 200


def test_no_way_to_an_agent_but_by_its_101(api: RunningApi, agent: Agent, wire: RawConnection) -> None:
    """A client must never hold a connection that speaks HTTP with the server's certificate."""
    name = make_pod(api)
    agent.serve = lambda _, line: line.send(answers(200, b"fine"))
    wire.send(head("GET", f"{PODS}/{name}/exec?command=x", *WEBSOCKET) + head("GET", "/runningpods/"))
    wire.answer()
    wire.answer()
    assert [asked.path for asked in agent.asked] == [f"/exec/default/{name}/app?command=x"]


@pytest.mark.parametrize(
    ("verb", "fields", "code", "text"),
    [
        ("exec?command=x", (), 400, "Upgrade request required"),
        ("exec?command=x", ("Connection: Upgrade", "Upgrade: h2c"), 400, "Upgrade request required"),
        ("exec?command=x&container=c", WEBSOCKET, 400, "container c is not valid for pod"),
        ("portforward?ports=0", WEBSOCKET, 400, "ports: each must be a number between 1 and 65535"),
    ],
)
def test_bad_connections(api: RunningApi, verb: str, fields: tuple[str, ...], code: int, text: str) -> None:
    assert text in message(call(api, "GET", f"{PODS}/{make_pod(api)}/{verb}", None, *fields), code)


def test_a_pod_that_runs_nowhere(api: RunningApi) -> None:
    name = make_pod(api, node="")
    answer = call(api, "GET", f"{PODS}/{name}/exec?command=x", None, *WEBSOCKET)
    assert message(answer, 400) == f"pod {name} does not have a host assigned"


def test_admission_may_refuse_a_connection(api: RunningApi, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoShells(Base):
        name = "NoShells"

        async def check(self, request: Admission, lookup: Lookup) -> None:
            if request.operation == "CONNECT" and request.obj is not None and "sh" in request.obj.command:
                raise forbidden(request, "no shells")

    plugins = (*api.server.admission.plugins, NoShells())
    monkeypatch.setattr(api.server.admission, "plugins", plugins)
    name = make_pod(api)
    answer = call(api, "GET", f"{PODS}/{name}/exec?command=sh", None, *WEBSOCKET)
    assert message(answer, 403) == f'pods "{name}" is forbidden: no shells'
    assert agent.asked == []


def test_connections_have_a_number(api: RunningApi, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.server.node_proxy, "_streams_max", 0)
    answer = call(api, "GET", f"{PODS}/{make_pod(api)}/log")
    assert "open already" in message(answer, 429)
    assert answer.headers["retry-after"] == "1"
