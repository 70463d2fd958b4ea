"""Requests that come by no connection answer what the same request by the wire answers, with the same rights."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from api_server import RunningApi, api_server
from kmini.local_transport import CONTROLLERS, LocalTransport

from apiserver.api.coordination import Lease, LeaseSpec
from apiserver.api.core.config import ConfigMap
from apiserver.api.core.namespace import Namespace
from apiserver.api.core.pod import Pod
from apiserver.api.errors import AlreadyExists, Conflict, Fenced, Forbidden, Invalid, NotFound
from apiserver.api.meta import ObjectMeta
from apiserver.client import Access, Client, ListOptions, Material
from apiserver.client import requests as requests_
from apiserver.client.access import Credentials
from apiserver.client.http import HttpTransport

PODS = "/api/v1/namespaces/default/pods"


def clients(api: RunningApi) -> tuple[Client, Client]:
    """The controllers' user, without and with a connection."""
    access = Access(
        servers=(api.url,),
        authority=Material(file=api.ca_file),
        certificate=Material(file=api.pki_dir / "controllers.crt"),
        key=Material(file=api.pki_dir / "controllers.key"),
    )

    def wire() -> HttpTransport:
        return HttpTransport(Credentials(access, clock=time.monotonic), user_agent="test")

    local = Client(access, learn=False, transport=LocalTransport(api.server.frontend, wire()))
    return local, Client(access, learn=False, transport=wire())


def run(tmp_path: Path, work: Callable[[RunningApi, Client, Client], Awaitable[None]]) -> None:
    async def body() -> None:
        async with api_server(tmp_path) as api:
            local, wire = clients(api)
            async with local, wire:
                await work(api, local, wire)

    asyncio.run(body())


def manifest(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [{"name": "c", "image": "x"}]},
    }


def test_what_is_written_and_read_is_the_same_by_both_ways(tmp_path: Path) -> None:
    async def work(api: RunningApi, local: Client, wire: Client) -> None:
        for number in range(1200):
            await local.send(requests_.create(PODS, manifest(f"p-{number}")))
        assert await local.get(Pod, "p-7", namespace="default") == await wire.get(Pod, "p-7", namespace="default")
        options = ListOptions(limit=500)
        one = await local.list_page(Pod, namespace="default", options=options)
        other = await wire.list_page(Pod, namespace="default", options=options)
        assert one.items == other.items
        assert one.metadata.continue_
        whole = requests_.list_(PODS, ListOptions())
        assert (await local.send(whole)).body == (await wire.send(whole)).body
        names = [pod.metadata.name async for pod in local.list(Pod, namespace="default")]
        assert len(names) == len(set(names)) == 1200
        patched = await local.patch(Pod, "p-7", {"metadata": {"labels": {"a": "b"}}}, namespace="default")
        assert (await wire.get(Pod, "p-7", namespace="default")) == patched
        await local.delete(Pod, "p-7", namespace="default")
        with pytest.raises(NotFound):
            await wire.get(Pod, "p-7", namespace="default")

    run(tmp_path, work)


def test_refusals_are_the_same_by_both_ways(tmp_path: Path) -> None:
    async def work(api: RunningApi, local: Client, wire: Client) -> None:
        await local.send(requests_.create(PODS, manifest("there")))
        stale = await local.get(Pod, "there", namespace="default")
        await wire.patch(Pod, "there", {"metadata": {"labels": {"a": "b"}}}, namespace="default")
        asked: list[tuple[type[Exception], Callable[[Client], Awaitable[Any]]]] = [
            (Forbidden, lambda client: client.create(Namespace(metadata=ObjectMeta(name="new")))),
            (Forbidden, lambda client: client.create(ConfigMap(metadata=ObjectMeta(name="x", namespace="default")))),
            (AlreadyExists, lambda client: client.send(requests_.create(PODS, manifest("there")))),
            (Invalid, lambda client: client.send(requests_.create(PODS, manifest("Not A Name")))),
            (Conflict, lambda client: client.update(stale)),
            (NotFound, lambda client: client.get(Pod, "absent", namespace="default")),
            (NotFound, lambda client: client.send(requests_.get("/apis/nothing/v1/here"))),
        ]
        for error, ask in asked:
            said = []
            for client in (local, wire):
                with pytest.raises(error) as caught:
                    await ask(client)
                said.append(str(caught.value))
            assert said[0] == said[1]

    run(tmp_path, work)


def test_a_fence_holds(tmp_path: Path) -> None:
    async def work(api: RunningApi, local: Client, wire: Client) -> None:
        meta = ObjectMeta(name="test", namespace="kube-system")
        lease = await local.create(Lease(metadata=meta, spec=LeaseSpec(holder_identity="one")))
        fenced = local.fence("kube-system/test", lease.spec.lease_transitions or 0)
        await fenced.send(requests_.create(PODS, manifest("before")))
        lease.spec.holder_identity = "other"
        await wire.update(lease)
        with pytest.raises(Fenced):
            await fenced.send(requests_.create(PODS, manifest("after")))

    run(tmp_path, work)


def test_it_counts_and_its_user_is_that_of_the_certificate(tmp_path: Path) -> None:
    async def work(api: RunningApi, local: Client, wire: Client) -> None:
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        said = (await wire.send(requests_.create(path, body))).body.decode()
        assert CONTROLLERS.name in said
        for group in CONTROLLERS.groups:
            assert group in said
        before = api.server.registry.get_sample_value(
            "apiserver_request_duration_seconds_count", {"verb": "get", "resource": "pods", "code": "404"}
        )
        with pytest.raises(NotFound):
            await local.get(Pod, "absent", namespace="default")
        after = api.server.registry.get_sample_value(
            "apiserver_request_duration_seconds_count", {"verb": "get", "resource": "pods", "code": "404"}
        )
        assert (after or 0) - (before or 0) == 1

    run(tmp_path, work)


def test_watches_and_what_leads_to_a_node_take_the_wire(tmp_path: Path) -> None:
    async def work(api: RunningApi, local: Client, wire: Client) -> None:
        for path in (f"{PODS}?watch=true", f"{PODS}/there/log"):
            target, _, query = path.partition("?")
            pairs = (("watch", "true"),) if query else ()
            request = requests_.Request(method="GET", path=target, query=pairs)
            reply = await local.caller.transport.send(api.url, request, timeout_s=60)
            assert reply.status in (404, 405)
        async for event in local.watch(Namespace):
            assert event.object.metadata.name
            break

    run(tmp_path, work)
