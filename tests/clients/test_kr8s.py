"""`kr8s`, unchanged: objects that know their own verbs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import kr8s
import kr8s.asyncio
import pytest
from kmini_process import Server
from kr8s.asyncio.objects import ConfigMap, Deployment, Namespace, Pod

NAMESPACE = "kr8s"

Test = Callable[[Any], Awaitable[None]]


def run(server: Server, test: Test) -> None:
    async def body() -> None:
        api: Any = await kr8s.asyncio.api(kubeconfig=str(server.data_dir / "kubeconfig"), namespace=NAMESPACE)
        try:
            namespace = await Namespace({"metadata": {"name": NAMESPACE}}, api=api)
            if not await namespace.exists():
                await namespace.create()
            await test(api)
        finally:
            await api._session.aclose()  # it has no way of its own

    asyncio.run(body())


def pod(name: str, **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
        "spec": {"containers": [{"name": "main", "image": "nginx:1.25"}]},
    }


def settings(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": NAMESPACE}, "data": data}


def test_one_object_from_beginning_to_end(shared_server: Server) -> None:
    async def test(api: Any) -> None:
        one = await Pod(pod("one"), api=api)
        await one.create()
        assert await one.exists()
        await one.label({"app": "web"})
        await one.annotate(note="changed")
        found = await Pod.get("one", namespace=NAMESPACE, api=api)
        assert (found.labels.app, found.annotations.note, found.status.phase) == ("web", "changed", "Pending")
        await one.delete(grace_period=0)
        assert not await one.exists()
        with pytest.raises(kr8s.NotFoundError):
            await Pod.get("one", namespace=NAMESPACE, api=api, timeout=0)

    run(shared_server, test)


def test_patches_and_errors(shared_server: Server) -> None:
    async def test(api: Any) -> None:
        one = await ConfigMap(settings("one", a="b"), api=api)
        await one.create()
        await one.patch({"data": {"c": "d"}})
        await one.patch([{"op": "remove", "path": "/data/a"}], type="json")
        await one.refresh()
        assert one.data == {"c": "d"}
        with pytest.raises(kr8s.ServerError) as twice:
            await (await ConfigMap(settings("one"), api=api)).create()
        assert twice.value.response is not None
        assert twice.value.response.status_code == 409
        assert twice.value.response.json()["reason"] == "AlreadyExists"
        with pytest.raises(kr8s.ServerError) as wrong:
            await (await ConfigMap(settings("Wrong_Name"), api=api)).create()
        assert wrong.value.response is not None
        assert wrong.value.response.status_code == 422

    run(shared_server, test)


def test_lists_selectors_and_scale(shared_server: Server) -> None:
    async def test(api: Any) -> None:
        for name, tier in (("a", "front"), ("b", "back")):
            await (await Pod(pod(name, tier=tier), api=api)).create()
        by_label = [each.name async for each in api.get("pods", label_selector={"tier": "back"})]
        by_field = [each.name async for each in api.get("pods", field_selector="metadata.name=a")]
        assert (by_label, by_field) == (["b"], ["a"])
        template = {"metadata": {"labels": {"x": "y"}}, "spec": pod("x")["spec"]}
        document = {
            "metadata": {"name": "web", "namespace": NAMESPACE},
            "spec": {"replicas": 1, "selector": {"matchLabels": {"x": "y"}}, "template": template},
        }
        web = await Deployment(document, api=api)
        await web.create()
        await web.patch({"spec": {"replicas": 4}}, subresource="scale")
        await web.refresh()
        assert web.replicas == 4

    run(shared_server, test)


def test_a_watch_tells_every_change(shared_server: Server) -> None:
    async def test(api: Any) -> None:
        await (await ConfigMap(settings("there"), api=api)).create()
        seen: list[tuple[str, str]] = []
        watched = await ConfigMap(settings("watched"), api=api)

        async def change() -> None:
            await watched.create()
            await watched.patch({"data": {"a": "b"}})
            await watched.delete()

        writer = None
        async with contextlib.aclosing(api.watch("configmaps", namespace=NAMESPACE)) as events:
            async for kind, obj in events:
                seen.append((kind, obj.name))
                if (kind, obj.name) == ("ADDED", "there"):
                    writer = asyncio.ensure_future(change())
                if kind == "DELETED":
                    break
        assert writer is not None
        await writer
        assert [kind for kind, name in seen if name == "watched"] == ["ADDED", "MODIFIED", "DELETED"]

    run(shared_server, test)


def test_what_the_server_has(shared_server: Server) -> None:
    async def test(api: Any) -> None:
        assert (await api.version())["major"] == "1"
        kinds = {(each["kind"], each["version"]) for each in await api.api_resources()}
        assert {("Pod", "v1"), ("Deployment", "apps/v1"), ("Pod", "v1alpha1")} <= kinds
        assert (await api.whoami()) == "kmini-admin"

    run(shared_server, test)
