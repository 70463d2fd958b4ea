"""Strategies for what no well-meaning client sends: manifests with a wrong value, bytes, paths, queries, headers.

A wrong value is mostly of the type that stood there, so that it comes as far as the rules.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from apiserver.registry.table import table

Path = tuple[str | int, ...]
#: Takes a field away.
GONE = "-- gone --"

_NUMBERS: list[Any] = [
    0,
    -1,
    1,
    2**31 - 1,
    2**31,
    -(2**31) - 1,
    2**63 - 1,
    2**63,
    2**64,
    10**30,
    -(10**30),
    65_536,
    1.5,
]
_TEXTS: list[Any] = [
    "", "a", "A", "-", ".", "..", "/", "a/b", "a b", "é", "\x00", "\U0001f600", "%", "%s", "{}", "$(A)", "a" * 300,
    "b" * 70_000, "1", "1Gi", "1e18", "9E", "1e400", "-1Gi", "1n", "0.1m", "100%", "-5%", "99999999999%", "10.0.0.1",
    "010.0.0.1", "::1", "10.0.0.0/33", "None", "2026-01-01T00:00:00Z", "0000-00-00T00:00:00Z", "1s", "null", "true",
    "9999-12-31T23:59:59.999999999Z", "kubernetes.io/hostname", "http", "TCP", "Always", "metadata.name", "[]", "a:b",
]  # fmt: skip
_LISTS: list[Any] = [[], [None], [[]], ["a", "a"], [1], [{}], [{}, {}], [{"name": "a"}, {"name": "a"}], ["a"] * 1_000]
_MAPS: list[Any] = [{}, {"a": "b"}, {"a": None}, {"": ""}, {"a": {"b": {"c": 1}}}, {"a" * 300: "b"}, {"a/b/c": "d"}]
_OTHERS: list[Any] = [None, True, False]
_BY_TYPE: dict[type, list[Any]] = {
    str: _TEXTS,
    int: _NUMBERS,
    float: _NUMBERS,
    list: _LISTS,
    dict: _MAPS,
    bool: _OTHERS,
}
_ALL = [*_NUMBERS, *_TEXTS, *_LISTS, *_MAPS, *_OTHERS, GONE]


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """Every place of a document, but the document itself."""
    children: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from places(child, (*path, key))


def found_at(document: Any, path: Path) -> Any:
    for step in path:
        document = document[step]
    return document


def with_value(document: Any, path: Path, value: Any) -> Any:
    changed = copy.deepcopy(document)
    parent = found_at(changed, path[:-1])
    if value is GONE:
        del parent[path[-1]]
    else:
        parent[path[-1]] = copy.deepcopy(value)
    return changed


@st.composite
def mutated(draw: st.DrawFn, document: Any, *, identity: bool = True) -> Any:
    """A document with up to three wrong values. Without `identity` kind, apiVersion and metadata stay as they are."""
    for _ in range(draw(st.integers(1, 3))):
        kept = () if identity else ("kind", "apiVersion", "metadata")
        where = [path for path in places(document) if path[0] not in kept]
        if not where:
            break
        path = draw(st.sampled_from(where))
        alike = _BY_TYPE.get(type(found_at(document, path)), _ALL)
        document = with_value(
            document, path, draw(st.sampled_from(alike) | st.sampled_from(alike) | st.sampled_from(_ALL))
        )
    return document


@st.composite
def json_patches(draw: st.DrawFn, document: Any) -> Any:
    """Operations on places that are there, nearly there, or nowhere."""
    pointers = ["/" + "/".join(map(str, path)).replace("~", "~0") for path in places(document)]
    pointers += ["", "/", "/x", "//", "/metadata/labels/-", "/spec/-", "/spec/containers/99999999999", "~", "/a~2", "a"]
    operations = []
    for _ in range(draw(st.integers(1, 4))):
        operation = {"op": draw(st.sampled_from(["add", "remove", "replace", "test", "move", "copy"]))}
        operation |= {"path": draw(st.sampled_from(pointers)), "from": draw(st.sampled_from(pointers))}
        operations.append({**operation, "value": draw(st.sampled_from(_ALL))})
    return operations


DIRECTIVES = ["$patch", "$retainKeys", "$setElementOrder/containers", "$deleteFromPrimitiveList/finalizers", "$x"]


@st.composite
def strategic_patches(draw: st.DrawFn, document: Any) -> Any:
    """A mutated document with a directive of strategic merge patches somewhere."""
    document = copy.deepcopy(draw(mutated(document, identity=False)))
    maps = [document, *(found for path in places(document) if isinstance(found := found_at(document, path), dict))]
    place = draw(st.sampled_from(maps))
    place[draw(st.sampled_from(DIRECTIVES))] = draw(
        st.sampled_from(["delete", "replace", "merge", "x", None, 1, [], ["a"], [{}], [{"name": "app"}], {}])
    )
    return document


@st.composite
def damaged(draw: st.DrawFn, text: bytes, pieces: list[bytes]) -> bytes:
    """Bytes with some cut out, some put in."""
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        length = draw(st.integers(0, 8))
        text = text[:at] + draw(st.sampled_from(pieces) | st.binary(max_size=4)) + text[at + length :]
    return text


JSON_PIECES = [
    b"", b"{", b"}", b"[", b"]", b'"', b",", b":", b"null", b"NaN", b"Infinity", b"-", b"1e999", b"9" * 400, b"\\ud800",
    b"\\u0000", b"\xff", b"\x00", b"\xed\xa0\x80", b"[" * 200, b'{"a":' * 200, b"//", b"\\", b"\xef\xbb\xbf",
    b"1.", b"0x1",
]  # fmt: skip
YAML_PIECES = [
    b"", b"\n", b"- ", b": ", b"? ", b"&a ", b"*a ", b"!!map ", b"!!seq ", b"!!bool ", b"!!int ", b"!!float ",
    b"!!null ",
    b"!!set ", b"!!str ", b"!!timestamp ", b"!!python/none ", b"<<: ", b"<<: *a\n", b"{", b"}", b"[", b"]",
    b"|", b">", b"%",
    b"\t", b"---\n", b"...\n", b"#", b"'", b'"', b"\\", b".nan", b".inf", b"0o17", b"0x" + b"f" * 300,
    b"1:59:59", b"=", b"~",
    b"\xff", b"\x00", b"[" * 100,
]  # fmt: skip


# --- addresses ------------------------------------------------------------------------------------------

_SEGMENTS = [
    b"api", b"apis", b"v1", b"v1alpha1", b"apps", b"namespaces", b"default", b"pods", b"nodes", b"configmaps",
    b"deployments",
    b"status", b"scale", b"proxy", b"log", b"exec", b"token", b"version", b"openapi", b"v2", b"v3", b"readyz", b"debug",
    b"kmini", b"join", b"ca", b".well-known", b"", b".", b"..", b"%2e%2e", b"%2f", b"%2F..%2F", b"%00", b"%ff",
    b"%", b"%zz", b"%25",
    b"%c3%a9", b"%ed%a0%80", b"\xff", b"\xc3\xa9", b"a" * 300, b"*", b"~", b";a=b", b"a:b", b"@", b"{name}", b"%0d%0a",
    b"kube-root-ca.crt", b"watch", b"n1:80", b"https:a:1",
]  # fmt: skip
segments = st.sampled_from(_SEGMENTS) | st.binary(max_size=6).filter(lambda each: not set(each) & set(b" \r\n?#\t"))
paths = st.lists(segments, max_size=9).map(lambda parts: b"/" + b"/".join(parts))

_PARAMETERS = [
    "limit", "continue", "labelSelector", "fieldSelector", "resourceVersion", "resourceVersionMatch", "timeoutSeconds",
    "sendInitialEvents", "allowWatchBookmarks", "dryRun", "fieldManager", "fieldValidation", "gracePeriodSeconds",
    "propagationPolicy", "orphanDependents", "includeObject", "pretty", "exclude", "verbose", "force", "tailLines", "x",
]  # fmt: skip
_VALUES = [
    "", "1", "0", "-1", "true", "false", "maybe", "All", "a=b", "a in (b", "!", "((", "a" * 2_000,
    "metadata.name=a", "spec.x=y",
    "9" * 19, "9" * 30, "1.5", "%00", "%ff", "%ED%A0%80", "%zz", "a,b,,",
    "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiIvIn0",
    "Exact", "NotOlderThan", "Orphan", "\\", "'", "+", "None", "%F0%9F%98%80", "=", "a==b", "a notin (,)", "a>1", "a<b",
]  # fmt: skip
queries = st.lists(st.tuples(st.sampled_from(_PARAMETERS), st.sampled_from(_VALUES)), max_size=5).map(
    lambda pairs: "&".join(f"{name}={value.replace(' ', '+')}" for name, value in pairs)
)

_HEADERS = [
    b"Accept", b"Accept-Encoding", b"Authorization", b"Content-Type", b"Content-Encoding", b"If-None-Match",
    b"Impersonate-User",
    b"Impersonate-Group", b"Impersonate-Uid", b"Impersonate-Extra-a", b"Impersonate-Extra-%ff",
    b"Last-Event-ID", b"Cookie",
    b"X-Kmini-Fence", b"X-Request-Id", b"Range", b"Upgrade", b"Origin", b"X-Forwarded-For", b"User-Agent",
    b"Te", b"Via",
]  # fmt: skip
_HEADER_VALUES = [
    b"", b"a", b"*/*", b"application/json", b"application/yaml",
    b"application/json;as=Table;v=v1;g=meta.k8s.io", b";;;q=,",
    b"application/json;q=NaN", b"text/event-stream", b"Bearer", b"Bearer a.b.c", b"Basic YTpi", b"\xff\xfe",
    b"\xc3\xa9",
    b"default/office/0", b"//", b"a/b/\xc2\xb2", b"gzip", b"identity", b"websocket", b'"etag"', b"bytes=0-",
    b"a" * 5_000,
    b"9" * 40, b"system:masters", b"system:serviceaccount:a:b", b"application/x-www-form-urlencoded",
    b"multipart/form-data",
    b"application/json; charset=utf-16", b"application/vnd.kubernetes.protobuf", b"application/apply-patch+yaml",
]  # fmt: skip
headers = st.lists(st.tuples(st.sampled_from(_HEADERS), st.sampled_from(_HEADER_VALUES)), max_size=5).map(
    lambda pairs: b"".join(b"%s: %s\r\n" % pair for pair in pairs)
)


def as_json(document: Any) -> bytes:
    return json.dumps(document).encode()


def kinds_stored() -> set[str]:
    """`apiVersion/Kind` of every kind that can be read again."""
    return {f"{row.api_version}/{row.kind}" for row in table().rows if "get" in row.verbs}
