"""What tests of requests to nodes share: nodes and pods that say where they are, and HTTP to ask for them by hand."""

from __future__ import annotations

import itertools
import json
from typing import Any

from api_server import RunningApi
from node_agent import Asked, Line
from raw_http import RawAnswer, RawConnection, raw_connection

NODE = "worker-1"
PODS = "/api/v1/namespaces/default/pods"
SERVICES = "/api/v1/namespaces/default/services"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
WEBSOCKET = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol: v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.c2VjcmV0",
)
SPDY = ("Connection: Upgrade", "Upgrade: SPDY/3.1", "X-Stream-Protocol-Version: v4.channel.k8s.io")
SWITCHES = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
_numbers = itertools.count(1)


def call(api: RunningApi, method: str, path: str, body: Any = None, *fields: str, user: str = "") -> RawAnswer:
    raw = b"" if body is None else json.dumps(body).encode()
    context = api.tls(user) if user else api.tls()
    with raw_connection((api.host, api.port), context) as connection:
        merge = "merge-patch+json" if method == "PATCH" else "json"
        kind = (f"Content-Type: application/{merge}", f"Content-Length: {len(raw)}") if raw else ()
        connection.send(head(method, path, *kind, *fields) + raw)
        return connection.answer(method)


def head(method: str, path: str, *fields: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: api", *fields, "", ""]).encode()


def message(answer: RawAnswer, code: int) -> str:
    assert answer.code == code, answer
    assert answer.json["kind"] == "Status"
    return str(answer.json["message"])


def set_node(api: RunningApi, name: str, port: int, address: str = "127.0.0.1") -> None:
    answer = call(api, "POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
    assert answer.code in (201, 409)
    status = {
        "addresses": [{"type": "Hostname", "address": "nowhere.invalid"}, {"type": "InternalIP", "address": address}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }
    patch = call(api, "PATCH", f"/api/v1/nodes/{name}/status", {"status": status})
    assert patch.code == 200, patch


def make_pod(api: RunningApi, *containers: str, node: str = NODE, **spec: Any) -> str:
    name = f"pod-{next(_numbers)}"
    made = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "containers": [{"name": each, "image": "busybox"} for each in containers or ("app",)],
            "nodeName": node,
            **spec,
        },
    }
    answer = call(api, "POST", PODS, made)
    assert answer.code == 201, answer
    return name


def answers(code: int, body: bytes, *fields: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {code} Whatever", f"Content-Length: {len(body)}", *fields, "", ""]).encode() + body


def say(said: bytes, _asked: Asked, line: Line) -> None:
    line.send(said)


def switched(wire: RawConnection) -> None:
    """Read the head of a 101."""
    assert wire.line() == b"HTTP/1.1 101 Switching Protocols\r\n"
    while wire.line() != b"\r\n":
        pass


def echo(_asked: Asked, line: Line) -> None:
    line.send(SWITCHES + b"hello")
    while data := line.read(1):
        line.send(data)
