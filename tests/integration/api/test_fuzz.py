"""Nothing a client sends makes the server fail: always a Status with a code below 500, soon, and the server goes on.

KMINI_FUZZ_EXAMPLES sets how many examples each property tries; the default fits into every run of the tests.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import Any

import mutations
import pytest
import yaml
from api_server import Answered
from api_thread import RawAnswer, ThreadedApi, api_on_thread
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from manifests import MANIFESTS, path_of
from wrong_requests import ACCOUNTS, JSON_PATCH, MAPS, MERGE_PATCH, PODS, STRATEGIC_PATCH, YAML, pod, to_node

EXAMPLES = int(os.environ.get("KMINI_FUZZ_EXAMPLES", "200"))
fuzzed = settings(
    max_examples=EXAMPLES, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
fewer = settings(fuzzed, max_examples=max(1, EXAMPLES // 2))

names = st.sampled_from(sorted(MANIFESTS))
stored_names = st.sampled_from(sorted(set(MANIFESTS) & mutations.kinds_stored()))
#: What the fixture made of the manifests.
THERE: dict[str, Any] = {}
dry_runs = st.sampled_from(["", "?dryRun=All"])


def address(name: str) -> str:
    """Of the object that the fixture made from a manifest."""
    manifest = MANIFESTS[name]
    return f"{path_of(manifest)}/{called(name)}"


def called(name: str) -> str:
    return name.lower().replace("/", "-").replace(".", "-")


def named(name: str) -> dict[str, Any]:
    manifest = MANIFESTS[name]
    return {**manifest, "metadata": {**manifest["metadata"], "name": called(name)}}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadedApi]:
    with api_on_thread(tmp_path_factory.mktemp("api")) as served:
        served.create("/api/v1/nodes", {"kind": "Node", "metadata": {"name": "n1"}})
        served.create(PODS, pod("there"))
        for name in sorted(set(MANIFESTS) & mutations.kinds_stored()):
            THERE[name] = served.create(path_of(MANIFESTS[name]), named(name))
            del THERE[name]["metadata"]["resourceVersion"]
        yield served
        ready = served.json("GET", "/readyz?verbose")
        assert ready.code == 200, ready


def check(answer: Answered | RawAnswer, sent: object) -> None:
    """Anything but a failure of the server; and a refusal is a Status."""
    assert 100 <= answer.code < 500, (answer, sent)
    if answer.code >= 400:
        body = json.loads(answer.body) if isinstance(answer.body, bytes) else answer.body
        assert (body["kind"], body["status"], body["code"]) == ("Status", "Failure", answer.code), (answer, sent)
        assert len(body["message"]) < 100_000


@pytest.mark.parametrize("name", sorted(MANIFESTS))
def test_manifests_are_right_before_they_are_made_wrong(api: ThreadedApi, name: str) -> None:
    answer = api.json("POST", f"{path_of(MANIFESTS[name])}?dryRun=All&fieldValidation=Strict", MANIFESTS[name])
    assert answer.code == 201, answer


@fuzzed
@given(data=st.data(), name=names)
def test_objects_that_are_wrong_somewhere(api: ThreadedApi, data: st.DataObject, name: str) -> None:
    body = mutations.as_json(data.draw(mutations.mutated(MANIFESTS[name])))
    check(api.json("POST", f"{path_of(MANIFESTS[name])}?dryRun=All", body), body)


@fuzzed
@given(data=st.data(), name=stored_names, query=dry_runs)
def test_changes_that_are_wrong_somewhere(api: ThreadedApi, data: st.DataObject, name: str, query: str) -> None:
    there = THERE[name]
    subresource = data.draw(st.sampled_from(["", "", "/status", "/scale", "/ephemeralcontainers", "/finalize"]))
    path = address(name) + subresource + query
    how = data.draw(st.sampled_from(["put", "merge", "strategic", "json"]))
    if how == "put":
        sent: Any = data.draw(mutations.mutated(there, identity=False))
        answer = api.json("PUT", path, sent)
    elif how == "merge":
        sent = data.draw(mutations.mutated(there, identity=False))
        answer = api.json("PATCH", path, sent, headers=MERGE_PATCH)
    elif how == "strategic":
        sent = data.draw(mutations.strategic_patches(there))
        answer = api.json("PATCH", path, sent, headers=STRATEGIC_PATCH)
    else:
        sent = data.draw(mutations.json_patches(there))
        answer = api.json("PATCH", path, sent, headers=JSON_PATCH)
    check(answer, (path, sent))


SUBRESOURCES: dict[str, Any] = {
    f"{PODS}/there/binding": to_node("n1", "there"),
    "/api/v1/namespaces/default/bindings": to_node("n1", "there"),
    f"{PODS}/there/eviction": {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": "there"},
        "deleteOptions": {"gracePeriodSeconds": 1, "preconditions": {"uid": "u"}, "propagationPolicy": "Orphan"},
    },
    f"{ACCOUNTS}/default/token": {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "metadata": {"name": "default"},
        "spec": {
            "audiences": ["a"],
            "expirationSeconds": 3600,
            "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "there", "uid": "u"},
        },
    },
}
DELETION = {
    "kind": "DeleteOptions",
    "apiVersion": "v1",
    "gracePeriodSeconds": 1,
    "preconditions": {"uid": "u", "resourceVersion": "1"},
    "propagationPolicy": "Orphan",
    "dryRun": ["All"],
}


@fewer
@given(data=st.data(), path=st.sampled_from(sorted(SUBRESOURCES)))
def test_subresources_that_are_wrong_somewhere(api: ThreadedApi, data: st.DataObject, path: str) -> None:
    body = data.draw(mutations.mutated(SUBRESOURCES[path]))
    check(api.json("POST", f"{path}?dryRun=All", body), (path, body))


@fewer
@given(data=st.data(), name=stored_names)
def test_deletions_that_are_wrong_somewhere(api: ThreadedApi, data: st.DataObject, name: str) -> None:
    body = data.draw(mutations.mutated(DELETION))
    check(api.json("DELETE", f"{address(name)}?dryRun=All", body), (name, body))


@fuzzed
@given(data=st.data(), name=names)
def test_bytes_that_are_hardly_json(api: ThreadedApi, data: st.DataObject, name: str) -> None:
    body = data.draw(mutations.damaged(mutations.as_json(MANIFESTS[name]), mutations.JSON_PIECES))
    check(api.json("POST", f"{path_of(MANIFESTS[name])}?dryRun=All", body), body)


@fuzzed
@given(data=st.data(), name=names)
def test_bytes_that_are_hardly_yaml(api: ThreadedApi, data: st.DataObject, name: str) -> None:
    text = yaml.safe_dump(MANIFESTS[name]).encode()
    body = data.draw(mutations.damaged(text, mutations.YAML_PIECES))
    check(api.json("POST", f"{path_of(MANIFESTS[name])}?dryRun=All", body, headers=YAML), body)


METHODS = st.sampled_from([b"GET", b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"BREW"])


def raw_request(method: bytes, path: bytes, headers: bytes = b"", body: bytes = b"") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body) if method in (b"POST", b"PUT", b"PATCH") else b""
    return b"%s %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%s%s\r\n%s" % (method, path, length, headers, body)


def check_raw(api: ThreadedApi, request: bytes, user: str = "alice") -> None:
    """HEAD has no body to look at."""
    answer = api.raw(request, user=user)
    if request.startswith(b"HEAD"):
        assert 100 <= answer.code < 500, (answer, request)
    else:
        check(answer, request)


@fewer
@given(method=METHODS, path=mutations.paths, user=st.sampled_from(["kmini-admin", "alice", ""]))
def test_paths_to_nowhere(api: ThreadedApi, method: bytes, path: bytes, user: str) -> None:
    if b"watch" in path or (user == "kmini-admin" and method == b"DELETE"):
        user = "alice"  # who may delete nothing
    check_raw(api, raw_request(method, path, body=b"{}"), user)


@fuzzed
@given(
    method=st.sampled_from(["GET", "DELETE"]), query=mutations.queries, path=st.sampled_from([MAPS, PODS, "/readyz"])
)
def test_queries_without_meaning(api: ThreadedApi, method: str, query: str, path: str) -> None:
    if method == "DELETE":
        query = f"dryRun=All&{query}"
    query = re.sub("resourceVersion=9+", "resourceVersion=1", query)  # one to come is waited for
    check(api.json(method, f"{path}?{query}"), query)


@fewer
@given(headers=mutations.headers, method=st.sampled_from([b"GET", b"POST"]))
def test_headers_without_meaning(api: ThreadedApi, headers: bytes, method: bytes) -> None:
    request = raw_request(method, MAPS.encode() + b"?dryRun=All", headers, b'{"metadata":{"name":"h"}}')
    check_raw(api, request, "kmini-admin")


@fewer
@given(data=st.data())
def test_bytes_that_are_hardly_http(api: ThreadedApi, data: st.DataObject) -> None:
    pieces = [
        b"\r\n",
        b"\n",
        b"\r\n\r\n",
        b":",
        b" ",
        b"\x00",
        b"HTTP/1.1",
        b"GET ",
        b"chunked",
        b"Content-Length: 5\r\n",
    ]
    request = raw_request(b"POST", MAPS.encode(), b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n")
    damaged = data.draw(mutations.damaged(request, pieces))
    answer = api.raw(damaged + b"\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\nConnection: close\r\n\r\n", user="alice")
    assert answer.code < 500, (answer, damaged)
