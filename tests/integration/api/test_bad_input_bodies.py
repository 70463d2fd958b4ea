"""Bodies that are wrong before anybody looks at rules: no JSON or YAML, no such kind, no such field, too much."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from api_thread import ThreadedApi, api_on_thread
from wrong_requests import (
    DEPLOYMENTS,
    JSON_PATCH,
    MAPS,
    MERGE_PATCH,
    NATIVE_PODS,
    PODS,
    STRATEGIC_PATCH,
    YAML,
    Wrong,
    check_wrong,
    config_map,
    pod,
    prepare,
    with_metadata,
)

BAD, INVALID, MEDIA = (400, "BadRequest"), (422, "Invalid"), (415, "UnsupportedMediaType")
STRICT = "?fieldValidation=Strict"
THERE = f"{MAPS}/there"
NATIVE: dict[str, Any] = {
    "apiVersion": "v1alpha1",
    "kind": "Pod",
    "metadata": {"name": "new"},
    "spec": {"containers": [{"name": "app", "image": "app:1"}]},
}


def deep(levels: int) -> bytes:
    return b'{"metadata":{"name":"new"},"data":' + b'{"a":' * levels + b"1" + b"}" * (levels + 1)


def crowd(count: int) -> bytes:
    return b'{"metadata":{"name":"new"},"spec":{"containers":[' + b",".join([b"{}"] * count) + b"]}}"


def merges(levels: int) -> bytes:
    """Each mapping holds nine times what the one before it holds."""
    lines = ["x0: &x0 {a: b, c: d, e: f, g: h}"]
    lines += [f"x{n}: &x{n} {{<<: [{','.join([f'*x{n - 1}'] * 9)}]}}" for n in range(1, levels)]
    return "\n".join(lines).encode()


def aliases(levels: int) -> bytes:
    lines = ["x0: &x0 [a, a, a, a, a, a, a, a, a]"]
    lines += [f"x{n}: &x{n} [{','.join([f'*x{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines).encode()


def text(id: str, body: Any, says: str, **more: Any) -> Wrong:
    return Wrong(f"json: {id}", "POST", MAPS, body, *BAD, says, **more)


def yaml(id: str, body: bytes, says: str) -> Wrong:
    return Wrong(f"yaml: {id}", "POST", MAPS, body, *BAD, says, headers=YAML)


def patch(id: str, headers: Any, body: Any, code_reason: tuple[int, str], says: str, **more: Any) -> Wrong:
    kind = headers["Content-Type"].partition("/")[2].partition("+")[0]
    return Wrong(f"{kind}: {id}", "PATCH", more.pop("path", THERE), body, *code_reason, says, headers=headers, **more)


def media(id: str, content_type: str, method: str = "POST", *, encoding: str = "", says: str = "") -> Wrong:
    path = THERE if method == "PATCH" else MAPS
    headers = {"Content-Type": content_type, **({"Content-Encoding": encoding} if encoding else {})}
    return Wrong(f"media type: {id}", method, path, b"{}", *MEDIA, says, headers=headers)


JSON: list[Wrong] = [
    text("nothing", b"", "not valid JSON"),
    text("cut off", b'{"metadata":{', "not valid JSON"),
    text("a comma too many", b'{"a":1,}', "not valid JSON"),
    text("words behind", b"{} x", "not valid JSON"),
    text("a comment", b"// a\n{}", "not valid JSON"),
    text("NaN", b'{"metadata":{"generation":NaN}}', "not valid JSON"),
    text("bad UTF-8", b'{"metadata":{"name":"\xff\xfe"}}', "not valid JSON"),
    text("a lone surrogate", b'{"metadata":{"name":"\\ud800"}}', "not valid JSON"),
    text("a control character", b'{"metadata":{"name":"a\x00"}}', "not valid JSON"),
    text("UTF-16", "{}".encode("utf-16"), "not valid JSON"),
    text("an array", [], "must be an object, not an array"),
    text("a string", b'"a"', "must be an object, not a string"),
    text("a number", b"1", "must be an object, not a number"),
    text("null", b"null", "must be an object, not null"),
    text("too deep", deep(70), "nested deeper than 64 levels"),
    text("far too deep", b"[" * 100_000, "deeper than 64 levels"),
    text("a number beyond range", b'{"metadata":{"generation":' + b"9" * 400 + b"}}", "metadata.generation"),
    text("a number for a text", {"metadata": {"name": 1}}, "metadata.name: expected `str`, got `int`"),
    text("a text for a map", {"metadata": "a"}, "metadata: expected `object`, got `str`"),
    text("a list for a map", config_map(data=["a"]), "data: expected `object`, got `array`"),
    text("a number in a map of text", config_map(data={"a": 1}), "expected `str`, got `int`"),
    text("a fraction for a whole number", {"metadata": {"generation": 1.5}}, "metadata.generation"),
    Wrong("json: too many values", "POST", PODS, crowd(60_000), *BAD, "more than 50000 values"),
]  # fmt: skip

YAMLS: list[Wrong] = [
    yaml("a tab", b"a:\n\t- b", "not valid YAML"),
    yaml("bad UTF-8", b"a: \xff", "not valid YAML"),
    yaml("two documents", b"a: 1\n---\nb: 2", "not valid YAML"),
    yaml("an unknown alias", b"a: *b", "not valid YAML"),
    yaml("a tag of Python", b"a: !!python/object/apply:os.getcwd []", "not valid YAML"),
    yaml("a map that is none", b"a: !!map [1]", "tagged tag:yaml.org,2002:map"),
    yaml("a boolean that is none", b"a: !!bool perhaps", "tagged tag:yaml.org,2002:bool"),
    yaml("a number that is nothing", b"a: !!int", "tagged tag:yaml.org,2002:int"),
    yaml("a number in words", b"a: !!float many", "tagged tag:yaml.org,2002:float"),
    yaml("bytes", b"a: !!binary YQ==", "tagged tag:yaml.org,2002:binary"),
    yaml("a merge of a text", b"<<: a", "<< takes a mapping"),
    yaml("merges of merges", merges(12), "more than 50000 values"),
    yaml("aliases of aliases", aliases(12), "more than 50000 values"),
    yaml("a loop", b"a: &a [*a]", "recursive"),
    yaml("too deep", b"[" * 1000, "nested deeper than 64 levels"),
    yaml("many values", b"- a\n" * 120_000, "more than 50000 values"),
    yaml("a long number", b"a: " + b"1" * 5_000, "more than 400 digits"),
    yaml("a number of base sixty", b"a: 1" + b":59" * 200_000, "more than 400 digits"),
    yaml("a list", b"- a", "must be an object, not an array"),
    yaml("infinity", b"metadata: {generation: .inf}", "metadata.generation"),
]

KINDS: list[Wrong] = [
    Wrong("kind: another", "POST", MAPS, pod(), *BAD,
          'Pod in version "v1" cannot be handled as a ConfigMap'),
    Wrong("apiVersion: another", "POST", MAPS, {**config_map(), "apiVersion": "v2"}, *BAD,
          "the API version in the data (v2) does not match the expected API version (v1)"),
    Wrong("apiVersion: native at v1", "POST", PODS, NATIVE, *BAD, "v1alpha1"),
    Wrong("apiVersion: v1 at native", "POST", NATIVE_PODS, pod(), *BAD, "v1"),
    Wrong("namespace: another", "POST", MAPS, with_metadata(config_map(), namespace="other"), *BAD,
          "the namespace of the provided object does not match the namespace sent on the request"),
    Wrong("name: another", "PUT", THERE, config_map("other"), *BAD,
          "the name of the object (other) does not match the name on the URL (there)"),
    Wrong("name: missing", "PUT", THERE, {"data": {}}, *BAD, "does not match the name on the URL"),
    Wrong("version in a create", "POST", MAPS, with_metadata(config_map(), resourceVersion="5"), *BAD,
          "resourceVersion should not be set on objects to be created"),
]  # fmt: skip

FIELDS: list[Wrong] = [
    Wrong("field: unknown, Strict", "POST", MAPS + STRICT, config_map(datum={}), *BAD,
          'strict decoding error: unknown field "datum"'),
    Wrong("field: unknown, deep, Strict", "POST", PODS + STRICT, pod(containers=[{"name": "a", "imag": "b"}]), *BAD,
          'strict decoding error: unknown field "spec.containers[0].imag"'),
    Wrong("field: two unknown, Strict", "POST", MAPS + STRICT, config_map(a=1, b=2), *BAD,
          'strict decoding error: unknown field "a", unknown field "b"'),
    Wrong("field: wrong case, Strict", "POST", MAPS + STRICT, config_map(Data={}), *BAD, 'unknown field "Data"'),
    Wrong("field: twice, Strict", "POST", MAPS + STRICT, b'{"metadata":{"name":"new","name":"b"}}', *BAD,
          'strict decoding error: duplicate field "metadata.name"'),
    Wrong("field: unknown in a patch, Strict", "PATCH", THERE + STRICT, {"datum": 1}, *BAD,
          'unknown field "datum"', headers=MERGE_PATCH),
    Wrong("native field: unknown", "POST", NATIVE_PODS, {**NATIVE, "spec": {**NATIVE["spec"], "volumes": []}}, *BAD,
          'unknown field "spec.volumes"'),
    Wrong("native field: of v1", "POST", NATIVE_PODS,
          {**NATIVE, "spec": {"containers": [{"name": "a", "image": "b", "resources": {"requests": {"cpu": "1"}}}]}},
          *BAD, 'unknown field "spec.containers[0].resources.requests"'),
    Wrong("native field: unknown, Ignore", "POST", f"{NATIVE_PODS}?fieldValidation=Ignore", {**NATIVE, "x": 1}, *BAD,
          'unknown field "x"'),
    Wrong("fieldValidation: unknown", "POST", f"{MAPS}?fieldValidation=Maybe", config_map(), *INVALID,
          "fieldValidation", fields=["fieldValidation"]),
    Wrong("dryRun: unknown", "POST", f"{MAPS}?dryRun=Some", config_map(), *INVALID, "dryRun", fields=["dryRun"]),
    Wrong("fieldManager: too long", "POST", f"{MAPS}?fieldManager={'m' * 129}", config_map(), *INVALID,
          "fieldManager", fields=["fieldManager"]),
    Wrong("fieldManager: unprintable", "POST", f"{MAPS}?fieldManager=%09", config_map(), *INVALID,
          "fieldManager", fields=["fieldManager"]),
]  # fmt: skip

PATCHES: list[Wrong] = [
    patch("no list", JSON_PATCH, {"op": "add"}, BAD, "must be a list"),
    patch("no operation", JSON_PATCH, [1], BAD, "operation 0"),
    patch("an unknown operation", JSON_PATCH, [{"op": "put", "path": "/data"}], BAD, "op must be one of"),
    patch("no value", JSON_PATCH, [{"op": "add", "path": "/data/x"}], BAD, "add needs a value"),
    patch("no path", JSON_PATCH, [{"op": "remove"}], BAD, "path must be a JSON pointer"),
    patch("no pointer", JSON_PATCH, [{"op": "remove", "path": "data"}], BAD, "not a JSON pointer"),
    patch("a place that is not there", JSON_PATCH, [{"op": "remove", "path": "/data/x"}], INVALID,
          "the server rejected our request", fields=["/data/x"]),
    patch("a test that fails", JSON_PATCH, [{"op": "test", "path": "/data/a", "value": "c"}], INVALID,
          "the server rejected our request", fields=["/data/a"]),
    patch("a move into itself", JSON_PATCH, [{"op": "move", "from": "/data", "path": "/data/a"}], INVALID,
          "the server rejected our request", fields=["/data/a"]),
    patch("a document of another form", JSON_PATCH, [{"op": "replace", "path": "", "value": 1}], BAD,
          "not a JSON object"),
    patch("too many operations", JSON_PATCH, [{"op": "test", "path": "", "value": 1}] * 10_001,
          (413, "RequestEntityTooLarge"), "maximum operations in a JSON patch is 10000, got 10001"),
    patch("copies that double", JSON_PATCH,
          [{"op": "copy", "from": "/data", "path": f"/data/{n}"} for n in range(60)], INVALID,
          "the server rejected our request", fields=["/data/17"]),
    patch("an immutable name", JSON_PATCH, [{"op": "replace", "path": "/metadata/name", "value": "b"}], BAD, "name"),
    patch("a list", MERGE_PATCH, [], BAD, "must be an object"),
    patch("a text", MERGE_PATCH, b'"a"', BAD, "must be an object"),
    patch("of a wrong type", MERGE_PATCH, {"data": 1}, BAD, "data: expected `object`, got `int`"),
    patch("of another kind", MERGE_PATCH, {"kind": "Pod"}, BAD, ""),
    patch("of another namespace", MERGE_PATCH, {"metadata": {"namespace": "other"}}, BAD, "namespace"),
    patch("of another uid", MERGE_PATCH, {"metadata": {"uid": "x"}}, (409, "Conflict"), "Precondition failed: UID"),
    patch("of an old version", MERGE_PATCH, {"metadata": {"resourceVersion": "1"}}, (409, "Conflict"),
          'Operation cannot be fulfilled on configmaps "there": the object has been modified; please apply your '
          "changes to the latest version and try again"),
    patch("a list for a map", STRATEGIC_PATCH, {"data": []}, BAD, ""),
    patch("an unknown directive", STRATEGIC_PATCH, {"data": {"$patch": "burn"}}, BAD, 'unknown patch type: "burn"'),
    patch("no key to merge by", STRATEGIC_PATCH, {"spec": {"containers": [{"image": "b"}]}}, BAD, "name",
          path=f"{PODS}/there"),
    patch("a broken rule", STRATEGIC_PATCH, {"spec": {"replicas": -1}}, INVALID, "must be greater than or equal to 0",
          path=f"{DEPLOYMENTS}/there", fields=["spec.replicas"]),
    patch("what is not there", STRATEGIC_PATCH, {}, (404, "NotFound"), 'configmaps "missing" not found',
          path=f"{MAPS}/missing"),
    patch("no JSON", MERGE_PATCH, b"{", BAD, "not valid JSON"),
]  # fmt: skip

MEDIA_TYPES: list[Wrong] = [
    media("CBOR", "application/cbor"),
    media("text", "text/plain"),
    media("XML", "application/xml"),
    media("server-side apply", "application/apply-patch+yaml", "PATCH", says="server-side apply is not supported"),
    media("apply by CBOR", "application/apply-patch+cbor", "PATCH", says="server-side apply is not supported"),
    media("a patch that is none", "application/json", "PATCH", says="application/strategic-merge-patch+json"),
    media("a compressed body", "application/json", encoding="gzip", says="compressed"),
]

WRONG = [*JSON, *YAMLS, *KINDS, *FIELDS, *PATCHES, *MEDIA_TYPES]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadedApi]:
    with api_on_thread(tmp_path_factory.mktemp("api")) as served:
        prepare(served)
        yield served


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.id)
def test_wrong_bodies_get_one_clear_answer(api: ThreadedApi, wrong: Wrong) -> None:
    check_wrong(api, wrong)


def test_what_is_unknown_is_told_or_not(api: ThreadedApi) -> None:
    body = config_map("told", datum={})
    warned = api.json("POST", f"{MAPS}?dryRun=All", body)
    assert (warned.code, warned.headers["Warning"]) == (201, '299 - "unknown field \\"datum\\""')
    silent = api.json("POST", f"{MAPS}?dryRun=All&fieldValidation=Ignore", body)
    assert (silent.code, "Warning" in silent.headers) == (201, False)
    twice = api.json("POST", f"{MAPS}?dryRun=All", b'{"metadata":{"name":"b"},"x":1,"data":{"a":"1","a":"2"}}')
    warnings = [value for name, value in twice.headers.items() if name == "Warning"]
    assert (twice.code, 'duplicate field \\"data.a\\"' in ", ".join(warnings)) == (201, True)
    assert twice.body["data"] == {"a": "2"}


def test_a_body_has_its_bound(api: ThreadedApi) -> None:
    head = f"POST {MAPS} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    answer = api.raw((head % 3_145_729).encode())
    assert (answer.code, answer.status["reason"]) == (413, "RequestEntityTooLarge")
    assert "3145728 bytes" in answer.status["message"]


def test_a_large_body_may_be_the_first_thing_a_connection_brings(api: ThreadedApi) -> None:
    for size in (200_000, 600_000, 900_000):
        body = b'{"metadata":{"name":"large"},"data":{"k":"%s"}}' % (b"," * size)
        head = f"POST {MAPS}?dryRun=All HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        assert api.raw(head.encode() + body).code == 201
        assert api.json("POST", f"{MAPS}?dryRun=All", body).code == 201, "and what a connection brings after another"
