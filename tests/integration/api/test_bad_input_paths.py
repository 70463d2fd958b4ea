"""Addresses, methods and forms that the server does not have."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from api_thread import ThreadedApi, api_on_thread
from wrong_requests import MAPS, NODES, PODS, Wrong, check_wrong, config_map, pod, prepare

NOT_FOUND, NOT_ALLOWED, BAD = (404, "NotFound"), (405, "MethodNotAllowed"), (400, "BadRequest")
NO_RESOURCE = "the server could not find the requested resource"
NO_METHOD = "the server does not allow"


def nowhere(id: str, path: str, says: str = NO_RESOURCE, method: str = "GET") -> Wrong:
    return Wrong(f"nothing there: {id}", method, path, None, *NOT_FOUND, says)


def not_allowed(id: str, method: str, path: str, body: object = None) -> Wrong:
    return Wrong(f"no such method: {id}", method, path, body, *NOT_ALLOWED, NO_METHOD)


NOWHERE: list[Wrong] = [
    nowhere("a group", "/apis/none.example.com/v1/pods"),
    nowhere("a group's documents", "/apis/none.example.com"),
    nowhere("a version", "/api/v2/pods"),
    nowhere("a version's documents", "/apis/apps/v9"),
    nowhere("a resource", "/api/v1/gadgets"),
    nowhere("a resource of another group", "/apis/apps/v1/pods"),
    nowhere("a kind instead of a resource", "/api/v1/Pod"),
    nowhere("a short name", "/api/v1/po"),
    nowhere("a cluster's resource in a namespace", "/api/v1/namespaces/default/nodes"),
    nowhere("a namespaced name without a namespace", "/api/v1/pods/there"),
    nowhere("a subresource", f"{MAPS}/there/status"),
    nowhere("a subresource of another kind", f"{PODS}/there/scale"),
    nowhere("more than a subresource", f"{PODS}/there/status/more"),
    nowhere("the older way to watch", "/api/v1/watch/pods"),
    nowhere("a page", "/none"),
    nowhere("a page below one", "/version/more"),
    nowhere("a document of OpenAPI", "/openapi/v9"),
    nowhere("a check", "/readyz/none"),
    nowhere("two slashes", "//api/v1/pods"),
    nowhere("an object", f"{PODS}/missing", 'pods "missing" not found'),
    nowhere("an object of a group", "/apis/apps/v1/namespaces/default/deployments/x",
            'deployments.apps "x" not found'),
    nowhere("a status of nothing", f"{PODS}/missing/status", 'pods "missing" not found'),
    nowhere("a scale of nothing", "/apis/apps/v1/namespaces/default/deployments/x/scale",
            'deployments.apps "x" not found'),
    nowhere("a namespace", "/api/v1/namespaces/missing", 'namespaces "missing" not found'),
    nowhere("a custom resource definition", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/a.b"),
    nowhere("a watch of definitions", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions?watch=true"),
]  # fmt: skip

METHODS: list[Wrong] = [
    not_allowed("POST to an object", "POST", f"{MAPS}/there", config_map("there")),
    not_allowed("PUT to a collection", "PUT", MAPS, config_map()),
    not_allowed("PATCH of a collection", "PATCH", MAPS, {}),
    not_allowed("POST to all namespaces", "POST", "/api/v1/pods", pod()),
    not_allowed("OPTIONS", "OPTIONS", MAPS),
    not_allowed("TRACE", "TRACE", MAPS),
    not_allowed("a method nobody knows", "BREW", MAPS),
    not_allowed("DELETE of a status", "DELETE", f"{PODS}/there/status"),
    not_allowed("POST to a status", "POST", f"{PODS}/there/status", pod("there")),
    not_allowed("GET of a binding", "GET", f"{PODS}/there/binding"),
    not_allowed("PUT of an eviction", "PUT", f"{PODS}/there/eviction", {}),
    not_allowed("GET of a review", "GET", "/apis/authentication.k8s.io/v1/tokenreviews"),
    not_allowed("DELETE of reviews", "DELETE", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"),
    not_allowed("GET of bindings", "GET", "/api/v1/namespaces/default/bindings"),
    not_allowed(
        "POST to the definitions of kinds", "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {}
    ),
    not_allowed("POST to the version", "POST", "/version", {}),
    not_allowed("DELETE of metrics", "DELETE", "/metrics"),
]

PLACES: list[Wrong] = [
    Wrong("path: an encoded slash in a name", "GET", f"{PODS}/a%2Fb", None, *BAD,
          'Name parameter invalid: "a/b": may not contain \'/\''),
    Wrong("path: an encoded slash in a namespace", "GET", "/api/v1/namespaces/a%2Fb/pods", None, *BAD,
          'Namespace parameter invalid: "a/b": may not contain \'/\''),
    Wrong("path: a percent sign", "GET", f"{PODS}/a%25b", None, *BAD, "may not contain '%'"),
    Wrong("path: encoded dots", "GET", "/api/v1/namespaces/%2e%2e/pods", None, *BAD, "an empty segment, . or .."),
    Wrong("path: an empty segment", "GET", "/api/v1/namespaces//pods", None, *BAD, "an empty segment, . or .."),
    Wrong("path: bad UTF-8", "GET", f"{PODS}/%ff", None, *BAD, "the path is not valid UTF-8"),
    Wrong("path: NUL", "GET", f"{PODS}/a%00", None, *BAD, "characters that no address has"),
    Wrong("path: a line break", "GET", f"{PODS}/a%0d%0aX-A:b", None, *BAD, "characters that no address has"),
    Wrong("path: too long", "GET", f"/{'a' * 4_100}", None, *BAD, "the path is longer than 4096 characters"),
    Wrong("path: too many segments", "GET", "/a" * 100, None, *BAD, "the path has more than 64 segments"),
    Wrong("path: a name too long", "GET", f"{NODES}/{'a' * 254}", None, *BAD, "must be no more than 253"),
]  # fmt: skip

FORMS: list[Wrong] = [
    Wrong("form: XML", "GET", MAPS, None, 406, "NotAcceptable", "only the following media types are accepted",
          headers={"Accept": "application/xml"}),
    Wrong("form: protobuf alone", "GET", MAPS, None, 406, "NotAcceptable", "application/json",
          headers={"Accept": "application/vnd.kubernetes.protobuf"}),
    Wrong("form: CBOR alone", "GET", MAPS, None, 406, "NotAcceptable", "application/json",
          headers={"Accept": "application/cbor"}),
    Wrong("form: a table of no version", "GET", MAPS, None, 406, "NotAcceptable", "application/json",
          headers={"Accept": "application/json;as=Table;v=v9;g=meta.k8s.io"}),
    Wrong("form: a list of one object's metadata", "GET", f"{MAPS}/there", None, 406, "NotAcceptable", "",
          headers={"Accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"}),
    Wrong("form: what a table includes", "GET", f"{MAPS}?includeObject=All", None, *BAD, "includeObject",
          headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}),
    Wrong("form: what Expect asks", "POST", MAPS, {}, 417, "ExpectationFailed", "Expect",
          headers={"Expect": "the-unexpected"}),
]  # fmt: skip

WRONG = [*NOWHERE, *METHODS, *PLACES, *FORMS]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadedApi]:
    with api_on_thread(tmp_path_factory.mktemp("api")) as served:
        prepare(served)
        yield served


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.id)
def test_what_the_server_does_not_have_is_said(api: ThreadedApi, wrong: Wrong) -> None:
    check_wrong(api, wrong)


BYTES: dict[str, tuple[bytes, int]] = {
    "no HTTP": (b"HELLO\r\n\r\n", 400),
    "another version of HTTP": (b"GET / HTTP/9.9\r\n\r\n", 400),
    "no host": (b"GET /version HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
    "a header without a colon": (b"GET /version HTTP/1.1\r\nHost: a\r\nfoo bar\r\n\r\n", 400),
    "NUL in a header": (b"GET /version HTTP/1.1\r\nHost: a\r\nX: b\0\r\n\r\n", 400),
    "a long line": (b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n" % (b"a" * 60_000), 431),
    "a long header": (b"GET /version HTTP/1.1\r\nHost: a\r\nX: %s\r\n\r\n" % (b"a" * 60_000), 431),
    "raw bytes in a path": (b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "an address with a host": (b"GET http://a/version HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 400),
    "a length in words": (b"POST /api/v1 HTTP/1.1\r\nHost: a\r\nContent-Length: many\r\n\r\n", 400),
    "two lengths": (b"POST /api/v1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}", 400),
    "a length and chunks": (
        b"POST /api/v1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "an unknown coding": (b"POST /api/v1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: lzw\r\n\r\n", 400),
    "a broken chunk": (
        b"POST %s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n" % MAPS.encode(),
        400,
    ),
}


@pytest.mark.parametrize("name", BYTES)
def test_what_is_no_http_gets_a_status_too(api: ThreadedApi, name: str) -> None:
    request, code = BYTES[name]
    answer = api.raw(request)
    assert answer.code == code, answer
    assert (answer.status["kind"], answer.status["code"]) == ("Status", code)
