"""Bodies become objects in one pass or by the slow way, with the same result; both have bounds before they build."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import yaml
from manifests import MANIFESTS

from apiserver import decode
from apiserver.api.core.config import ConfigMap
from apiserver.api.core.pod import Pod
from apiserver.api.errors import BadRequest, UnsupportedMediaType
from apiserver.decode import DEPTH_MAX, VALUES_MAX, check_shape, decode_object, read_values, repeated_fields
from apiserver.registry.table import table

JSON, YAML = "application/json", "application/yaml"


def type_of(name: str) -> type:
    version, _, kind = name.rpartition("/")
    row = table().by_kind(version, kind)
    assert row is not None
    return row.type


@pytest.mark.parametrize("name", sorted(MANIFESTS))
def test_every_way_gives_the_same_object(name: str) -> None:
    body, type_ = msgspec.json.encode(MANIFESTS[name]), type_of(name)
    fast = decode_object(body, JSON, type_).obj
    assert decode_object(body, JSON, type_, strictness="Strict").obj == fast
    assert decode_object(yaml.safe_dump(MANIFESTS[name]).encode(), YAML, type_).obj == fast
    with_more = msgspec.json.encode({**MANIFESTS[name], "unknown": None, "more": {"a": 1}})
    decoded = decode_object(with_more, JSON, type_)
    assert (decoded.obj, decoded.warnings) == (fast, ('unknown field "unknown"', 'unknown field "more"'))
    assert decode_object(with_more, JSON, type_, strictness="Ignore").warnings == ()


def test_null_means_absent() -> None:
    decoded = decode_object(b'{"metadata":{"name":"a","labels":null},"data":null,"immutable":null}', JSON, ConfigMap)
    assert decoded.warnings == ()
    assert (decoded.obj.metadata.labels, decoded.obj.data, decoded.obj.immutable) == ({}, {}, None)


def test_values_are_counted_before_structs_are_made_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(_type: type) -> Any:
        raise AssertionError("structs were made")

    monkeypatch.setattr(decode, "decoder", never)
    body = b'{"spec":{"containers":[' + b",".join([b"{}"] * (VALUES_MAX + 1)) + b"]}}"
    with pytest.raises(BadRequest, match=f"more than {VALUES_MAX} values"):
        decode_object(body, JSON, Pod)


def test_a_text_full_of_commas_is_one_value() -> None:
    body = msgspec.json.encode({"metadata": {"name": "a"}, "data": {"table": "1,2,3\n" * VALUES_MAX}})
    assert len(decode_object(body, JSON, ConfigMap).obj.data["table"]) == 6 * VALUES_MAX


def test_depth_and_number_have_bounds_in_graphs_too() -> None:
    nested: Any = []
    for _ in range(DEPTH_MAX - 1):
        nested = [nested]
    check_shape(nested)
    with pytest.raises(BadRequest, match="nested deeper"):
        check_shape([nested])
    shared = ["a"] * 1_000
    check_shape([shared] * (VALUES_MAX // 1_001))
    with pytest.raises(BadRequest, match="more than"):
        check_shape([shared] * (VALUES_MAX // 1_000))


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b'{"a":1,"b":2}', []),
        (b'{"a":1,"a":2}', ["a"]),
        (b'{"a":1,"a":2,"a":3,"b":1,"b":2}', ["a", "b"]),
        (b'{"a":{"b":1,"b":2}}', ["a.b"]),
        (b'{"a":[{},{"b":[{"c":1,"c":2}]}]}', ["a[1].b[0].c"]),
        (b"{", []),
    ],
)
def test_what_is_there_twice_is_named_by_its_path(body: bytes, fields: list[str]) -> None:
    assert repeated_fields(body) == tuple(f'duplicate field "{field}"' for field in fields)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a: 2026-01-01", {"a": "2026-01-01"}),
        ("a: 2026-01-01T00:00:00Z", {"a": "2026-01-01T00:00:00Z"}),
        ("a: yes\nb: No\nc: ~", {"a": True, "b": False, "c": None}),
        ("1: a\ntrue: b", {"1": "a", "true": "b"}),
        ("a: 0x10\nb: 1_000\nc: 1:30", {"a": 16, "b": 1000, "c": 90}),
        ("x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}", {"x": {"a": 1, "b": 2}, "y": {"a": 1, "b": 3}}),
        ("x: &x {a: 1}\ny: &y {a: 2, b: 2}\nz: {<<: [*x, *y]}",
         {"x": {"a": 1}, "y": {"a": 2, "b": 2}, "z": {"a": 1, "b": 2}}),
        ("x: &x {a: 1}\ny: &y {<<: *x, b: 2}\nz: {<<: *y, c: 3}",
         {"x": {"a": 1}, "y": {"a": 1, "b": 2}, "z": {"a": 1, "b": 2, "c": 3}}),
    ],
)  # fmt: skip
def test_yaml_means_the_values_of_json(text: str, values: Any) -> None:
    assert read_values(text.encode(), YAML) == values


@pytest.mark.parametrize(
    "text",
    [
        "a: !!map [1]", "a: !!bool perhaps", "a: !!int", "a: !!int x", "a: !!float", "a: !!binary YQ==", "a: !!set {b}",
        "a: !!timestamp 2026-01-01", "<<: a", "<<: [a]", "a: !!python/name:os.system ''", "x: &x {<<: *x}", "a: *b",
        "a: " + "1" * 401, "a: 1" + ":59" * 200, "a: [" + "[" * DEPTH_MAX, "- a\n" * (2 * VALUES_MAX), "\x00", "\t- a",
    ],
)  # fmt: skip
def test_yaml_that_means_nothing_here_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        read_values(text.encode(), YAML)


def test_what_merges_may_bring_has_a_bound() -> None:
    lines = ["x0: &x0 {a: b, c: d, e: f, g: h}"]
    lines += [f"x{n}: &x{n} {{<<: [{','.join([f'*x{n - 1}'] * 9)}]}}" for n in range(1, 30)]
    with pytest.raises(BadRequest, match="more than"):
        read_values("\n".join(lines).encode(), YAML)


@pytest.mark.parametrize("content_type", ["application/cbor", "text/plain", "application/xml", "a"])
def test_other_forms_are_not_read(content_type: str) -> None:
    with pytest.raises(UnsupportedMediaType):
        read_values(b"{}", content_type)
