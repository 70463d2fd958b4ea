"""Logs through a real server from something real that stands for the agent; and agents that cannot be reached."""

from __future__ import annotations

import threading

import pytest
from api_server import RunningApi
from node_agent import Agent, Asked, Line, plain_place
from node_world import NODE, PODS, WEBSOCKET, answers, call, head, make_pod, message, set_node
from raw_http import RawConnection

from apiserver.http import node_proxy, tunnel


def test_logs_arrive_while_they_are_written(api: RunningApi, agent: Agent, wire: RawConnection) -> None:
    name, seen = make_pod(api), threading.Event()

    def serve(_asked: Asked, line: Line) -> None:
        line.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nfirst\n\r\n")
        assert seen.wait(60), "the first line was held back"
        line.send(b"5\r\nlast\n\r\n0\r\n\r\n")

    agent.serve = serve
    wire.send(head("GET", f"{PODS}/{name}/log?follow=true&tailLines=5&timestamps=1&sinceSeconds=9&limitBytes=100"))
    lines = [wire.line()]
    while lines[-1] != b"first\n":
        lines.append(wire.line())
    assert lines[0] == b"HTTP/1.1 200 OK\r\n"
    assert b"Content-Type: text/plain; charset=utf-8\r\n" in lines
    seen.set()
    assert [wire.line() for _ in range(3)][-1] == b"last\n"
    asked = agent.asked[-1]
    assert asked.path == (
        f"/containerLogs/default/{name}/app?follow=true&timestamps=true&sinceSeconds=9&tailLines=5&limitBytes=100"
    )
    assert asked.user == "kmini:server:n1"


def test_a_client_that_goes_ends_the_logs(api: RunningApi, agent: Agent, wire: RawConnection) -> None:
    name, ended = make_pod(api), threading.Event()

    def serve(_asked: Asked, line: Line) -> None:
        line.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nfirst\n\r\n")
        line.rest()
        ended.set()

    agent.serve = serve
    wire.send(head("GET", f"{PODS}/{name}/log?follow=1"))
    while wire.line() != b"first\n":
        pass
    wire.close()
    assert ended.wait(60), "the agent goes on writing to nobody"


def test_logs_that_break_off_are_not_complete(api: RunningApi, agent: Agent, wire: RawConnection) -> None:
    name = make_pod(api)
    agent.serve = lambda _, line: line.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nfirst\n\r\n")
    wire.send(head("GET", f"{PODS}/{name}/log"))
    with pytest.raises((ConnectionError, OSError, Exception)):
        wire.answer()


@pytest.mark.parametrize(
    ("said", "code", "shown"),
    [
        (answers(400, b"container is waiting to start\n"), 400, "container is waiting to start"),
        (answers(404, b"no such file"), 404, "no such file"),
        (answers(500, b"disk on fire"), 500, "disk on fire"),
        (answers(403, b"not you"), 503, f"the agent of node {NODE} does not take this server's word: not you"),
        (answers(302, b"", "Location: https://example.com/"), 503, f"the agent of node {NODE} leads elsewhere"),
    ],
    ids=range(5),
)
def test_what_an_agent_refuses_is_a_status(api: RunningApi, agent: Agent, said: bytes, code: int, shown: str) -> None:
    agent.serve = lambda _, line: line.send(said)
    assert message(call(api, "GET", f"{PODS}/{make_pod(api)}/log"), code).startswith(shown)


def test_logs_of_a_pod_that_runs_nowhere_are_empty(api: RunningApi) -> None:
    answer = call(api, "GET", f"{PODS}/{make_pod(api, node='')}/log")
    assert (answer.code, answer.body) == (204, b"")


@pytest.mark.parametrize(
    ("query", "code", "text"),
    [
        ("tailLines=-1", 422, "tailLines: Invalid value: -1: must be greater than or equal to 0"),
        ("limitBytes=0", 422, "limitBytes: Invalid value: 0: must be greater than 0"),
        ("sinceSeconds=0", 422, "sinceSeconds: Invalid value: 0: must be greater than 0"),
        ("sinceSeconds=1&sinceTime=2024-01-01T00:00:00Z", 422, "at most one of `sinceTime` or `sinceSeconds`"),
        ("tailLines=many", 400, 'tailLines: parsing "many": invalid syntax'),
        ("sinceTime=yesterday", 400, "sinceTime: 'yesterday' is not a time"),
        ("container=c", 400, "container c is not valid for pod"),
        ("", 400, "choose one of: [a b] or one of the init containers: [i]"),
    ],
)
def test_bad_log_options(api: RunningApi, query: str, code: int, text: str) -> None:
    name = make_pod(api, "a", "b", initContainers=[{"name": "i", "image": "busybox"}])
    assert text in message(call(api, "GET", f"{PODS}/{name}/log?{query}"), code)


def test_logs_are_only_read(api: RunningApi) -> None:
    assert call(api, "POST", f"{PODS}/{make_pod(api)}/log", {}).code == 405


def test_logs_of_no_pod(api: RunningApi) -> None:
    assert message(call(api, "GET", f"{PODS}/nobody/log"), 404) == 'pods "nobody" not found'


def test_logs_without_the_right(api: RunningApi) -> None:
    assert call(api, "GET", f"{PODS}/{make_pod(api)}/log", user="alice").code == 403


def test_an_agent_that_is_not_there(api: RunningApi, agent: Agent) -> None:
    del agent
    with plain_place() as gone:
        port = gone.port
    set_node(api, "gone", port)
    text = message(call(api, "GET", f"{PODS}/{make_pod(api, node='gone')}/log"), 503)
    assert text == f"error dialing backend: dial tcp 127.0.0.1:{port}: connect: connection refused"


@pytest.mark.parametrize("fields", [(), WEBSOCKET])
def test_an_agent_of_another_name_is_not_asked(api: RunningApi, agent: Agent, fields: tuple[str, ...]) -> None:
    set_node(api, "impostor", agent.port)
    verb = "exec?command=x&stdout=1" if fields else "log"
    text = message(call(api, "GET", f"{PODS}/{make_pod(api, node='impostor')}/{verb}", None, *fields), 503)
    assert text.startswith(f"error dialing backend: dial tcp 127.0.0.1:{agent.port}: tls: failed to verify certificate")
    assert agent.asked == []


def test_a_node_that_has_no_address(api: RunningApi) -> None:
    call(api, "POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "silent"}})
    assert "has said no address yet" in message(call(api, "GET", f"{PODS}/{make_pod(api, node='silent')}/log"), 503)


@pytest.mark.parametrize("fields", [(), WEBSOCKET])
def test_an_agent_that_says_nothing(
    api: RunningApi, agent: Agent, monkeypatch: pytest.MonkeyPatch, fields: tuple[str, ...]
) -> None:
    monkeypatch.setattr(tunnel, "ANSWER_TIMEOUT_S", 0.05)
    monkeypatch.setattr(node_proxy, "ANSWER_TIMEOUT_S", 0.05)
    agent.serve = lambda _, line: line.wait_for_end()
    verb = "exec?command=x&stdout=1" if fields else "log"
    assert "did not answer" in message(call(api, "GET", f"{PODS}/{make_pod(api)}/{verb}", None, *fields), 504)


def test_an_agent_that_speaks_something_else(api: RunningApi, agent: Agent) -> None:
    agent.serve = lambda _, line: line.send(b"220 mail.example.com ESMTP\r\n\r\n")
    name = make_pod(api)
    assert call(api, "GET", f"{PODS}/{name}/log").code == 503
    assert call(api, "GET", f"{PODS}/{name}/exec?command=x", None, *WEBSOCKET).code == 503
