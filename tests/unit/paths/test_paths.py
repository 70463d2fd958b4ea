"""What addresses mean, and that no trick of quoting leads anywhere else."""

from __future__ import annotations

import contextlib
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiserver.api.errors import BadRequest
from apiserver.http.paths import (
    PARAMETERS_MAX,
    PATH_CHARACTERS_MAX,
    QUERY_CHARACTERS_MAX,
    SEGMENTS_MAX,
    Target,
    parse_query,
    parse_target,
    segments_of,
)
from apiserver.registry.table import table

TABLE = table()


def target_of(path: str) -> Target | None:
    return parse_target(TABLE, segments_of(path))


@pytest.mark.parametrize(
    ("path", "kind", "namespace", "name", "subresource"),
    [
        ("/api/v1/pods", "Pod", "", "", ""),
        ("/api/v1/namespaces/a/pods", "Pod", "a", "", ""),
        ("/api/v1/namespaces/a/pods/b", "Pod", "a", "b", ""),
        ("/api/v1/namespaces/a/pods/b/", "Pod", "a", "b", ""),
        ("/api/v1/namespaces/a/pods/b/status", "Pod", "a", "b", "status"),
        ("/api/v1/namespaces", "Namespace", "", "", ""),
        ("/api/v1/namespaces/a", "Namespace", "", "a", ""),
        ("/api/v1/namespaces/a/status", "Namespace", "", "a", "status"),
        ("/api/v1/namespaces/a/finalize", "Namespace", "", "a", "finalize"),
        ("/api/v1/namespaces/pods/pods/pods", "Pod", "pods", "pods", ""),
        ("/api/v1/namespaces/status/pods", "Pod", "status", "", ""),
        ("/api/v1/nodes/a", "Node", "", "a", ""),
        ("/apis/apps/v1/namespaces/a/deployments/b/scale", "Deployment", "a", "b", "scale"),
        ("/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode", "ClusterRole", "", "system:node", ""),
        ("/api/v1alpha1/pods", "Pod", "", "", ""),
    ],
)
def test_addresses(path: str, kind: str, namespace: str, name: str, subresource: str) -> None:
    target = target_of(path)
    assert target is not None
    assert target.resource.kind == kind
    assert target[1:] == (namespace, name, subresource, "")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api",
        "/api/v1",
        "/apis/apps/v1",
        "/api/v1/unknown",
        "/api/v2/pods",
        "/apis/apps/v2/deployments",
        "/apis/other/v1/deployments",
        "/api/v1/namespaces/a/nodes",
        "/api/v1/namespaces/a/pods/b/status/c",
        "/metrics",
        "/apis/apps/v1/pods",
    ],
)
def test_what_is_no_resource(path: str) -> None:
    assert target_of(path) is None


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/namespaces/a/pods/..",
        "/api/v1/namespaces/a/pods/%2e%2e",
        "/api/v1/namespaces/a//pods",
        "/api/v1/namespaces/./pods",
        "/api/v1/namespaces/a/pods/%00",
        "/api/v1/namespaces/a/pods/%0d%0aX: y",
        "/api/v1/namespaces/a/pods/%ff",
        "/api/v1/namespaces/a/pods/" + "x" * PATH_CHARACTERS_MAX,
        "/a" * (SEGMENTS_MAX + 1),
        "no/slash",
    ],
)
def test_what_no_address_can_be(path: str) -> None:
    with pytest.raises(BadRequest):
        target_of(path)


@pytest.mark.parametrize("path", ["namespaces/a%2Fpods%2Fb/pods", "namespaces/a/pods/..%2Fb", "nodes/a%2Fb"])
def test_a_quoted_slash_leads_nowhere(path: str) -> None:
    with pytest.raises(BadRequest, match="may not contain '/'"):
        target_of(f"/api/v1/{path}")
    assert target_of("/api/v1/namespaces%2Fa/pods") is None


def test_a_proxy_has_the_rest_of_the_path() -> None:
    target = target_of("/api/v1/nodes/w1/proxy/stats//summary/..")
    assert target is not None
    assert (target.name, target.subresource, target.rest) == ("w1", "proxy", "/stats//summary/..")
    target = target_of("/api/v1/namespaces/a/pods/b/proxy")
    assert target is not None
    assert (target.subresource, target.rest) == ("proxy", "/")


@given(
    st.lists(st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=12), min_size=1, max_size=8)
)
def test_segments_come_back_as_they_were(segments: list[str]) -> None:
    assert segments_of("/" + "/".join(quote(segment, safe="") for segment in segments)) == segments


@given(st.text(max_size=80))
def test_any_text_is_an_address_or_a_bad_request(text: str) -> None:
    for parse in (lambda: target_of("/api/v1/namespaces/" + text), lambda: target_of(text), lambda: parse_query(text)):
        with contextlib.suppress(BadRequest):
            parse()


def test_queries() -> None:
    assert parse_query("") == {}
    assert parse_query("a=1&b=&c&=d&a=2") == {"a": "1", "b": "", "c": ""}
    assert parse_query("labelSelector=a%20in%20(b%2Cc)+x") == {"labelSelector": "a in (b,c) x"}
    for query in ("a=%ff", "a=" + "x" * QUERY_CHARACTERS_MAX, "&".join(["a=1"] * (PARAMETERS_MAX + 1))):
        with pytest.raises(BadRequest):
            parse_query(query)
