"""The official `kubernetes` client, unchanged: objects, patches, pages, watches, tokens and errors."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes
import pytest
from kmini_process import Server
from kubernetes.client import ApiException

NAMESPACE = "official"
sdk: Any = kubernetes  # not typed throughout


@pytest.fixture(scope="module")
def api(shared_server: Server) -> Iterator[Any]:
    with sdk.config.new_client_from_config(str(shared_server.data_dir / "kubeconfig")) as client:
        sdk.client.CoreV1Api(client).create_namespace({"metadata": {"name": NAMESPACE}})
        yield client


@pytest.fixture(scope="module")
def core(api: Any) -> Any:
    return sdk.client.CoreV1Api(api)


@pytest.fixture(scope="module")
def apps(api: Any) -> Any:
    return sdk.client.AppsV1Api(api)


def pod(name: str, **labels: str) -> Any:
    client = sdk.client
    return client.V1Pod(
        metadata=client.V1ObjectMeta(name=name, labels=labels),
        spec=client.V1PodSpec(containers=[client.V1Container(name="main", image="nginx:1.25")]),
    )


def pod_document(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "main", "image": "nginx:1.25"}]}}


def deployment(name: str) -> dict[str, Any]:
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "main", "image": "nginx:1.25"}]},
    }
    return {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": {"app": name}}, "template": template}}


def settings(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}


def paged(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"page": "yes"}}}


def said(error: pytest.ExceptionInfo[ApiException]) -> Any:
    """The Status the server answered with."""
    return json.loads(error.value.body or "")


# --- one object ---------------------------------------------------------------------------------------------


def test_a_pod_is_created_read_replaced_and_deleted(core: Any) -> None:
    created = core.create_namespaced_pod(NAMESPACE, pod("one", app="web"))
    assert (created.status.phase, created.spec.containers[0].image_pull_policy) == ("Pending", "IfNotPresent")
    assert created.metadata.creation_timestamp.tzinfo is not None
    found = core.read_namespaced_pod("one", NAMESPACE)
    assert found.to_dict() == created.to_dict()
    found.metadata.annotations = {"note": "changed"}
    found.spec.containers[0].image = "nginx:1.26"
    replaced = core.replace_namespaced_pod("one", NAMESPACE, found)
    assert (replaced.metadata.annotations, replaced.spec.containers[0].image) == ({"note": "changed"}, "nginx:1.26")
    core.delete_namespaced_pod("one", NAMESPACE, grace_period_seconds=0)
    with pytest.raises(ApiException) as gone:
        core.read_namespaced_pod("one", NAMESPACE)
    assert (gone.value.status, gone.value.reason) == (404, "Not Found")
    assert said(gone)["reason"] == "NotFound"


@pytest.mark.parametrize(
    ("content_type", "patch", "expected"),
    [
        ("application/json-patch+json", [{"op": "add", "path": "/data/c", "value": "d"}], {"a": "b", "c": "d"}),
        ("application/merge-patch+json", {"data": {"a": None, "e": "f"}}, {"e": "f"}),
        ("application/strategic-merge-patch+json", {"data": {"g": "h"}}, {"a": "b", "g": "h"}),
    ],
)
def test_patches(core: Any, content_type: str, patch: Any, expected: dict[str, str]) -> None:
    core.create_namespaced_config_map(NAMESPACE, settings("patched", a="b"))
    try:
        core.patch_namespaced_config_map("patched", NAMESPACE, patch, _content_type=content_type)
        assert core.read_namespaced_config_map("patched", NAMESPACE).data == expected
    finally:
        core.delete_namespaced_config_map("patched", NAMESPACE)


def test_scale_and_status(apps: Any) -> None:
    apps.create_namespaced_deployment(NAMESPACE, deployment("web"))
    scale = apps.read_namespaced_deployment_scale("web", NAMESPACE)
    assert (scale.spec.replicas, scale.status.selector) == (1, "app=web")
    scale.spec.replicas = 3
    apps.replace_namespaced_deployment_scale("web", NAMESPACE, scale)
    apps.patch_namespaced_deployment_scale("web", NAMESPACE, {"spec": {"replicas": 4}})
    apps.patch_namespaced_deployment_status("web", NAMESPACE, {"status": {"replicas": 2, "readyReplicas": 1}})
    found = apps.read_namespaced_deployment("web", NAMESPACE)
    assert (found.spec.replicas, found.status.replicas, found.status.ready_replicas) == (4, 2, 1)
    assert found.metadata.generation == 3


# --- many ---------------------------------------------------------------------------------------------------


def test_pages_show_one_revision(core: Any) -> None:
    for number in range(7):
        core.create_namespaced_config_map(
            NAMESPACE, {"metadata": {"name": f"page-{number}", "labels": {"page": "yes"}}}
        )
    names: list[str] = []
    following, versions = None, set()
    while True:
        page = core.list_namespaced_config_map(NAMESPACE, label_selector="page=yes", limit=3, _continue=following)
        names += [each.metadata.name for each in page.items]
        versions.add(page.metadata.resource_version)
        following = page.metadata._continue
        if len(names) == 3:
            core.create_namespaced_config_map(NAMESPACE, paged("page-3a"))
        if not following:
            break
    assert (names, len(versions)) == ([f"page-{number}" for number in range(7)], 1)
    core.delete_collection_namespaced_config_map(NAMESPACE, label_selector="page=yes")
    assert core.list_namespaced_config_map(NAMESPACE, label_selector="page=yes").items == []


def test_selectors(core: Any) -> None:
    for name, tier in (("a", "front"), ("b", "back")):
        core.create_namespaced_pod(NAMESPACE, pod(f"select-{name}", tier=tier))

    def names(**selectors: str) -> list[str]:
        return [each.metadata.name for each in core.list_namespaced_pod(NAMESPACE, **selectors).items]

    assert names(label_selector="tier in (front,back)") == ["select-a", "select-b"]
    assert names(label_selector="tier!=front,tier") == ["select-b"]
    assert names(field_selector="metadata.name=select-a") == ["select-a"]
    assert names(field_selector="status.phase=Running") == []
    everywhere = core.list_pod_for_all_namespaces(field_selector="metadata.namespace=official,metadata.name=select-b")
    assert [each.metadata.name for each in everywhere.items] == ["select-b"]


# --- watches ------------------------------------------------------------------------------------------------


def test_a_watch_tells_every_change_in_order(core: Any) -> None:
    start = core.list_namespaced_config_map(NAMESPACE).metadata.resource_version

    def change() -> None:
        core.create_namespaced_config_map(NAMESPACE, settings("watched", a="1"))
        core.patch_namespaced_config_map("watched", NAMESPACE, {"data": {"a": "2"}})
        core.delete_namespaced_config_map("watched", NAMESPACE)

    writer = threading.Thread(target=change)
    writer.start()
    seen = []
    watch = sdk.watch.Watch()
    for event in watch.stream(
        core.list_namespaced_config_map, NAMESPACE, resource_version=start, field_selector="metadata.name=watched"
    ):
        seen.append((event["type"], event["object"].data["a"]))
        if event["type"] == "DELETED":
            watch.stop()
    writer.join()
    assert seen == [("ADDED", "1"), ("MODIFIED", "2"), ("DELETED", "2")]


def test_bookmarks_and_initial_events(core: Any) -> None:
    core.create_namespaced_secret(NAMESPACE, {"metadata": {"name": "initial"}})
    asked = {"send_initial_events": True, "resource_version_match": "NotOlderThan", "allow_watch_bookmarks": True}
    with contextlib.closing(sdk.watch.Watch().stream(core.list_namespaced_secret, NAMESPACE, **asked)) as events:
        first, second = next(events), next(events)
    assert (first["type"], first["object"].metadata.name) == ("ADDED", "initial")
    assert second["type"] == "BOOKMARK"
    assert second["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_a_watch_from_a_version_that_is_not_there_yet_says_so(core: Any) -> None:
    with pytest.raises(ApiException) as early:
        core.list_namespaced_secret(NAMESPACE, resource_version="999999999", resource_version_match="NotOlderThan")
    assert (early.value.status, said(early)["reason"]) == (504, "Timeout")


# --- errors -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "reason", "words"),
    [
        (settings("kube-root-ca.crt"), 409, "AlreadyExists", 'configmaps "kube-root-ca.crt" already exists'),
        (settings("Wrong_Name"), 422, "Invalid", "metadata.name"),
        ({"metadata": {"name": "x", "namespace": "other"}}, 400, "BadRequest", "namespace"),
        ({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "x"}}, 400, "BadRequest", "Secret"),
    ],
)
def test_errors_have_a_code_and_a_reason(core: Any, body: Any, status: int, reason: str, words: str) -> None:
    with pytest.raises(ApiException) as failed:
        core.create_namespaced_config_map(NAMESPACE, body)
    status_said = said(failed)
    assert (failed.value.status, status_said["code"], status_said["reason"]) == (status, status, reason)
    assert words in status_said["message"]


def test_a_replace_of_an_old_version_conflicts(core: Any) -> None:
    first = core.create_namespaced_config_map(NAMESPACE, settings("old", a="b"))
    core.patch_namespaced_config_map("old", NAMESPACE, {"data": {"a": "c"}})
    with pytest.raises(ApiException) as failed:
        core.replace_namespaced_config_map("old", NAMESPACE, first)
    assert (failed.value.status, said(failed)["reason"]) == (409, "Conflict")


# --- who asks -----------------------------------------------------------------------------------------------


def test_as_a_pod_with_its_accounts_token(
    core: Any,
    api: Any,
    shared_server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a pod finds in its projected volume and environment is enough."""
    core.create_namespaced_service_account(NAMESPACE, {"metadata": {"name": "robot"}})
    rbac = sdk.client.RbacAuthorizationV1Api(api)
    rbac.create_namespaced_role(
        NAMESPACE,
        {"metadata": {"name": "reader"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]},
    )
    rbac.create_namespaced_role_binding(
        NAMESPACE,
        {
            "metadata": {"name": "readers"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
            "subjects": [{"kind": "ServiceAccount", "name": "robot", "namespace": NAMESPACE}],
        },
    )
    request = {"spec": {"expirationSeconds": 3600, "audiences": None}}
    token = core.create_namespaced_service_account_token("robot", NAMESPACE, request).status.token
    (tmp_path / "token").write_text(token)
    (tmp_path / "ca.crt").write_text(core.read_namespaced_config_map("kube-root-ca.crt", NAMESPACE).data["ca.crt"])
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(shared_server.api_port))
    place = sdk.config.incluster_config
    configuration = sdk.client.Configuration()
    place.InClusterConfigLoader(
        token_filename=str(tmp_path / "token"), cert_filename=str(tmp_path / "ca.crt")
    ).load_and_set(configuration)
    with sdk.client.ApiClient(configuration) as inside:
        pods = sdk.client.CoreV1Api(inside)
        pods.list_namespaced_pod(NAMESPACE)
        with pytest.raises(ApiException) as refused:
            pods.list_namespaced_secret(NAMESPACE)
    assert (refused.value.status, said(refused)["reason"]) == (403, "Forbidden")


def test_a_dynamic_client_discovers_everything(api: Any, tmp_path: Path) -> None:
    found = sdk.dynamic.DynamicClient(api, cache_file=str(tmp_path / "discovery"))
    pods = found.resources.get(api_version="v1", kind="Pod")
    created = pods.create(namespace=NAMESPACE, body={"kind": "Pod", "apiVersion": "v1", **pod_document("dynamic")})
    assert pods.get(name="dynamic", namespace=NAMESPACE).metadata.uid == created.metadata.uid
    deployments = found.resources.get(api_version="apps/v1", kind="Deployment")
    assert "scale" in deployments.subresources
