"""JSON patch: the cases of RFC 6902 and 6901, what is refused and how, and every bound."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiserver.api.errors import BadRequest, Invalid, RequestTooLarge
from apiserver.decode import DEPTH_MAX
from apiserver.patch import json_patch
from apiserver.patch.json_patch import apply_json_patch


def op(kind: str, path: str, **members: Any) -> dict[str, Any]:
    return {"op": kind, "path": path, **members}


def move(source: str, path: str) -> dict[str, Any]:
    return {"op": "move", "from": source, "path": path}


def copying(source: str, path: str) -> dict[str, Any]:
    return {"op": "copy", "from": source, "path": path}


POINTERS: dict[str, Any] = {"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, " ": 7, "m~n": 8, "~1": 9}


@pytest.mark.parametrize(
    ("document", "patch", "expected"),
    [
        ({"foo": "bar"}, [op("add", "/baz", value="qux")], {"baz": "qux", "foo": "bar"}),
        ({"foo": ["bar", "baz"]}, [op("add", "/foo/1", value="qux")], {"foo": ["bar", "qux", "baz"]}),
        ({"foo": ["bar"]}, [op("add", "/foo/1", value="qux")], {"foo": ["bar", "qux"]}),
        ({"foo": ["bar"]}, [op("add", "/foo/-", value=["abc"])], {"foo": ["bar", ["abc"]]}),
        ({"foo": 1}, [op("add", "/foo", value=2)], {"foo": 2}),
        ({"foo": 1}, [op("add", "/foo", value=None)], {"foo": None}),
        ({"foo": "bar"}, [op("add", "/child", value={"grand": {}})], {"foo": "bar", "child": {"grand": {}}}),
        ({"baz": "qux", "foo": "bar"}, [op("remove", "/baz")], {"foo": "bar"}),
        ({"foo": ["bar", "qux", "baz"]}, [op("remove", "/foo/1")], {"foo": ["bar", "baz"]}),
        ({"baz": "qux"}, [op("replace", "/baz", value="boo")], {"baz": "boo"}),
        ({"a": [1, 2, 3]}, [op("replace", "/a/0", value={})], {"a": [{}, 2, 3]}),
        ({"a": 1}, [op("replace", "", value={"b": 2})], {"b": 2}),
        ({"a": 1}, [op("add", "", value={"b": 2})], {"b": 2}),
        ({"foo": {"bar": 1, "baz": 2}, "qux": {}}, [move("/foo/bar", "/qux/x")], {"foo": {"baz": 2}, "qux": {"x": 1}}),
        (
            {"foo": ["all", "grass", "cows", "eat"]},
            [move("/foo/1", "/foo/3")],
            {"foo": ["all", "cows", "eat", "grass"]},
        ),
        ({"a": 1}, [move("/a", "/a")], {"a": 1}),
        ({"a": {"b": 1}}, [copying("/a", "/c"), op("add", "/c/b", value=2)], {"a": {"b": 1}, "c": {"b": 2}}),
        ({"a": [1]}, [copying("", "/b")], {"a": [1], "b": {"a": [1]}}),
        ({"baz": "qux", "foo": ["a", 2]}, [op("test", "/baz", value="qux"), op("test", "/foo/1", value=2.0)], None),
        ({"a": {"x": 1, "y": [True, None]}}, [op("test", "/a", value={"y": [True, None], "x": 1})], None),
        (POINTERS, [op("test", "", value=POINTERS)], None),
        (POINTERS, [op("test", "/foo/0", value="bar"), op("test", "/", value=0), op("test", "/a~1b", value=1)], None),
        (POINTERS, [op("test", "/c%d", value=2), op("test", "/e^f", value=3), op("test", "/ ", value=7)], None),
        (POINTERS, [op("test", "/m~0n", value=8), op("test", "/~01", value=9)], None),
        ({"a": 1}, [op("add", "/b", value=2, unknown="ignored")], {"a": 1, "b": 2}),
        ({"a": 1}, [], None),
    ],
)
def test_the_cases_of_the_rfc(
    document: dict[str, Any], patch: list[dict[str, Any]], expected: dict[str, Any] | None
) -> None:
    kept = copy.deepcopy((document, patch))
    assert apply_json_patch(document, patch) == (document if expected is None else expected)
    assert (document, patch) == kept


@pytest.mark.parametrize(
    ("document", "operation", "reason"),
    [
        ({"a": 1}, op("test", "/a", value=2), "operation 0 (test): the value there is another one"),
        ({"a": 1}, op("test", "/a", value=True), "operation 0 (test): the value there is another one"),
        ({"a": "1"}, op("test", "/a", value=1), "operation 0 (test): the value there is another one"),
        ({"a": [1, 2]}, op("test", "/a", value=[1]), "operation 0 (test): the value there is another one"),
        ({"a": {}}, op("test", "/a", value=[]), "operation 0 (test): the value there is another one"),
        ({"a": {"b": 1}}, op("test", "/a", value={"c": 1}), "operation 0 (test): the value there is another one"),
        ({}, op("test", "/a", value=None), 'operation 0 (test): there is no "a"'),
        ({}, op("add", "/a/b", value=1), 'operation 0 (add): there is no "a"'),
        ({"a": 1}, op("add", "/a/b", value=1), "neither an object nor a list"),
        ({"a": 1}, op("add", "/a/b/c", value=1), 'what should hold "b" is neither an object nor a list'),
        ({"a": [1]}, op("add", "/a/2", value=1), 'there is no element "2"'),
        ({"a": [1]}, op("add", "/a/01", value=1), 'there is no element "01"'),
        ({"a": [1]}, op("add", "/a/-1", value=1), 'there is no element "-1"'),
        ({"a": [1]}, op("add", "/a/x", value=1), 'there is no element "x"'),
        ({"a": [1]}, op("add", "/a/99999999999999999999", value=1), "there is no element"),
        ({}, op("remove", "/a"), 'there is no "a"'),
        ({}, op("remove", ""), "the whole document cannot be removed"),
        ({"a": [1]}, op("remove", "/a/-"), 'there is no element "-"'),
        ({}, op("replace", "/a", value=1), 'there is no "a"'),
        ({"a": []}, op("replace", "/a/0", value=1), 'there is no element "0"'),
        ({"a": {"b": 1}}, move("/a", "/a/b"), "a value cannot be moved into itself"),
        ({}, move("/a", "/a"), 'there is no "a"'),
        ({}, move("/a", "/b"), 'there is no "a"'),
        ({}, copying("/a", "/b"), 'there is no "a"'),
    ],
)
def test_what_does_not_apply_is_invalid(document: dict[str, Any], operation: dict[str, Any], reason: str) -> None:
    kept = copy.deepcopy(document)
    with pytest.raises(Invalid) as raised:
        apply_json_patch(document, [operation])
    assert raised.value.message == "the server rejected our request due to an error in our request"
    assert raised.value.status_reason == "Invalid"
    assert raised.value.status_code == 422
    [cause] = raised.value.causes
    assert cause.field == operation["path"]
    assert reason in cause.message
    assert document == kept


@pytest.mark.parametrize(
    ("patch", "reason"),
    [
        ({}, "a JSON patch must be a list of operations"),
        ("x", "a JSON patch must be a list of operations"),
        ([1], "operation 0 of the JSON patch is not an object"),
        ([{}], "operation 0 of the JSON patch: op must be one of add, copy, move, remove, replace, test"),
        ([op("remove", "/a"), op("delete", "/a")], "operation 1 of the JSON patch: op must be one of"),
        ([{"op": ["add"], "path": "/a"}], "op must be one of"),
        ([op("add", "/a")], "add needs a value"),
        ([op("test", "/a")], "test needs a value"),
        ([{"op": "remove"}], "path must be a JSON pointer"),
        ([{"op": "remove", "path": 1}], "path must be a JSON pointer"),
        ([op("remove", "a")], "path is not a JSON pointer"),
        ([op("remove", "/a~2")], "path is not a JSON pointer"),
        ([op("remove", "/a~")], "path is not a JSON pointer"),
        ([op("remove", "/a" * 1000)], "path is not a JSON pointer"),
        ([{"op": "move", "path": "/a"}], "from must be a JSON pointer"),
        ([op("replace", "", value=[])], "the patched object is not a JSON object"),
    ],
)
def test_what_is_malformed_is_a_bad_request(patch: Any, reason: str) -> None:
    with pytest.raises(BadRequest) as raised:
        apply_json_patch({"a": 1}, patch)
    assert reason in raised.value.message


def test_nothing_happens_when_a_later_operation_fails() -> None:
    document = {"a": {"b": [1]}}
    with pytest.raises(Invalid, match="rejected"):
        apply_json_patch(document, [op("add", "/a/b/-", value=2), op("test", "/a/b/0", value=5)])
    assert document == {"a": {"b": [1]}}


def test_values_of_the_patch_are_not_shared_with_the_result() -> None:
    patch = [op("add", "/a", value={"x": []}), op("add", "/b", value=1), op("add", "/a/x/-", value=1)]
    kept = copy.deepcopy(patch)
    assert apply_json_patch({}, patch) == {"a": {"x": [1]}, "b": 1}
    assert patch == kept


# --- bounds -------------------------------------------------------------------------------------------


def test_the_number_of_operations_is_bounded() -> None:
    operations = [op("add", "/a", value=1)] * 10_000
    assert apply_json_patch({}, operations) == {"a": 1}
    with pytest.raises(RequestTooLarge, match="The allowed maximum operations in a JSON patch is 10000, got 10001"):
        apply_json_patch({}, [*operations, op("add", "/a", value=1)])


def test_copies_cannot_grow_without_bound() -> None:
    doubling = [copying("/a", "/a/-")] * 60
    with pytest.raises((Invalid, BadRequest)):
        apply_json_patch({"a": []}, doubling)
    with pytest.raises(Invalid) as raised:
        apply_json_patch({"a": "x" * 100_000, "b": []}, [copying("/a", "/b/-")] * 32)
    assert "copies add more than 3145728 bytes" in raised.value.causes[0].message


def test_lists_cannot_be_shifted_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_patch, "SHIFTED_ELEMENTS_MAX", 5_000)
    long = {"a": [0] * 1_000}
    apply_json_patch(long, [op("add", "/a/-", value=1)] * 100)
    for operation in (op("add", "/a/0", value=1), op("remove", "/a/0")):
        with pytest.raises(Invalid) as raised:
            apply_json_patch(long, [operation] * 10)
        assert "more than 5000 elements of lists would have to move" in raised.value.causes[0].message


def test_depth_is_bounded_whichever_way_it_comes() -> None:
    deep: Any = {}
    for _ in range(DEPTH_MAX):
        deep = {"a": deep}
    with pytest.raises(BadRequest, match="the patch is nested deeper"):
        apply_json_patch({}, [op("add", "/x", value=deep)])
    half: Any = {}
    for _ in range(40):
        half = {"a": half}
    bottom = "/a" * 40
    with pytest.raises(BadRequest, match="the patched object is nested deeper"):
        apply_json_patch(half, [op("add", f"{bottom}/b", value=half)])
    with pytest.raises(BadRequest, match="the patched object is nested deeper"):
        apply_json_patch({"x": half, "y": half}, [move("/x", f"/y{bottom}/b")])
    with pytest.raises(BadRequest, match="the patched object is nested deeper"):
        apply_json_patch({"x": half}, [copying("/x", f"/x{bottom}/b"), copying("", "/y")])


def test_copies_into_copies_end_before_they_are_too_deep_to_walk() -> None:
    levels = [1, 2, 4, 8, 16, 32, 64, *[128] * 12]
    with pytest.raises(BadRequest, match="the patched object is nested deeper"):
        apply_json_patch({}, [copying("", "/a" * level) for level in levels])


# --- property -----------------------------------------------------------------------------------------

values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.text(alphabet="x~/", max_size=2)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["a", "b/", "~", ""]), inner, max_size=3)
    ),
    max_leaves=10,
)
documents = st.dictionaries(st.sampled_from(["a", "b/", "~", ""]), values, max_size=4)


def pointer(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")


def difference(before: dict[str, Any], after: dict[str, Any], place: str = "") -> list[dict[str, Any]]:
    """A JSON patch that makes `after` of `before` and tests what it changes."""
    operations = [op("remove", place + pointer(name)) for name in before if name not in after]
    for name, value in after.items():
        here = place + pointer(name)
        if name not in before:
            operations.append(op("add", here, value=value))
        elif isinstance(before[name], dict) and isinstance(value, dict):
            operations += difference(before[name], value, here)
        else:
            operations += [op("test", here, value=before[name]), op("replace", here, value=value)]
    return operations


@given(documents, documents)
def test_a_difference_makes_one_of_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    kept = copy.deepcopy(before)
    assert apply_json_patch(before, difference(before, after)) == after
    assert before == kept


operations = st.fixed_dictionaries(
    {
        "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]),
        "path": st.lists(st.sampled_from(["a", "0", "-", "b"]), max_size=3).map(lambda s: "".join(f"/{e}" for e in s)),
        "from": st.lists(st.sampled_from(["a", "0", "b"]), max_size=3).map(lambda s: "".join(f"/{e}" for e in s)),
        "value": values,
    }
)


@given(documents, st.lists(operations, max_size=6))
def test_any_patch_applies_or_is_refused(document: dict[str, Any], patch: list[dict[str, Any]]) -> None:
    kept = copy.deepcopy(document)
    try:
        result = apply_json_patch(document, patch)
    except (Invalid, BadRequest):
        result = {}
    assert isinstance(result, dict)
    assert document == kept
