"""OpenAPI as kubectl, generators and fuzzers read it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gnostic
import msgspec
import pytest
import schemathesis
from schemathesis.core.result import Ok

from apiserver.api.base import Object, always
from apiserver.openapi import OpenApi
from apiserver.openapi.descriptions import describe
from apiserver.registry.table import table

GVK = "x-kubernetes-group-version-kind"
CONTAINER = "io.k8s.api.core.v1.Container"


@pytest.fixture(name="openapi", scope="module")
def openapi_of_the_whole_table() -> OpenApi:
    return OpenApi(table().rows, version="v1.33.0+kmini.0.1.0")


@pytest.fixture(name="v2", scope="module")
def swagger(openapi: OpenApi) -> Any:
    return msgspec.json.decode(openapi.swagger().body())


def v3_of(openapi: OpenApi, path: str) -> Any:
    document = openapi.group_version(path)
    assert document is not None
    return msgspec.json.decode(document.body())


def every(value: Any, key: str) -> Iterator[Any]:
    """Every value of `key`, however deep."""
    if isinstance(value, dict):
        for name, each in value.items():
            if name == key:
                yield each
            yield from every(each, key)
    elif isinstance(value, list):
        for each in value:
            yield from every(each, key)


def without_zeros(value: Any) -> Any:
    """proto3 has no way to say `minimum: 0`."""
    if isinstance(value, dict):
        return {key: without_zeros(each) for key, each in value.items() if (key, each) != ("minimum", 0)}
    return [without_zeros(each) for each in value] if isinstance(value, list) else value


def operations(document: Any) -> Iterator[tuple[str, str, Any]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_every_reference_resolves(openapi: OpenApi, v2: Any) -> None:
    assert {each.removeprefix("#/definitions/") for each in every(v2, "$ref")} <= set(v2["definitions"])
    for path in openapi.paths():
        document = v3_of(openapi, path)
        refs = {each.removeprefix("#/components/schemas/") for each in every(document, "$ref")}
        assert refs == refs & set(document["components"]["schemas"])


def test_the_index_names_every_version_by_its_content(openapi: OpenApi) -> None:
    index = msgspec.json.decode(openapi.index().body())["paths"]
    assert sorted(index) == sorted(openapi.paths())
    assert {"api/v1", "api/v1alpha1", "apis/apps/v1"} <= set(index)
    for path, entry in index.items():
        document = openapi.group_version(path)
        assert document is not None
        assert entry == {"serverRelativeURL": f"/openapi/v3/{path}?hash={document.hash}"}


def test_what_is_not_served_has_no_document(openapi: OpenApi) -> None:
    assert openapi.group_version("apis/none/v1") is None
    assert openapi.group_version("../etc/passwd") is None


def test_documents_are_the_same_each_time_and_built_once() -> None:
    first, second = (OpenApi(table().rows, version="v1") for _ in range(2))
    assert first.known("v2") is None
    assert first.swagger().etag == second.swagger().etag
    assert first.index().etag == second.index().etag
    assert first.swagger() is first.known("v2")


def test_the_protobuf_form_says_the_same_as_the_json(openapi: OpenApi, v2: Any) -> None:
    document = openapi.swagger(protobuf=True)
    assert document.content_type == "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
    assert gnostic.read(document.body()) == without_zeros(v2)


def test_kinds_can_be_found_by_group_version_and_kind(v2: Any) -> None:
    found = {
        (each["group"], each["version"], each["kind"]): name
        for name, schema in v2["definitions"].items()
        for each in schema.get(GVK, ())
    }
    assert found["", "v1", "Pod"] == "io.k8s.api.core.v1.Pod"
    assert found["", "v1", "PodList"] == "io.k8s.api.core.v1.PodList"
    assert found["", "v1alpha1", "Pod"] == "kmini.api.v1alpha1.Pod"
    assert found["apps", "v1", "Deployment"] == "io.k8s.api.apps.v1.Deployment"
    for name in ("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "io.k8s.apimachinery.pkg.api.resource.Quantity"):
        assert name in v2["definitions"]


def test_lists_say_how_a_patch_merges_them(v2: Any) -> None:
    spec = v2["definitions"]["io.k8s.api.core.v1.PodSpec"]["properties"]
    assert spec["containers"]["x-kubernetes-patch-strategy"] == "merge"
    assert spec["containers"]["x-kubernetes-patch-merge-key"] == "name"
    assert spec["containers"]["x-kubernetes-list-type"] == "map"
    assert spec["volumes"]["x-kubernetes-patch-strategy"] == "merge,retainKeys"
    assert spec["tolerations"]["x-kubernetes-list-type"] == "atomic"
    ports = v2["definitions"][CONTAINER]["properties"]["ports"]
    assert ports["x-kubernetes-list-map-keys"] == ["containerPort", "protocol"]
    metadata = v2["definitions"]["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"]["properties"]
    assert metadata["finalizers"]["x-kubernetes-list-type"] == "set"


def test_only_what_the_server_asks_for_is_required(v2: Any) -> None:
    required = {
        name.rpartition(".")[2]: each.get("required", [])
        for name, each in v2["definitions"].items()
        if name.startswith("io.k8s.api.")
    }
    assert required["Container"] == ["name"]
    assert required["ContainerPort"] == ["containerPort"]
    assert required["DeploymentSpec"] == ["selector", "template"]
    assert required["PodCondition"] == []  # people do not write statuses
    assert required["ContainerStatus"] == []
    assert required["Pod"] == []


def test_scalars_have_the_forms_clients_know(openapi: OpenApi, v2: Any) -> None:
    quantity, port = "io.k8s.apimachinery.pkg.api.resource.Quantity", "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
    assert v2["definitions"][quantity]["type"] == "string"
    assert v2["definitions"][port]["format"] == "int-or-string"
    v3 = v3_of(openapi, "api/v1")["components"]["schemas"]
    assert v3[quantity]["oneOf"] == [{"type": "string"}, {"type": "number"}]
    assert v3[port]["oneOf"] == [{"type": "integer"}, {"type": "string"}]
    metadata = v3["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"]["properties"]
    assert metadata["generation"] == {**metadata["generation"], "type": "integer", "format": "int64"}
    assert metadata["labels"]["additionalProperties"] == {"type": "string"}
    assert metadata["creationTimestamp"]["allOf"] == [
        {"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.Time"}
    ]


def test_every_operation_has_an_id_of_its_own_and_declares_its_path(openapi: OpenApi, v2: Any) -> None:
    for document in (v2, *(v3_of(openapi, path) for path in openapi.paths())):
        found = list(operations(document))
        ids = [operation["operationId"] for _, _, operation in found]
        assert len(ids) == len(set(ids)) > 0
        for path, _, operation in found:
            named = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
            assert named == {each.strip("{}") for each in path.split("/") if each.startswith("{")}
            assert GVK in operation
            assert "x-kubernetes-action" in operation


def test_ids_are_those_of_kubernetes(openapi: OpenApi) -> None:
    ids = {operation["operationId"] for path in openapi.paths() for *_, operation in operations(v3_of(openapi, path))}
    assert {
        "listCoreV1NamespacedPod",
        "listCoreV1PodForAllNamespaces",
        "createCoreV1NamespacedPod",
        "deleteCoreV1CollectionNamespacedPod",
        "readCoreV1NamespacedPod",
        "replaceCoreV1NamespacedPodStatus",
        "readCoreV1NamespacedPodLog",
        "createCoreV1NamespacedPodEviction",
        "connectCoreV1GetNamespacedPodExec",
        "connectCoreV1PutNodeProxy",
        "patchCoreV1Node",
        "readAppsV1NamespacedDeploymentScale",
        "createAuthenticationV1TokenReview",
        "createAuthorizationV1NamespacedLocalSubjectAccessReview",
        "createCoreV1alpha1Pod",
    } <= ids


def test_subresources_name_the_kind_of_their_body(v2: Any) -> None:
    pod = "/api/v1/namespaces/{namespace}/pods/{name}"
    eviction = v2["paths"][f"{pod}/eviction"]["post"]
    assert eviction[GVK] == {"group": "policy", "kind": "Eviction", "version": "v1"}
    assert eviction["parameters"][0]["schema"] == {"$ref": "#/definitions/io.k8s.api.policy.v1.Eviction"}
    assert v2["paths"][f"{pod}/binding"]["post"][GVK]["kind"] == "Binding"
    assert v2["paths"][f"{pod}/status"]["put"][GVK]["kind"] == "Pod"


def test_kubectl_finds_out_that_fields_are_validated_here(openapi: OpenApi, v2: Any) -> None:
    """It looks for the parameter in the patch of the very kind it sends, in v3 or v2."""
    for document in (v2, v3_of(openapi, "api/v1")):
        patch = document["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"]
        assert patch[GVK] == {"group": "", "kind": "Pod", "version": "v1"}
        assert {"fieldValidation", "dryRun"} <= {each["name"] for each in patch["parameters"]}


def test_patches_take_three_forms(openapi: OpenApi) -> None:
    paths = v3_of(openapi, "apis/apps/v1")["paths"]
    patch = paths["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    assert list(patch["requestBody"]["content"]) == [
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
    ]


@pytest.mark.parametrize("path", ["api/v1", "api/v1alpha1", "apis/apps/v1"])
def test_schemathesis_can_load_it(openapi: OpenApi, path: str) -> None:
    schema = schemathesis.openapi.from_dict(v3_of(openapi, path))
    found = list(schema.get_all_operations())
    assert [each for each in found if not isinstance(each, Ok)] == []
    assert len(found) == sum(1 for _ in operations(v3_of(openapi, path)))


class Parent(Object):
    """What it is,
    over two lines.

    first: The first one.
    second: A long text
        that goes on.
    """

    first: str = always("")
    second: str = ""


class Child(Parent):
    """Another one.

    second: Of the child.
    third_thing: With a colon: here.
    not_a_field: Left out.
    """

    third_thing: int = 0


def test_descriptions_are_the_docstrings() -> None:
    parent, child = describe(Parent), describe(Child)
    assert parent == {
        "": "What it is, over two lines.",
        "first": "The first one.",
        "second": "A long text that goes on.",
    }
    assert child == {
        "": "Another one.",
        "first": "The first one.",
        "second": "Of the child.",
        "third_thing": "With a colon: here.",
    }


def test_every_field_people_write_is_described(openapi: OpenApi) -> None:
    for path in openapi.paths():
        schemas = v3_of(openapi, path)["components"]["schemas"]
        assert [name for name, each in schemas.items() if not each["description"]] == []
        bare = [
            f"{name}.{field}"
            for name, each in schemas.items()
            for field, schema in each.get("properties", {}).items()
            if not schema.get("description")
        ]
        assert bare == []
