"""What `apply` sends: patches of two and three versions, carried out by the server's own strategic merge.

The model says the same with no patch at all: fields of the new version win, what the old version said and the new one
does not is gone, all else stays.
"""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kminictl.cluster.openapi import Schema
from kminictl.merging import json_merge, last_applied, strategic

from apiserver.api.apps import Deployment
from apiserver.openapi import OpenApi
from apiserver.patch.merge_patch import apply_merge_patch
from apiserver.patch.strategic import apply_strategic
from apiserver.registry.table import table

JsonObject = dict[str, Any]


def _schema() -> Schema:
    document = OpenApi(table().rows, version="v1").group_version("apis/apps/v1")
    assert document is not None
    schemas = msgspec.json.decode(document.body())["components"]["schemas"]
    return Schema(schemas, {"$ref": "#/components/schemas/io.k8s.api.apps.v1.Deployment"})


SCHEMA = _schema()

names = st.sampled_from(["a", "b", "c", "d"])
words = st.sampled_from(["x", "y", "z"])
marks = st.dictionaries(names, words, max_size=3)


def elements(key: str, fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[list[JsonObject]]:
    """A list whose elements have different keys."""
    element = st.fixed_dictionaries({key: names}, optional=fields)
    return st.lists(element, max_size=3, unique_by=lambda each: each[key])


containers = elements(
    "name",
    {
        "image": words,
        "command": st.lists(words, max_size=2),
        "env": elements("name", {"value": words}),
        "resources": st.fixed_dictionaries({}, optional={"limits": marks, "requests": marks}),
    },
)
pods = st.fixed_dictionaries(
    {"containers": containers},
    optional={
        "nodeSelector": marks,
        "volumes": elements("name", {"hostPath": st.fixed_dictionaries({"path": words})}),
        "tolerations": st.lists(st.fixed_dictionaries({"key": words}), max_size=2),
    },
)
templates = st.fixed_dictionaries({}, optional={"labels": marks})
deployments = st.fixed_dictionaries(
    {
        "metadata": st.fixed_dictionaries(
            {"name": st.just("web")},
            optional={"labels": marks, "finalizers": st.lists(names, max_size=3, unique=True)},
        ),
        "spec": st.fixed_dictionaries(
            {
                "template": st.fixed_dictionaries(
                    {"spec": pods}, optional={"metadata": st.fixed_dictionaries({}, optional={"labels": marks})}
                )
            },
            optional={"replicas": st.integers(0, 3), "paused": st.booleans()},
        ),
    }
)

#: Lists that merge: where, and by which key ("" for sets).
MERGED = {"containers": "name", "env": "name", "volumes": "name", "finalizers": ""}


#: Lists whose elements have no other fields than the new version's (one kind of volume gives way to another).
RETAINED = {"volumes"}


def expected(old: Any, new: Any, now: Any, field: str = "", merged: dict[str, str] = MERGED) -> Any:
    """What `now` becomes when `old` was applied before and `new` is applied now."""
    if isinstance(new, dict):
        old, now = old if isinstance(old, dict) else {}, now if isinstance(now, dict) else {}
        kept = {key: value for key, value in now.items() if key in new or key not in old}
        return kept | {key: expected(old.get(key), value, now.get(key), key, merged) for key, value in new.items()}
    if isinstance(new, list) and field in merged:
        by = merged[field]
        olds, news, nows = (_keyed(each, by) for each in (old, new, now))
        if field in RETAINED:
            nows = {
                key: {name: value for name, value in each.items() if name in news[key]} if key in news else each
                for key, each in nows.items()
            }
        return list(expected(olds, news, nows, "", merged).values())
    return new


def _keyed(values: Any, by: str) -> JsonObject:
    return {str(each[by] if by else each): each for each in values or []}


def without_empty(value: Any) -> Any:
    """A patch cannot make an empty map."""
    if not isinstance(value, dict):
        return value
    found = {key: without_empty(each) for key, each in value.items()}
    return {key: each for key, each in found.items() if each != {}}


def unordered(value: Any, field: str = "") -> Any:
    """Without the order of lists that merge, and without what is empty: a patch cannot make an empty map."""
    if isinstance(value, dict):
        found = {key: unordered(each, key) for key, each in value.items()}
        return {key: each for key, each in found.items() if each not in ({}, [])}
    if isinstance(value, list) and field in MERGED:
        by = MERGED[field]
        return sorted((unordered(each) for each in value), key=lambda each: str(each[by] if by else each))
    return [unordered(each) for each in value] if isinstance(value, list) else value


@settings(max_examples=200, deadline=None)
@given(deployments, deployments)
def test_two_versions_lead_from_one_to_the_other(old: JsonObject, new: JsonObject) -> None:
    patch = strategic.two_way(old, new, SCHEMA)
    result = apply_strategic(copy.deepcopy(old), patch, Deployment)
    assert unordered(result) == unordered(new)
    assert (patch == {}) == (old == new)


@settings(max_examples=300, deadline=None)
@given(deployments, deployments, deployments)
def test_three_versions_change_what_was_applied_and_leave_what_others_set(
    old: JsonObject, new: JsonObject, now: JsonObject
) -> None:
    before = copy.deepcopy((old, new, now))
    patch = strategic.three_way(old, new, now, SCHEMA)
    assert (old, new, now) == before, "nothing that was given is changed"
    result = apply_strategic(copy.deepcopy(now), patch, Deployment)
    assert unordered(result) == unordered(expected(old, new, now))


@settings(max_examples=100, deadline=None)
@given(deployments, deployments)
def test_what_is_applied_twice_changes_nothing(new: JsonObject, now: JsonObject) -> None:
    first = apply_strategic(copy.deepcopy(now), strategic.three_way({}, new, now, SCHEMA), Deployment)
    assert strategic.three_way(new, new, first, SCHEMA) == {}


@settings(max_examples=100, deadline=None)
@given(deployments)
def test_elements_are_in_the_order_of_the_file(new: JsonObject) -> None:
    now = copy.deepcopy(new)
    now["spec"]["template"]["spec"]["containers"].reverse()
    result = apply_strategic(now, strategic.three_way(new, new, now, SCHEMA), Deployment)
    kept = result["spec"]["template"]["spec"]["containers"]
    assert [each["name"] for each in kept] == [each["name"] for each in new["spec"]["template"]["spec"]["containers"]]


def test_the_words_of_a_patch_are_kubectls() -> None:
    old = {"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "x"}, {"name": "b"}]}}}}
    new = {"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "y"}]}}}}
    assert strategic.three_way(old, new, old, SCHEMA) == {
        "spec": {
            "template": {
                "spec": {
                    "$setElementOrder/containers": [{"name": "a"}],
                    "containers": [{"name": "a", "image": "y"}, {"$patch": "delete", "name": "b"}],
                }
            }
        }
    }


def test_a_strategy_keeps_only_the_fields_that_are_named() -> None:
    old = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    new = {"spec": {"strategy": {"type": "Recreate"}}}
    patch = strategic.three_way(new, new, old, SCHEMA)
    assert patch == {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert apply_strategic(old, patch, Deployment) == new


@settings(max_examples=200, deadline=None)
@given(deployments, deployments, deployments)
def test_without_a_schema_lists_are_replaced(old: JsonObject, new: JsonObject, now: JsonObject) -> None:
    result = apply_merge_patch(copy.deepcopy(now), json_merge.three_way(old, new, now))
    assert without_empty(result) == without_empty(expected(old, new, now, merged={}))
    assert json_merge.applied(old, json_merge.two_way(old, new)) == new


def test_the_annotation_is_kubectls() -> None:
    obj = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a"}, "data": {"k": "<&>"}}
    made = last_applied.annotated(obj)
    text = made["metadata"]["annotations"][last_applied.ANNOTATION]
    assert text == (
        '{"apiVersion":"v1","data":{"k":"\\u003c\\u0026\\u003e"},"kind":"ConfigMap",'
        '"metadata":{"annotations":{},"name":"a"}}\n'
    )
    assert last_applied.annotated(made) == made
    assert last_applied.of(made) == {**obj, "metadata": {"name": "a", "annotations": {}}}
    assert "annotations" not in obj["metadata"]
    assert last_applied.of(obj) is None


@pytest.mark.parametrize("text", ["nonsense", "[]", "{"])
def test_an_annotation_that_is_none_is_said(text: str) -> None:
    with pytest.raises(ValueError, match="last-applied-configuration"):
        last_applied.of({"metadata": {"annotations": {last_applied.ANNOTATION: text}}})
