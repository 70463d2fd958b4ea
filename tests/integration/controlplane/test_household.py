"""Deletion in all its ways, namespaces and endpoints, on a real server with its own controllers and simulated nodes."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from controllers_process import until
from controllers_world_objects import (
    claim,
    config_map,
    deployment,
    made,
    namespace,
    owner_of,
    pod,
    replica_set,
    service,
)
from kmini_process import Server, running
from kubectl_binaries import MISSING, binaries

from apiserver.api.apps import Deployment, ReplicaSet
from apiserver.api.core.config import ConfigMap
from apiserver.api.core.endpoints import Endpoints
from apiserver.api.core.namespace import Namespace
from apiserver.api.core.pod import Pod
from apiserver.api.core.service import Service
from apiserver.api.discovery import EndpointSlice
from apiserver.api.errors import NotFound
from apiserver.api.kinds import KINDS
from apiserver.api.meta import DeleteOptions, TopObject
from apiserver.api.rbac import Role
from apiserver.client import Client, Patch, metadata
from controlplane.controllers.stored_kinds import stored_kinds
from nodeagent.simulation import SimulatedNodes

WEB = {"app": "web"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    found = Server("n1", tmp_path_factory.mktemp("household") / "n1", "--etcd-port", "0", controllers="in-process")
    with running(found):
        yield found


@asynccontextmanager
async def admin(server: Server, place: str) -> AsyncIterator[Client]:
    """With a namespace of the test's own as the client's."""
    async with Client.from_kubeconfig(server.data_dir / "kubeconfig", learn=False) as client:
        await client.create(namespace(place))
        client.namespace = place
        yield client


def with_admin(server: Server, place: str, body: Callable[[Client], Awaitable[None]]) -> None:
    async def main() -> None:
        async with admin(server, place) as client:
            await body(client)

    asyncio.run(main())


async def there(client: Client, type_: type[TopObject]) -> list[Any]:
    return [each async for each in client.list(type_, namespace=client.namespace)]


async def gone(client: Client, type_: type[TopObject], name: str) -> bool:
    try:
        await client.get(type_, name)
    except NotFound:
        return True
    return False


def kubectl(server: Server, *arguments: str) -> str:
    config = str(server.data_dir / "kubeconfig")
    done = subprocess.run(
        [binaries()[0].path, "--kubeconfig", config, *arguments], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


@pytest.mark.skipif(not binaries(), reason=MISSING)
@pytest.mark.parametrize("policy", ["background", "foreground", "orphan"])
def test_kubectl_delete_with_each_policy(server: Server, policy: str) -> None:
    place = f"delete-{policy}"

    async def body(client: Client) -> None:
        await client.create(deployment("web", 3, namespace=place))

        async def all_pods() -> bool:
            return len(await there(client, Pod)) == 3

        await until(all_pods, what="three pods")
        await asyncio.to_thread(kubectl, server, "-n", place, "delete", "deployment", "web", f"--cascade={policy}")
        await until(lambda: gone(client, Deployment, "web"), what="the Deployment goes")
        if policy == "orphan":
            [left] = await there(client, ReplicaSet)
            assert left.metadata.owner_references == []
            assert left.metadata.deletion_timestamp is None
            assert len(await there(client, Pod)) == 3
            return
        if policy == "foreground":
            assert await there(client, ReplicaSet) == []
            assert await there(client, Pod) == []

        async def empty() -> bool:
            return not await there(client, ReplicaSet) and not await there(client, Pod)

        await until(empty, what="everything of it goes")

    with_admin(server, place, body)


def test_a_namespace_goes_with_all_that_is_in_it(server: Server) -> None:
    place = "to-go"

    async def body(client: Client) -> None:
        async with SimulatedNodes(client, count=2, remove=True) as nodes:
            await nodes.wait_registered()
            await client.create(deployment("web", 4, namespace=place))
            await client.create(service("web", WEB, namespace=place))
            await client.create(config_map("settings", {"a": "b"}, namespace=place))
            await client.create(claim("data", namespace=place))

            async def served() -> bool:
                return len(await ready(client)) == 4

            await until(served, what="four ready endpoints")
            await client.delete(Namespace, place)
            await until(lambda: gone(client, Namespace, place), what="the namespace goes", timeout_s=90)
            for kind in stored_kinds():
                if kind.namespaced:
                    page = await metadata.list_page(client, kind, namespace=place)
                    assert page.items == [], kind

    with_admin(server, place, body)


async def ready(client: Client) -> set[str]:
    """Names of the pods that slices list as ready."""
    return {
        each.target_ref.name
        for slice_ in await there(client, EndpointSlice)
        for each in slice_.endpoints
        if each.conditions.ready
    }


def test_endpoints_follow_their_pods(server: Server) -> None:
    place = "endpoints"

    async def body(client: Client) -> None:
        async with SimulatedNodes(client, count=2, remove=True) as nodes:
            await nodes.wait_registered()
            await client.create(service("web", WEB, namespace=place))
            await client.create(replica_set("web", 3, namespace=place))

            async def three() -> set[str]:
                found = await ready(client)
                return found if len(found) == 3 else set()

            first = await until(three, what="three ready endpoints")
            await client.delete(Pod, min(first))

            async def others() -> bool:
                found = await ready(client)
                return len(found) == 3 and found != first

            await until(others, what="another one in its place")

            async def alike() -> bool:
                endpoints = await client.get(Endpoints, "web")
                names = {each.target_ref.name for s in endpoints.subsets for each in s.addresses if each.target_ref}
                return names == await ready(client)

            await until(alike, what="both forms say the same")
            await client.delete(Service, "web")

            async def nothing() -> bool:
                slices = await there(client, EndpointSlice)
                return not slices and await gone(client, Endpoints, "web")

            await until(nothing, what="both go with the Service")
            await client.delete(ReplicaSet, "web", options=DeleteOptions(propagation_policy="Foreground"))
            await until(lambda: gone(client, ReplicaSet, "web"), what="the ReplicaSet goes")

    with_admin(server, place, body)


def test_the_collector_may_change_every_kind(server: Server) -> None:
    """Its rights reach as far: what it takes references and finalizers from may be a Role, or a pod."""
    place = "rights"

    async def body(client: Client) -> None:
        owners = [await client.create(config_map(name, namespace=place)) for name in ("gone", "stays")]
        references = [owner_of(each, controller=False) for each in owners]
        meta = {"namespace": place, "ownerReferences": references}
        rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]
        await client.create(made(Role, "role", meta, rules=rules))
        await client.create(pod("pod", namespace=place, metadata={"ownerReferences": references}))
        await client.create(service("service", namespace=place, metadata={"ownerReferences": references}))
        await client.delete(ConfigMap, "gone")

        async def one_owner_each() -> bool:
            found = [
                await metadata.get(client, KINDS[package, kind], kind.lower())
                for package, kind in (("rbac", "Role"), ("core", "Pod"), ("core", "Service"))
            ]
            return all([owner.name for owner in each.owner_references] == ["stays"] for each in found)

        await until(one_owner_each, what="references to what is gone go")
        role = await client.get(Role, "role")
        await client.delete(Role, "role", options=DeleteOptions(propagation_policy="Foreground"))
        assert role.rules
        await until(lambda: gone(client, Role, "role"), what="the Role goes")

    with_admin(server, place, body)


def test_a_namespace_says_what_keeps_it(server: Server) -> None:
    place = "kept"

    async def body(client: Client) -> None:
        await client.create(config_map("kept", namespace=place, metadata={"finalizers": ["example.com/keep"]}))
        await client.delete(Namespace, place)

        async def said() -> bool:
            found = await client.get(Namespace, place)
            return any(
                each.type == "NamespaceFinalizersRemaining" and each.status == "True"
                for each in found.status.conditions
            )

        await until(said, what="the condition")
        await client.patch(ConfigMap, "kept", {"metadata": {"finalizers": None}}, Patch.MERGE)
        await until(lambda: gone(client, Namespace, place), what="the namespace goes")

    with_admin(server, place, body)


def test_nothing_of_it_was_a_defect(server: Server) -> None:
    """The last of this module: no controller broke, and none asked for what it may not."""
    lines = [line for line in server.log.splitlines() if "is broken" in line or "forbidden" in line]
    assert lines == []
