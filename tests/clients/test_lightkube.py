"""`lightkube`, unchanged: typed models over plain requests, blocking and not."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import lightkube
import pytest
from kmini_process import Server
from lightkube.core.exceptions import ApiError
from lightkube.models.apps_v1 import DeploymentSpec, DeploymentStatus
from lightkube.models.autoscaling_v1 import ScaleSpec
from lightkube.models.core_v1 import Container, PodSpec, PodTemplateSpec
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Namespace, Pod
from lightkube.types import PatchType

NAMESPACE = "lightkube"


@pytest.fixture(scope="module")
def configuration(shared_server: Server) -> lightkube.KubeConfig:
    return lightkube.KubeConfig.from_file(str(shared_server.data_dir / "kubeconfig"))


@pytest.fixture(scope="module")
def client(configuration: lightkube.KubeConfig) -> Iterator[Any]:
    with lightkube.Client(configuration, namespace=NAMESPACE) as one:
        one.create(Namespace(metadata=ObjectMeta(name=NAMESPACE)))
        yield one


def pod(name: str, **labels: str) -> Any:
    return Pod(
        metadata=ObjectMeta(name=name, namespace=NAMESPACE, labels=labels),
        spec=PodSpec(containers=[Container(name="main", image="nginx:1.25")]),
    )


def settings(name: str, **data: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, namespace=NAMESPACE), data=data)


def test_one_object_from_beginning_to_end(client: Any) -> None:
    created = client.create(pod("one"))
    found = client.get(Pod, "one")
    assert found == created
    found.spec.containers[0].image = "nginx:1.26"
    replaced = client.replace(found)
    assert replaced.spec.containers[0].image == "nginx:1.26"
    with pytest.raises(ApiError) as old:
        client.replace(found)
    assert (old.value.status.code, old.value.status.reason) == (409, "Conflict")
    client.delete(Pod, "one", grace_period=0)
    with pytest.raises(ApiError) as gone:
        client.get(Pod, "one")
    assert (gone.value.status.code, gone.value.status.reason) == (404, "NotFound")


@pytest.mark.parametrize(
    ("kind", "patch", "expected"),
    [
        (PatchType.JSON, [{"op": "add", "path": "/data/c", "value": "d"}], {"a": "b", "c": "d"}),
        (PatchType.MERGE, {"data": {"a": None, "e": "f"}}, {"e": "f"}),
        (PatchType.STRATEGIC, {"data": {"g": "h"}}, {"a": "b", "g": "h"}),
    ],
)
def test_every_patch(client: Any, kind: PatchType, patch: Any, expected: dict[str, str]) -> None:
    client.create(settings("patched", a="b"))
    try:
        assert client.patch(ConfigMap, "patched", patch, patch_type=kind).data == expected
    finally:
        client.delete(ConfigMap, "patched")


def test_apply_says_what_is_not_there(client: Any) -> None:
    with pytest.raises(ApiError) as refused:
        client.apply(settings("applied"), field_manager="test")
    assert (refused.value.status.code, refused.value.status.reason) == (415, "UnsupportedMediaType")


def test_lists_in_pages_with_selectors(client: Any) -> None:
    for number in range(5):
        client.create(pod(f"page-{number}", page="yes"))
    names = [each.metadata.name for each in client.list(Pod, labels={"page": "yes"}, chunk_size=2)]
    assert names == [f"page-{number}" for number in range(5)]
    found = client.list(Pod, namespace="*", fields={"metadata.name": "page-3", "metadata.namespace": NAMESPACE})
    assert [each.metadata.name for each in found] == ["page-3"]
    client.deletecollection(Pod)
    assert list(client.list(Pod, labels={"page": "yes"})) == []


def test_scale_and_status(client: Any) -> None:
    labels = {"app": "web"}
    template = PodTemplateSpec(metadata=ObjectMeta(labels=labels), spec=pod("x").spec)
    spec = DeploymentSpec(selector=LabelSelector(matchLabels=labels), template=template)
    client.create(Deployment(metadata=ObjectMeta(name="web", namespace=NAMESPACE), spec=spec))
    scale = Deployment.Scale(metadata=ObjectMeta(name="web", namespace=NAMESPACE), spec=ScaleSpec(replicas=3))
    assert client.replace(scale).spec.replicas == 3
    status = Deployment.Status(
        metadata=ObjectMeta(name="web", namespace=NAMESPACE), status=DeploymentStatus(replicas=2), spec=spec
    )
    patched = client.patch(Deployment.Status, "web", status, patch_type=PatchType.MERGE)
    assert (patched.spec.replicas, patched.status.replicas) == (3, 2)


def test_a_watch_tells_every_change(client: Any) -> None:
    def change() -> None:
        client.create(settings("watched", a="1"))
        client.patch(ConfigMap, "watched", {"data": {"a": "2"}}, patch_type=PatchType.MERGE)
        client.delete(ConfigMap, "watched")

    listed = client.list(ConfigMap)
    assert "watched" not in [each.metadata.name for each in listed]
    writer = threading.Thread(target=change)
    writer.start()
    seen = []
    with contextlib.closing(
        client.watch(ConfigMap, fields={"metadata.name": "watched"}, resource_version=listed.resourceVersion)
    ) as events:
        for event, obj in events:
            seen.append((event, obj.data["a"]))
            if event == "DELETED":
                break
    writer.join()
    assert seen == [("ADDED", "1"), ("MODIFIED", "2"), ("DELETED", "2")]


def test_without_blocking(configuration: lightkube.KubeConfig, client: Any) -> None:
    async def body() -> list[str]:
        other: Any = lightkube.AsyncClient(configuration, namespace=NAMESPACE)
        try:
            await other.create(settings("asked", a="b"))
            found = [each.metadata.name async for each in other.list(ConfigMap)]
            await other.delete(ConfigMap, "asked")
            return found
        finally:
            await other.close()

    assert "asked" in asyncio.run(body())
