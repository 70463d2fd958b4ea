"""metrics.k8s.io through a real server, from what a real agent says."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from joined_agent import pod_named, until
from kmini.testing.fixture import Kmini
from node_agent import node_agent
from node_api_world import NodeWorld, node_world
from node_world import answers

from apiserver.api.core.node import Node
from apiserver.api.errors import BadRequest, Forbidden, MethodNotAllowed, NotFound, TooManyRequests
from apiserver.api.meta import ObjectMeta
from apiserver.api.metrics import NodeMetrics, PodMetrics
from apiserver.api.quantity import parse
from apiserver.api.rbac import RoleBinding, RoleRef, Subject
from apiserver.client import Client
from apiserver.client.requests import Request
from apiserver.usage import reader, summaries
from nodeagent.server import stats

GROUP = "/apis/metrics.k8s.io/v1beta1"


@pytest.fixture(autouse=True)
def anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers are the session's: what they keep of other tests' nodes must not be waited for."""
    monkeypatch.setattr(stats, "AGAIN_S", 0.1)


async def names(world: NodeWorld, kind: type[PodMetrics] | type[NodeMetrics], **options: Any) -> set[str]:
    namespace = world.kmini.namespace if kind is PodMetrics else None
    return {each.metadata.name async for each in world.client.list(kind, namespace=namespace, **options)}


def test_of_nodes_and_pods(kmini: Kmini, tmp_path: Path) -> None:
    async def story() -> None:
        async with node_world(kmini, tmp_path, "usage-1") as world:
            await world.pod("web")
            node = await world.client.get(NodeMetrics, "usage-1")
            assert parse(node.usage["memory"]).nano > 0
            assert node.metadata.labels["kubernetes.io/hostname"] == "usage-1"
            pod = await world.client.get(PodMetrics, "web")
            (container,) = pod.containers
            assert container.name == "main"
            assert parse(container.usage["cpu"]).nano == pytest.approx(0.25e9, rel=0.05)
            assert container.usage["memory"] == "10Mi"
            assert (pod.metadata.namespace, pod.metadata.labels) == (kmini.namespace, {"app": "web"})
            assert await names(world, PodMetrics) == {"web"}
            assert await names(world, PodMetrics, labels="app=web") == {"web"}
            assert await names(world, PodMetrics, labels="app=other") == set()
            assert await names(world, PodMetrics, fields="metadata.name=web") == {"web"}
            assert "usage-1" in await names(world, NodeMetrics, labels="kubernetes.io/hostname=usage-1")
            with pytest.raises(NotFound, match=r'pods.metrics.k8s.io "none" not found'):
                await world.client.get(PodMetrics, "none")
            with pytest.raises(NotFound, match=r'nodes.metrics.k8s.io "none" not found'):
                await world.client.get(NodeMetrics, "none")

    asyncio.run(story())


def test_they_cannot_be_written_or_watched(kmini: Kmini) -> None:
    async def story() -> None:
        async with kmini.client as client:
            for method, path in (("DELETE", "nodes/x"), ("POST", "nodes"), ("GET", "nodes?watch=1")):
                with pytest.raises(MethodNotAllowed):
                    await client.send(
                        Request(method=method, path=f"{GROUP}/{path}", body=b"{}" if method == "POST" else None)
                    )
            with pytest.raises(BadRequest, match="no pages"):
                await client.send(Request(method="GET", path=f"{GROUP}/nodes", query=(("continue", "x"),)))

    asyncio.run(story())


def test_rights_are_those_of_every_resource(kmini: Kmini, tmp_path: Path) -> None:
    async def story() -> None:
        async with node_world(kmini, tmp_path, "usage-2") as world, world.identity_client() as node:
            for path in ("nodes", "nodes/usage-2", "pods"):
                with pytest.raises(Forbidden):
                    await node.send(Request(method="GET", path=f"{GROUP}/{path}"))
            assert world.runtime.asked == 0, "nobody was asked for somebody who may not know"

    asyncio.run(story())


def test_who_may_view_a_namespace_sees_what_its_pods_use(kmini: Kmini, tmp_path: Path) -> None:
    async def story() -> None:
        async with node_world(kmini, tmp_path, "usage-6") as world:
            await world.pod("web")
            role = RoleRef(api_group="rbac.authorization.k8s.io", kind="ClusterRole", name="view")
            alice = Subject(kind="User", api_group=role.api_group, name="alice")
            meta = ObjectMeta(name="viewers", namespace=kmini.namespace)
            await world.client.create(RoleBinding(metadata=meta, subjects=[alice], role_ref=role))
            pods = f"{GROUP}/namespaces/{kmini.namespace}/pods"

            async def seen() -> bool:
                answer = await world.ask_server(pods, world.tls("alice"))
                return answer.code == 200 and [each["metadata"]["name"] for each in answer.json["items"]] == ["web"]

            await until(seen, "what the pod uses")
            for path in (f"{GROUP}/nodes", f"{GROUP}/pods"):
                assert (await world.ask_server(path, world.tls("alice"))).code == 403

    asyncio.run(story())


def stats_of(*pods: str) -> bytes:
    """What an agent says that speaks of these pods."""
    usage = {
        "cpu": {"time": "2026-01-02T03:04:05Z", "usageNanoCores": 1},
        "memory": {"workingSetBytes": 1},
    }
    told = [
        {"podRef": {"namespace": namespace, "name": name, "uid": "u"}, "containers": [{"name": "c", **usage}], **usage}
        for namespace, _, name in (pod.partition("/") for pod in pods)
    ]
    return json.dumps({"node": {"nodeName": "any", **usage}, "pods": told}).encode()


@contextmanager
def said_by(kmini: Kmini, folder: Path, name: str, answer: bytes) -> Iterator[int]:
    """An agent that says just this; its port."""
    with node_agent(next(kmini.control_plane.folder.glob("*/pki")), name, folder) as agent:
        agent.serve = lambda _, line: line.send(answer)
        yield agent.port


async def make_node(client: Client, name: str, port: int) -> None:
    await client.create(Node(metadata=ObjectMeta(name=name)))
    status = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }
    await client.patch(Node, name, {"status": status}, subresource="status")


def test_an_agent_is_believed_of_its_own_pods_alone(kmini: Kmini, tmp_path: Path) -> None:
    async def story(port: int) -> None:
        async with kmini.client as client:
            await make_node(client, "usage-liar", port)
            await make_node(client, "usage-other", 0)
            await client.create(pod_named("ours", kmini.namespace, node="usage-liar"))
            await client.create(pod_named("theirs", kmini.namespace, node="usage-other"))
            assert {each.metadata.name async for each in client.list(PodMetrics, namespace=kmini.namespace)} == {"ours"}
            with pytest.raises(NotFound):
                await client.get(PodMetrics, "theirs")

    told = stats_of(*(f"{kmini.namespace}/{name}" for name in ("ours", "theirs", "nobodys")))
    with said_by(kmini, tmp_path, "usage-liar", answers(200, told)) as port:
        asyncio.run(story(port))


@pytest.mark.parametrize(
    "answer",
    [
        answers(403, b"not you"),
        answers(200, b"{}"),
        answers(200, b"[" * 100_000),
        answers(200, b"\xff"),
        answers(200, stats_of()[:-5]),
        b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{",
        answers(200, stats_of().replace(b'"pods"', b'"more": "' + b"x" * 5_000_000 + b'", "pods"')),
        b"220 mail.example.com ESMTP\r\n\r\n",
    ],
    ids=range(8),
)
def test_whatever_an_agent_says_others_are_shown(
    kmini: Kmini, tmp_path: Path, answer: bytes, request: pytest.FixtureRequest
) -> None:
    name = f"usage-odd-{request.node.callspec.id}"

    async def story(port: int) -> None:
        async with kmini.client as client:
            await make_node(client, name, port)
            await make_node(client, f"{name}-well", well)
            found = {each.metadata.name async for each in client.list(NodeMetrics)}
            assert f"{name}-well" in found
            assert name not in found

    (tmp_path / "well").mkdir()
    with (
        said_by(kmini, tmp_path, name, answer) as odd,
        said_by(kmini, tmp_path / "well", f"{name}-well", answers(200, stats_of())) as well,
    ):
        asyncio.run(story(odd))


def test_agents_are_asked_once_in_a_while_however_many_want_to_know(kmini: Kmini, tmp_path: Path) -> None:
    async def story() -> None:
        async with node_world(kmini, tmp_path, "usage-4") as world:
            await world.pod("web")
            asked = [names(world, PodMetrics) for _ in range(20)] + [names(world, NodeMetrics) for _ in range(5)]
            await asyncio.gather(*asked)
            assert world.runtime.asked == 2, "two looks, for all of them"

    asyncio.run(story())


def test_only_so_many_wait_for_agents(kmini: Kmini, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "RUNNING_MAX", 0)

    async def story() -> None:
        async with kmini.client as client:
            with pytest.raises(TooManyRequests, match="wait for agents already"):
                await client.get(NodeMetrics, "any")

    asyncio.run(story())


def test_a_node_that_says_nothing_keeps_nobody_from_the_others(
    kmini: Kmini, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with node_world(kmini, tmp_path, "usage-5") as world:
            await make_node(world.client, "usage-silent", silent.getsockname()[1])
            for _ in range(2):
                found = await names(world, NodeMetrics)
                assert "usage-5" in found
                assert "usage-silent" not in found

    monkeypatch.setattr(summaries, "NODE_WITHIN_S", 6.0)
    monkeypatch.setattr(summaries, "FRESH_S", 600.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        asyncio.run(story())
        assert calls_at(silent) == 1, "it is not asked again at once"


def calls_at(listening: socket.socket) -> int:
    """How many wait to be answered."""
    listening.setblocking(False)
    found = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            listening.accept()[0].close()
            found += 1
    return found
