"""The official `kubernetes` client on a cluster that works: a Deployment becomes pods while a watch looks on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import kubernetes
import pytest
from kmini_process import Server, eventually

NAMESPACE = "official"
WATCH_S = 120
sdk: Any = kubernetes  # not typed throughout


@pytest.fixture(scope="module")
def api(cluster: Server) -> Iterator[Any]:
    with sdk.config.new_client_from_config(str(cluster.data_dir / "kubeconfig")) as client:
        core = sdk.client.CoreV1Api(client)
        core.create_namespace({"metadata": {"name": NAMESPACE}})
        yield client
        core.delete_namespace(NAMESPACE)
        eventually(lambda: NAMESPACE not in namespaces(core), what="it is gone, and its pods with it")


def namespaces(core: Any) -> set[str]:
    return {each.metadata.name for each in core.list_namespace().items}


@pytest.fixture
def core(api: Any) -> Any:
    return sdk.client.CoreV1Api(api)


@pytest.fixture
def apps(api: Any) -> Any:
    return sdk.client.AppsV1Api(api)


def deployment(name: str, *, replicas: int) -> Any:
    client = sdk.client
    labels = {"app": name}
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels=labels),
        spec=client.V1PodSpec(containers=[client.V1Container(name="main", image="nginx:1.25")]),
    )
    return client.V1Deployment(
        metadata=client.V1ObjectMeta(name=name),
        spec=client.V1DeploymentSpec(
            replicas=replicas, selector=client.V1LabelSelector(match_labels=labels), template=template
        ),
    )


def is_ready(pod: Any) -> bool:
    return any(each.type == "Ready" and each.status == "True" for each in pod.status.conditions or ())


def ready_pods(core: Any, name: str, version: str, count: int) -> dict[str, Any]:
    """So many ready pods by name, as a watch from this resourceVersion on shows them."""
    watch, ready = sdk.watch.Watch(), {}
    events = watch.stream(
        core.list_namespaced_pod,
        NAMESPACE,
        label_selector=f"app={name}",
        resource_version=version,
        timeout_seconds=WATCH_S,
    )
    for event in events:
        pod = event["object"]
        if event["type"] != "DELETED" and is_ready(pod):
            ready[pod.metadata.name] = pod
        else:
            ready.pop(pod.metadata.name, None)
        if len(ready) == count:
            watch.stop()
    return ready


def test_a_deployment_becomes_ready_pods_on_nodes(core: Any, apps: Any) -> None:
    created = apps.create_namespaced_deployment(NAMESPACE, deployment("web", replicas=4))
    pods = ready_pods(core, "web", created.metadata.resource_version, 4)
    assert len(pods) == 4
    assert {pod.spec.node_name for pod in pods.values()} <= {"node-1", "node-2", "node-3"}
    assert len({pod.status.pod_ip for pod in pods.values()}) == 4
    assert {pod.metadata.owner_references[0].kind for pod in pods.values()} == {"ReplicaSet"}


def statuses(apps: Any, changed: Any, replicas: int) -> list[Any]:
    """What a watch of the Deployment shows after this change of it, until all its replicas are new and available."""
    watch, seen = sdk.watch.Watch(), []
    for event in watch.stream(
        apps.list_namespaced_deployment,
        NAMESPACE,
        field_selector=f"metadata.name={changed.metadata.name}",
        resource_version=changed.metadata.resource_version,
        timeout_seconds=WATCH_S,
    ):
        status = event["object"].status
        seen.append(status)
        figures = {status.updated_replicas, status.replicas, status.available_replicas}
        if status.observed_generation == changed.metadata.generation and figures == {replicas}:
            watch.stop()
    return seen


def test_it_is_scaled_and_updated_while_a_watch_of_deployments_looks_on(apps: Any) -> None:
    created = apps.create_namespaced_deployment(NAMESPACE, deployment("api", replicas=2))
    assert statuses(apps, created, 2)[-1].available_replicas == 2
    apps.patch_namespaced_deployment_scale("api", NAMESPACE, {"spec": {"replicas": 3}})
    container = {"name": "main", "image": "nginx:1.26"}
    patched = apps.patch_namespaced_deployment(
        "api", NAMESPACE, {"spec": {"template": {"spec": {"containers": [container]}}}}
    )
    seen = statuses(apps, patched, 3)
    assert seen[-1].available_replicas == 3
    # as many as before: of three none may be lost (25 %, rounded down)
    assert all((status.available_replicas or 0) >= 2 for status in seen)


def test_in_the_foreground_it_goes_after_its_pods(core: Any, apps: Any) -> None:
    created = apps.create_namespaced_deployment(NAMESPACE, deployment("gone", replicas=2))
    ready_pods(core, "gone", created.metadata.resource_version, 2)
    version = core.list_namespaced_pod(NAMESPACE).metadata.resource_version
    apps.delete_namespaced_deployment("gone", NAMESPACE, propagation_policy="Foreground")
    watch = sdk.watch.Watch()
    for event in watch.stream(
        apps.list_namespaced_deployment,
        NAMESPACE,
        field_selector="metadata.name=gone",
        resource_version=version,
        timeout_seconds=WATCH_S,
    ):
        if event["type"] == "DELETED":
            watch.stop()
    assert core.list_namespaced_pod(NAMESPACE, label_selector="app=gone").items == []
    assert apps.list_namespaced_replica_set(NAMESPACE, label_selector="app=gone").items == []
