"""What goes into a request, verb by verb, without anything being sent."""

from __future__ import annotations

import msgspec
import pytest

from apiserver.api.apps import Deployment
from apiserver.api.core.config import ConfigMap
from apiserver.api.core.node import Node
from apiserver.api.core.pod import Pod
from apiserver.api.kinds import kind_named, kind_of
from apiserver.api.meta import DeleteOptions, LabelSelector, Preconditions
from apiserver.client import requests
from apiserver.client.requests import ListOptions, Patch, WriteOptions, path_of

POD, NODE, DEPLOYMENT = kind_of(Pod), kind_of(Node), kind_of(Deployment)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (path_of(POD), "/api/v1/pods"),
        (path_of(POD, "web"), "/api/v1/namespaces/web/pods"),
        (path_of(POD, "web", "a"), "/api/v1/namespaces/web/pods/a"),
        (path_of(POD, "web", "a", "status"), "/api/v1/namespaces/web/pods/a/status"),
        (path_of(NODE, None, "n1"), "/api/v1/nodes/n1"),
        (path_of(NODE, "default", "n1"), "/api/v1/nodes/n1"),
        (path_of(DEPLOYMENT, "web", "d", "scale"), "/apis/apps/v1/namespaces/web/deployments/d/scale"),
        (path_of(POD, "web", "a/../b?x=1#y%"), "/api/v1/namespaces/web/pods/a%2F..%2Fb%3Fx%3D1%23y%25"),
    ],
)
def test_paths(path: str, expected: str) -> None:
    assert path == expected


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_would_lead_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="names nothing"):
        path_of(POD, "web", name)
    with pytest.raises(ValueError, match="names nothing"):
        path_of(POD, name)


def test_an_object_in_a_namespace_needs_one() -> None:
    with pytest.raises(ValueError, match="Pod 'a' needs a namespace"):
        path_of(POD, None, "a")


def test_what_is_no_kind_of_the_api_has_no_path() -> None:
    with pytest.raises(TypeError, match="LabelSelector is no kind of the API"):
        kind_of(LabelSelector)  # type: ignore[arg-type]


def test_kinds_are_also_found_by_what_a_manifest_says() -> None:
    assert kind_named("apps/v1", "Deployment") == DEPLOYMENT
    assert kind_named("apps/v1", "Pod") is None


def test_a_list_says_what_it_wants() -> None:
    options = ListOptions(labels={"app": "web", "tier": "x"}, fields="spec.nodeName=n1", limit=5, continue_="t/+=")
    assert requests.list_("/p", options).target == (
        "/p?labelSelector=app%3Dweb%2Ctier%3Dx&fieldSelector=spec.nodeName%3Dn1&limit=5&continue=t%2F%2B%3D"
    )


def test_a_list_without_wishes_has_no_query() -> None:
    assert requests.list_("/p", ListOptions()).target == "/p"


def test_a_resource_version_of_zero_is_not_none() -> None:
    assert requests.list_("/p", ListOptions(resource_version="0")).query == (("resourceVersion", "0"),)


def test_a_watch_from_a_version_asks_for_bookmarks_and_no_initial_events() -> None:
    query = dict(requests.watch("/p", ListOptions(resource_version="7"), timeout_s=300).query)
    assert query == {"watch": "true", "timeoutSeconds": "300", "resourceVersion": "7", "allowWatchBookmarks": "true"}


def test_a_watch_from_nothing_asks_for_what_is_there() -> None:
    query = dict(requests.watch("/p", ListOptions(), timeout_s=300).query)
    assert query["sendInitialEvents"] == "true"
    assert query["resourceVersionMatch"] == "NotOlderThan"
    assert query["allowWatchBookmarks"] == "true"


def test_writes_carry_their_options_and_media_type() -> None:
    options = WriteOptions(dry_run=True, field_manager="me", field_validation="Strict")
    request = requests.patch("/p", [{"op": "remove", "path": "/x"}], Patch.JSON, options)
    assert request.target == "/p?dryRun=All&fieldManager=me&fieldValidation=Strict"
    assert dict(request.headers)["Content-Type"] == "application/json-patch+json"
    assert request.body == b'[{"op":"remove","path":"/x"}]'
    assert request.is_write


def test_bytes_are_sent_as_they_are() -> None:
    assert requests.create("/p", b'{"a": 1}').body == b'{"a": 1}'
    assert requests.create("/p", ConfigMap(data={"a": "b"})).body == msgspec.json.encode(ConfigMap(data={"a": "b"}))


def test_a_delete_has_a_body_only_for_options() -> None:
    assert requests.delete("/p").body is None
    request = requests.delete("/p", DeleteOptions(grace_period_seconds=0, preconditions=Preconditions(uid="u")))
    assert msgspec.json.decode(request.body or b"") == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "gracePeriodSeconds": 0,
        "preconditions": {"uid": "u"},
    }
