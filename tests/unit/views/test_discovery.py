"""Discovery as clients read it: every answer follows from the rows."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import view_rows as rows

from apiserver.api.errors import NotAcceptable
from apiserver.http.discovery import Discovery, storage_version_hash, version_document
from apiserver.http.documents import PLAIN_BYTES_MAX, Document
from apiserver.registry.table import table

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList,application/json"


@pytest.fixture(name="discovery")
def discovery_of_the_small_table() -> Discovery:
    return Discovery(rows.ROWS, server_address="10.0.0.1:6443")


def read(discovery: Discovery, path: str, accept: str | None = None) -> Any:
    found = discovery.document(path, accept)
    assert found is not None
    return msgspec.json.decode(found.body())


def resource(found: Any, name: str) -> Any:
    return next(each for each in found["resources"] if each["name"] == name)


def test_the_core_group_has_two_versions(discovery: Discovery) -> None:
    assert read(discovery, "/api") == {
        "kind": "APIVersions",
        "versions": ["v1", "v1alpha1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "10.0.0.1:6443"}],
    }


def test_groups_name_their_versions(discovery: Discovery) -> None:
    found = read(discovery, "/apis")
    assert [each["name"] for each in found["groups"]] == [
        "apps",
        "authentication.k8s.io",
        "authorization.k8s.io",
        "events.k8s.io",
    ]
    one = {"groupVersion": "apps/v1", "version": "v1"}
    expected = {"name": "apps", "versions": [one], "preferredVersion": one}
    assert found["groups"][0] == expected
    assert read(discovery, "/apis/apps") == {"kind": "APIGroup", "apiVersion": "v1", **expected}


def test_kinds_that_users_defined_are_a_list_without_items(discovery: Discovery) -> None:
    assert read(discovery, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions") == {
        "kind": "CustomResourceDefinitionList",
        "apiVersion": "apiextensions.k8s.io/v1",
        "metadata": {},
        "items": [],
    }
    assert discovery.document("/apis/apiextensions.k8s.io/v1") is None, "nothing else of the group is there"


def test_a_version_lists_resources_and_subresources(discovery: Discovery) -> None:
    found = read(discovery, "/api/v1")
    assert (found["kind"], found["groupVersion"]) == ("APIResourceList", "v1")
    names = [each["name"] for each in found["resources"]]
    assert names == sorted(names)
    assert resource(found, "pods") == {
        "name": "pods",
        "singularName": "pod",
        "namespaced": True,
        "kind": "Pod",
        "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
        "shortNames": ["po"],
        "categories": ["all"],
        "storageVersionHash": "xPOwRZ+Yhw8=",  # what every Kubernetes says of its pods
    }
    assert resource(found, "pods/status") == {
        "name": "pods/status",
        "singularName": "",
        "namespaced": True,
        "kind": "Pod",
        "verbs": ["get", "patch", "update"],
    }
    eviction = resource(found, "pods/eviction")
    assert (eviction["group"], eviction["version"], eviction["kind"]) == ("policy", "v1", "Eviction")
    assert resource(found, "nodes")["namespaced"] is False


def test_reviews_are_created_and_nothing_else(discovery: Discovery) -> None:
    found = resource(read(discovery, "/apis/authentication.k8s.io/v1"), "tokenreviews")
    assert found["verbs"] == ["create"]
    assert "storageVersionHash" not in found


def test_what_is_made_when_it_is_asked_for_has_no_stored_version() -> None:
    for name in ("nodes", "pods"):
        found = resource(read(Discovery(table().rows), "/apis/metrics.k8s.io/v1beta1"), name)
        assert found["verbs"] == ["get", "list"]
        assert "storageVersionHash" not in found


def test_resources_stored_as_others_have_their_hash(discovery: Discovery) -> None:
    new = resource(read(discovery, "/apis/events.k8s.io/v1"), "events")
    old = resource(read(discovery, "/api/v1"), "events")
    assert new["storageVersionHash"] == old["storageVersionHash"] == storage_version_hash("", "v1", "Event")


@pytest.mark.parametrize(
    "path",
    ["/", "/api/v9", "/apis/none", "/apis/none/v1", "/apis/apps/v9", "/apis//v1", "/api/v1/pods", "/apis/apps/v1/x"],
)
def test_what_is_not_there_is_not_found(discovery: Discovery, path: str) -> None:
    assert discovery.document(path) is None


@pytest.mark.parametrize("version", ["v2", "v2beta1"])
def test_aggregated_discovery_says_all_at_once(discovery: Discovery, version: str) -> None:
    document = discovery.document("/apis", AGGREGATED.format(version))
    assert document is not None
    assert document.content_type == f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
    found = msgspec.json.decode(document.body())
    assert (found["kind"], found["apiVersion"]) == ("APIGroupDiscoveryList", f"apidiscovery.k8s.io/{version}")
    review = found["items"][0]
    assert review["metadata"] == {"name": "authentication.k8s.io"}
    assert review["versions"] == [
        {
            "version": "v1",
            "resources": [
                {
                    "resource": "tokenreviews",
                    "responseKind": {"group": "authentication.k8s.io", "version": "v1", "kind": "TokenReview"},
                    "scope": "Cluster",
                    "singularResource": "tokenreview",
                    "verbs": ["create"],
                }
            ],
            "freshness": "Current",
        }
    ]


def test_a_bare_name_means_the_stable_version(discovery: Discovery) -> None:
    """`kubectl get deployments` takes the first group that lists them, and reads `/api` before `/apis`.

    So apps must come before the core group, whose alpha version has deployments too, and must not come twice.
    """
    core = read(discovery, "/api", AGGREGATED.format("v2"))["items"]
    others = read(discovery, "/apis", AGGREGATED.format("v2"))["items"]
    assert [each["metadata"].get("name", "") for each in core] == ["apps", ""]
    assert "apps" not in [each["metadata"]["name"] for each in others]
    assert [each["version"] for each in core[1]["versions"]] == ["v1", "v1alpha1"]


def test_aggregated_discovery_nests_subresources(discovery: Discovery) -> None:
    apps = read(discovery, "/api", AGGREGATED.format("v2"))["items"][0]
    assert apps["versions"][0]["resources"][0]["subresources"] == [
        {
            "subresource": "scale",
            "responseKind": {"group": "autoscaling", "version": "v1", "kind": "Scale"},
            "verbs": ["get", "patch", "update"],
        },
        {
            "subresource": "status",
            "responseKind": {"group": "apps", "version": "v1", "kind": "Deployment"},
            "verbs": ["get", "patch", "update"],
        },
    ]


def test_answers_are_built_once(discovery: Discovery) -> None:
    assert discovery.document("/api/v1") is discovery.document("/api/v1", "application/json")
    assert discovery.document("/apis", AGGREGATED.format("v2")) is not discovery.document("/apis")


def test_a_client_that_wants_none_of_it_is_told(discovery: Discovery) -> None:
    with pytest.raises(NotAcceptable):
        discovery.document("/apis", "application/vnd.kubernetes.protobuf")


def test_a_client_that_has_it_need_not_load_it_again(discovery: Discovery) -> None:
    document = discovery.document("/apis")
    assert document is not None
    assert document.etag.startswith('"')
    assert document.is_known(document.etag)
    assert document.is_known(f'"other", W/{document.etag}')
    assert document.is_known("*")
    assert not document.is_known('"other"')
    assert not document.is_known(None)


def test_large_answers_are_kept_compressed_and_given_to_all() -> None:
    small, large = Document.of(b"x"), Document.of(b"x" * (PLAIN_BYTES_MAX + 1))
    assert small.answer("gzip") == (b"x", "")
    assert len(large.kept) < 1_000
    assert large.answer("br, gzip") == (large.kept, "gzip")
    for refused in (None, "", "br", "gzip;q=0"):
        assert large.answer(refused) == (b"x" * (PLAIN_BYTES_MAX + 1), "")


def test_the_version_is_one_clients_can_parse() -> None:
    found = msgspec.json.decode(version_document("0.1.0").body())
    assert (found["major"], found["minor"]) == ("1", "33")
    assert found["gitVersion"] == "v1.33.0+kmini.0.1.0"
    assert found["platform"].startswith("linux/")
