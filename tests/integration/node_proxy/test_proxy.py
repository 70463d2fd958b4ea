"""Requests through a real server to nodes, pods and Services."""

from __future__ import annotations

import pytest
from api_server import RunningApi
from node_agent import Agent, Asked, Line, plain_place
from node_world import NODE, PODS, SERVICES, SLICES, WEBSOCKET, answers, call, echo, head, make_pod, message, switched
from raw_http import RawConnection, raw_connection

from apiserver.http import node_places


def test_proxy_of_a_node_streams_a_body_and_keeps_the_path(api: RunningApi, agent: Agent, wire: RawConnection) -> None:
    def serve(asked: Asked, line: Line) -> None:
        body = line.read(int(asked.headers["content-length"]))
        line.send(answers(201, body[::-1], "Content-Type: text/x", "Keep-Alive: 5", "X-Kept: yes"))

    agent.serve = serve
    own = ("Connection: X-Mine", "X-Mine: 1", "Impersonate-User: root", "Impersonate-Group: system:masters")
    path = f"/api/v1/nodes/{NODE}/proxy/a%2Fb/../c?x=%20&y"
    wire.send(head("POST", path, "Content-Length: 6", *own, "X-Other: 2") + b"abcdef")
    answer = wire.answer()
    assert (answer.code, answer.body) == (201, b"fedcba")
    assert answer.headers["content-type"] == "text/x"
    assert answer.headers["x-kept"] == "yes"
    assert "keep-alive" not in answer.headers
    asked = agent.asked[-1]
    assert asked.path == "/a%2Fb/../c?x=%20&y"
    assert asked.headers["x-other"] == "2"
    assert not {"x-mine", "impersonate-user", "impersonate-group", "authorization"} & set(asked.headers)


def test_proxy_head_redirects_and_refusals_go_through(api: RunningApi, agent: Agent) -> None:
    base = f"/api/v1/nodes/{NODE}/proxy"
    agent.serve = lambda _, line: line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
    answer = call(api, "HEAD", f"{base}/x")
    assert (answer.code, answer.headers["content-length"]) == (200, "9")
    agent.serve = lambda _, line: line.send(answers(302, b"", "Location: /there"))
    assert call(api, "GET", f"{base}/x").headers["location"] == f"{base}/there"
    agent.serve = lambda _, line: line.send(answers(418, b"teapot"))
    assert call(api, "GET", f"{base}/x").body == b"teapot"
    answer = call(api, "GET", f"{base}?a=b")
    assert (answer.code, answer.headers["location"]) == (301, f"{base}/?a=b")


def test_proxy_of_no_node(api: RunningApi) -> None:
    assert message(call(api, "GET", "/api/v1/nodes/nobody/proxy/x"), 404) == 'nodes "nobody" not found'
    assert "invalid node request" in message(call(api, "GET", "/api/v1/nodes/ftp:a:1/proxy/x"), 400)


def test_proxy_of_pods_and_services(api: RunningApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_places, "is_proxyable", lambda address: True)
    with plain_place() as place:
        place.serve = lambda asked, line: line.send(answers(200, asked.path.encode()))
        name = make_pod(api)
        status = {"status": {"podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}}
        assert call(api, "PATCH", f"{PODS}/{name}/status", status).code == 200
        assert call(api, "GET", f"{PODS}/{name}:{place.port}/proxy/a?b=c").body == b"/a?b=c"
        service = {
            "metadata": {"name": "web"},
            "spec": {"ports": [{"name": "http", "port": 80}], "selector": {"a": "b"}},
        }
        call(api, "POST", SERVICES, {"apiVersion": "v1", "kind": "Service", **service})
        assert "no endpoints available" in message(call(api, "GET", f"{SERVICES}/web:http/proxy/a"), 503)
        made = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.0.0.9"], "conditions": {"ready": False}}, {"addresses": ["10.9.9.9"]}],
            "ports": [{"name": "http", "port": place.port}],
        }
        assert call(api, "POST", SLICES, made).code == 201
        monkeypatch.setattr(node_places, "_ready", lambda *_: [("127.0.0.1", place.port)])
        for port in ("http", "80"):
            assert call(api, "GET", f"{SERVICES}/web:{port}/proxy/a").body == b"/a"
        assert "no service port" in message(call(api, "GET", f"{SERVICES}/web:other/proxy/a"), 503)
        assert {asked.user for asked in place.asked} == {""}
        place.serve = echo
        with raw_connection((api.host, api.port), api.tls()) as wire:
            wire.send(head("GET", f"{PODS}/{name}:{place.port}/proxy/ws", *WEBSOCKET))
            switched(wire)
            assert wire.read(5) == b"hello"


def test_no_proxy_into_the_server_itself(api: RunningApi) -> None:
    name = make_pod(api)
    status = {"status": {"podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}}
    assert call(api, "PATCH", f"{PODS}/{name}/status", status).code == 200
    assert "address not allowed" in message(call(api, "GET", f"{PODS}/{name}:6443/proxy/"), 400)
