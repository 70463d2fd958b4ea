"""`kubernetes_asyncio`, unchanged: the same verbs and errors, and a watch beside its writers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from kmini_process import Server
from kubernetes_asyncio import client, config, watch
from kubernetes_asyncio.client import ApiException

NAMESPACE = "asyncio"


def run(server: Server, test: Callable[[client.ApiClient], Awaitable[None]]) -> None:
    async def body() -> None:
        configuration = client.Configuration()
        await config.load_kube_config(
            config_file=str(server.data_dir / "kubeconfig"), client_configuration=configuration, persist_config=False
        )
        async with client.ApiClient(configuration) as api:
            core: Any = client.CoreV1Api(api)
            names = [each.metadata.name for each in (await core.list_namespace()).items]
            if NAMESPACE not in names:
                await core.create_namespace({"metadata": {"name": NAMESPACE}})
            await test(api)

    asyncio.run(body())


def pod(name: str, **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"containers": [{"name": "main", "image": "nginx:1.25"}]},
    }


def test_one_object_from_beginning_to_end(shared_server: Server) -> None:
    async def test(api: client.ApiClient) -> None:
        core: Any = client.CoreV1Api(api)
        created = await core.create_namespaced_pod(NAMESPACE, pod("one"))
        found = await core.read_namespaced_pod("one", NAMESPACE)
        assert (found.metadata.uid, found.status.phase) == (created.metadata.uid, "Pending")
        found.spec.containers[0].image = "nginx:1.26"
        replaced = await core.replace_namespaced_pod("one", NAMESPACE, found)
        assert replaced.spec.containers[0].image == "nginx:1.26"
        with pytest.raises(ApiException) as old:
            await core.replace_namespaced_pod("one", NAMESPACE, found)
        assert (old.value.status, old.value.reason, json.loads(old.value.body or b"")["reason"]) == (
            409,
            "Conflict",
            "Conflict",
        )
        patched = await core.patch_namespaced_pod_status("one", NAMESPACE, {"status": {"phase": "Running"}})
        assert patched.status.phase == "Running"
        await core.delete_namespaced_pod("one", NAMESPACE, grace_period_seconds=0)
        with pytest.raises(ApiException) as gone:
            await core.read_namespaced_pod("one", NAMESPACE)
        assert (gone.value.status, gone.value.reason) == (404, "Not Found")

    run(shared_server, test)


def test_every_patch(shared_server: Server) -> None:
    async def test(api: client.ApiClient) -> None:
        core: Any = client.CoreV1Api(api)
        await core.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": "patched"}, "data": {"a": "b"}})
        steps: list[tuple[str, Any]] = [
            ("application/json-patch+json", [{"op": "add", "path": "/data/c", "value": "d"}]),
            ("application/merge-patch+json", {"data": {"a": None}}),
            ("application/strategic-merge-patch+json", {"data": {"e": "f"}}),
        ]
        for content_type, patch in steps:
            await core.patch_namespaced_config_map("patched", NAMESPACE, patch, _content_type=content_type)
        found = await core.read_namespaced_config_map("patched", NAMESPACE)
        assert found.data == {"c": "d", "e": "f"}

    run(shared_server, test)


def test_pages_selectors_and_scale(shared_server: Server) -> None:
    async def test(api: client.ApiClient) -> None:
        core: Any = client.CoreV1Api(api)
        apps: Any = client.AppsV1Api(api)
        for number in range(5):
            await core.create_namespaced_pod(NAMESPACE, pod(f"page-{number}", page="yes"))
        first = await core.list_namespaced_pod(NAMESPACE, label_selector="page=yes", limit=3)
        rest = await core.list_namespaced_pod(
            NAMESPACE, label_selector="page=yes", limit=3, _continue=first.metadata._continue
        )
        assert [each.metadata.name for each in (*first.items, *rest.items)] == [f"page-{each}" for each in range(5)]
        assert first.metadata.resource_version == rest.metadata.resource_version
        one = await core.list_namespaced_pod(NAMESPACE, field_selector="metadata.name=page-3")
        assert [each.metadata.name for each in one.items] == ["page-3"]
        template = {"metadata": {"labels": {"a": "b"}}, "spec": pod("x")["spec"]}
        spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
        await apps.create_namespaced_deployment(NAMESPACE, {"metadata": {"name": "web"}, "spec": spec})
        await apps.patch_namespaced_deployment_scale("web", NAMESPACE, {"spec": {"replicas": 3}})
        assert (await apps.read_namespaced_deployment_scale("web", NAMESPACE)).spec.replicas == 3

    run(shared_server, test)


def test_a_watch_with_bookmarks_tells_every_change(shared_server: Server) -> None:
    async def test(api: client.ApiClient) -> None:
        core: Any = client.CoreV1Api(api)
        start = (await core.list_namespaced_secret(NAMESPACE)).metadata.resource_version

        async def change() -> None:
            await core.create_namespaced_secret(NAMESPACE, {"metadata": {"name": "watched"}, "stringData": {"a": "b"}})
            await core.patch_namespaced_secret("watched", NAMESPACE, {"metadata": {"labels": {"x": "y"}}})
            await core.delete_namespaced_secret("watched", NAMESPACE)

        seen = []
        async with watch.Watch().stream(
            core.list_namespaced_secret, NAMESPACE, resource_version=start, allow_watch_bookmarks=True
        ) as events:
            writer = asyncio.ensure_future(change())
            async for event in events:
                if event["type"] != "BOOKMARK":  # they come when the server likes
                    seen.append((event["type"], event["object"].metadata.name))
                if event["type"] == "DELETED":
                    break
            await writer
        assert seen == [("ADDED", "watched"), ("MODIFIED", "watched"), ("DELETED", "watched")]

    run(shared_server, test)
