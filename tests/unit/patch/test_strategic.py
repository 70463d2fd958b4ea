"""Strategic merge patch: what kubectl sends and what comes of it, each directive, and the law of differences."""

# ruff: noqa: RUF012 - msgspec copies empty lists and maps for every object
from __future__ import annotations

import copy
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiserver.api.base import Object, merge_by, merge_values, retain_keys
from apiserver.api.errors import BadRequest
from apiserver.api.meta import TopObject
from apiserver.decode import DEPTH_MAX
from apiserver.patch.strategic import apply_strategic


class Port(Object):
    container_port: int = 0
    protocol: str = ""
    name: str = ""


class EnvVar(Object):
    name: str = ""
    value: str = ""


class Container(Object):
    name: str = ""
    image: str = ""
    args: list[str] = []
    ports: Annotated[list[Port], merge_by("containerPort")] = []
    env: Annotated[list[EnvVar], merge_by("name")] | None = None
    limits: dict[str, str] = {}


class Volume(Object):
    name: str = ""
    empty_dir: dict[str, str] | None = None
    host_path: dict[str, str] | None = None


class Toleration(Object):
    key: str = ""


class Spec(Object):
    containers: Annotated[list[Container], merge_by("name")] = []
    volumes: Annotated[list[Volume], merge_by("name", retain_keys=True)] = []
    tolerations: list[Toleration] = []
    strategy: Annotated[dict[str, Any] | None, retain_keys()] = None
    node_selector: dict[str, str] = {}
    by_name: dict[str, Container] = {}
    nested: Spec | None = None
    pull_secrets: Annotated[list[EnvVar] | None, merge_by("name")] = None
    words: Annotated[list[str], merge_values()] = []


class Thing(TopObject):
    spec: Spec | None = None


def patched(document: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """Of a spec; neither argument may change."""
    kept = copy.deepcopy((document, patch))
    result = apply_strategic({"spec": document}, {"spec": patch}, Thing)
    assert (document, patch) == kept
    spec: dict[str, Any] = result["spec"]
    return spec


def named(*names: str, **members: Any) -> list[dict[str, Any]]:
    return [{"name": name, **members} for name in names]


A, B, C = named("a", "b", "c", image="1")

CASES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "set image": (
        {"containers": [A, B]},
        {"$setElementOrder/containers": named("a", "b"), "containers": [{"name": "b", "image": "2"}]},
        {"containers": [A, {"name": "b", "image": "2"}]},
    ),
    "merge without an order: what the patch names comes in its order": (
        {"containers": [A, B]},
        {"containers": [{"name": "b", "image": "2"}, {"name": "x"}]},
        {"containers": [A, {"name": "b", "image": "2"}, {"name": "x"}]},
    ),
    "new elements come first unless an old one stood before": (
        {"containers": [A, B]},
        {"containers": [{"name": "x"}]},
        {"containers": [{"name": "x"}, A, B]},
    ),
    "apply reorders": (
        {"containers": [A, B, C]},
        {"$setElementOrder/containers": named("c", "a", "b")},
        {"containers": [C, A, B]},
    ),
    "what only the server knows keeps its place": (
        {"containers": [A, {"name": "sidecar"}, B]},
        {"$setElementOrder/containers": named("a", "b", "x"), "containers": [{"name": "x"}]},
        {"containers": [A, {"name": "sidecar"}, B, {"name": "x"}]},
    ),
    "delete an element": (
        {"containers": [A, B]},
        {"$setElementOrder/containers": named("a"), "containers": [{"$patch": "delete", "name": "b"}]},
        {"containers": [A]},
    ),
    "delete what is not there": (
        {"containers": [A]},
        {"containers": [{"$patch": "delete", "name": "x"}]},
        {"containers": [A]},
    ),
    "delete from a list that is not there": (
        {},
        {"containers": [{"$patch": "delete", "name": "x"}, {"name": "y"}]},
        {"containers": [{"name": "y"}]},
    ),
    "replace a list": (
        {"containers": [A, B]},
        {"containers": [{"$patch": "replace"}, {"name": "x"}, {"name": "y"}]},
        {"containers": [{"name": "x"}, {"name": "y"}]},
    ),
    "empty a list": ({"containers": [A, B]}, {"containers": [{"$patch": "replace"}]}, {"containers": []}),
    "an empty list merges nothing": ({"containers": [A]}, {"containers": []}, {"containers": [A]}),
    "null deletes a list": ({"containers": [A]}, {"containers": None}, {}),
    "null deletes a member of an element": (
        {"containers": [{"name": "a", "image": "1", "args": ["x"]}]},
        {"containers": [{"name": "a", "args": None}]},
        {"containers": [{"name": "a", "image": "1"}]},
    ),
    "lists in lists": (
        {"containers": [{"name": "a", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]}]},
        {"containers": [{"name": "a", "env": [{"name": "Y", "value": "3"}, {"name": "X", "$patch": "delete"}]}]},
        {"containers": [{"name": "a", "env": [{"name": "Y", "value": "3"}]}]},
    ),
    "a key that is a number": (
        {"containers": [{"name": "a", "ports": [{"containerPort": 80}, {"containerPort": 81}]}]},
        {"containers": [{"name": "a", "ports": [{"containerPort": 81, "name": "x"}]}]},
        {"containers": [{"name": "a", "ports": [{"containerPort": 80}, {"containerPort": 81, "name": "x"}]}]},
    ),
    "elements with the same key stay apart": (
        {"containers": [{"name": "a", "ports": [{"containerPort": 53, "protocol": p} for p in ("UDP", "TCP")]}]},
        {"containers": [{"name": "a", "ports": [{"containerPort": 53, "name": "dns"}]}]},
        {
            "containers": [
                {
                    "name": "a",
                    "ports": [
                        {"containerPort": 53, "protocol": "UDP", "name": "dns"},
                        {"containerPort": 53, "protocol": "TCP"},
                    ],
                }
            ]
        },
    ),
    "a new list with the same key twice is taken as it is": (
        {"containers": [{"name": "a"}]},
        {"containers": [{"name": "a", "ports": [{"containerPort": 53, "protocol": p} for p in ("UDP", "TCP")]}]},
        {"containers": [{"name": "a", "ports": [{"containerPort": 53, "protocol": p} for p in ("UDP", "TCP")]}]},
    ),
    "a list without a strategy is replaced": (
        {"tolerations": [{"key": "a"}, {"key": "b"}]},
        {"tolerations": [{"key": "c", "effect": None}]},
        {"tolerations": [{"key": "c"}]},
    ),
    "a list of scalars without a strategy is replaced": (
        {"containers": [{"name": "a", "args": ["x", "y"]}]},
        {"containers": [{"name": "a", "args": ["z"]}]},
        {"containers": [{"name": "a", "args": ["z"]}]},
    ),
    "maps are merged": (
        {"nodeSelector": {"a": "1", "b": "2"}},
        {"nodeSelector": {"b": None, "c": "3"}},
        {"nodeSelector": {"a": "1", "c": "3"}},
    ),
    "replace a map": (
        {"nodeSelector": {"a": "1", "b": "2"}},
        {"nodeSelector": {"$patch": "replace", "c": "3"}},
        {"nodeSelector": {"c": "3"}},
    ),
    "replace a map that is not there": (
        {},
        {"nodeSelector": {"$patch": "replace", "c": "3"}},
        {"nodeSelector": {"c": "3"}},
    ),
    "delete a map": ({"nodeSelector": {"a": "1"}, "words": []}, {"nodeSelector": {"$patch": "delete"}}, {"words": []}),
    "merge a map, said aloud": (
        {"nodeSelector": {"a": "1"}},
        {"nodeSelector": {"$patch": "merge", "b": "2"}},
        {"nodeSelector": {"a": "1", "b": "2"}},
    ),
    "a union keeps only what it names": (
        {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}},
        {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}},
        {"strategy": {"type": "Recreate"}},
    ),
    "a volume changes its kind": (
        {"volumes": [{"name": "v", "emptyDir": {}}]},
        {"volumes": [{"$retainKeys": ["name", "hostPath"], "name": "v", "hostPath": {"path": "/x"}}]},
        {"volumes": [{"name": "v", "hostPath": {"path": "/x"}}]},
    ),
    "retained keys that the patch deletes": (
        {"strategy": {"type": "x", "a": 1}},
        {"strategy": {"$retainKeys": ["type"], "a": None}},
        {"strategy": {"type": "x"}},
    ),
    "scalars are merged as a set": ({"words": ["a", "b"]}, {"words": ["c", "b"]}, {"words": ["c", "a", "b"]}),
    "scalars are taken out": (
        {"words": ["a", "b", "c"]},
        {"$deleteFromPrimitiveList/words": ["b", "x"]},
        {"words": ["a", "c"]},
    ),
    "scalars are taken out, put in and ordered": (
        {"words": ["a", "b", "c"]},
        {
            "$setElementOrder/words": ["d", "c", "a"],
            "$deleteFromPrimitiveList/words": ["b"],
            "words": ["d"],
        },
        {"words": ["d", "c", "a"]},
    ),
    "nothing to take out of": ({}, {"$deleteFromPrimitiveList/words": ["b"], "$setElementOrder/words": ["a"]}, {}),
    "values of a map may be structs": (
        {"byName": {"x": {"name": "a", "env": [{"name": "X", "value": "1"}]}}},
        {"byName": {"x": {"env": [{"name": "Y", "value": "2"}]}}},
        {"byName": {"x": {"name": "a", "env": [{"name": "Y", "value": "2"}, {"name": "X", "value": "1"}]}}},
    ),
    "a type in itself": (
        {"nested": {"nested": {"containers": [A]}}},
        {"nested": {"nested": {"containers": [{"name": "a", "image": "2"}]}}},
        {"nested": {"nested": {"containers": [{"name": "a", "image": "2"}]}}},
    ),
    "an optional list": (
        {"pullSecrets": named("a")},
        {"pullSecrets": [{"name": "a", "value": "x"}]},
        {"pullSecrets": [{"name": "a", "value": "x"}]},
    ),
    "what is unknown is plain JSON": (
        {"unknown": {"list": [{"name": "a"}], "map": {"a": 1}}},
        {"unknown": {"list": [{"name": "b"}], "map": {"b": 2}}},
        {"unknown": {"list": [{"name": "b"}], "map": {"a": 1, "b": 2}}},
    ),
    "kinds of values differ": (
        {"containers": "x", "nodeSelector": [1], "words": {"a": 1}, "tolerations": {}},
        {"containers": [A], "nodeSelector": {"a": "1", "b": None}, "words": ["b"], "tolerations": 1},
        {"containers": [A], "nodeSelector": {"a": "1"}, "words": ["b"], "tolerations": 1},
    ),
    "directives in what is new leave no trace": (
        {},
        {
            "containers": [
                {
                    "name": "a",
                    "$setElementOrder/env": named("Y", "X"),
                    "env": [{"name": "Y"}, {"name": "X"}, {"$patch": "delete", "name": "Z"}],
                    "limits": {"$retainKeys": ["cpu"], "cpu": "1"},
                    "args": None,
                }
            ]
        },
        {"containers": [{"name": "a", "env": [{"name": "Y"}, {"name": "X"}], "limits": {"cpu": "1"}}]},
    ),
}


@pytest.mark.parametrize(("document", "patch", "expected"), CASES.values(), ids=CASES)
def test_what_comes_of_a_patch(document: dict[str, Any], patch: dict[str, Any], expected: dict[str, Any]) -> None:
    assert patched(document, patch) == expected


def test_metadata_of_any_object() -> None:
    """What kubectl label, annotate and a finalizer's controller send."""
    document = {"metadata": {"name": "a", "labels": {"x": "1", "y": "2"}, "finalizers": ["f/a", "f/b"]}}
    patch = {
        "metadata": {
            "labels": {"x": None, "z": "3"},
            "$deleteFromPrimitiveList/finalizers": ["f/a"],
            "ownerReferences": [{"uid": "1", "kind": "Pod"}],
        }
    }
    again = {"metadata": {"ownerReferences": [{"uid": "1", "name": "p"}, {"uid": "2"}], "finalizers": ["f/c"]}}
    once = apply_strategic(document, patch, Thing)
    assert apply_strategic(once, again, Thing)["metadata"] == {
        "name": "a",
        "labels": {"y": "2", "z": "3"},
        "finalizers": ["f/c", "f/b"],
        "ownerReferences": [{"uid": "1", "kind": "Pod", "name": "p"}, {"uid": "2"}],
    }


@pytest.mark.parametrize(
    ("document", "patch", "message"),
    [
        ({}, {"nodeSelector": {"$patch": "explode"}}, 'spec.nodeSelector: unknown patch type: "explode"'),
        (
            {"containers": [A]},
            {"containers": [{"name": "a", "$patch": "merge"}]},
            'unknown patch type in a list: "merge"',
        ),
        (
            {"containers": [A]},
            {"containers": [{"image": "2"}]},
            "spec.containers: an element does not contain declared merge key: name",
        ),
        ({"containers": [A]}, {"containers": [{"$patch": "delete"}]}, "declared merge key: name"),
        ({"containers": [A]}, {"containers": [{"name": {"x": 1}}]}, "declared merge key: name"),
        ({"containers": [{}]}, {"containers": [A]}, "declared merge key: name"),
        ({"containers": [A]}, {"containers": ["a"]}, "spec.containers: list element types are not identical"),
        ({"containers": ["a"]}, {"containers": [A]}, "spec.containers: list element types are not identical"),
        ({"words": ["a"]}, {"words": [{"a": 1}]}, "spec.words: cannot merge lists of objects"),
        ({"words": ["a"]}, {"words": [["a"]]}, "spec.words: cannot merge lists of objects"),
        ({"words": ["a"]}, {"$deleteFromPrimitiveList/words": "a"}, "invalid patch format of $deleteFromPrimitiveList"),
        ({"words": ["a"]}, {"$deleteFromPrimitiveList/words": [{}]}, "spec.words: cannot merge lists of objects"),
        ({"words": ["a"]}, {"$setElementOrder/words": None}, "invalid patch format of $setElementOrder"),
        (
            {"containers": [A, B]},
            {"$setElementOrder/containers": named("a"), "containers": [B]},
            "spec.containers: the order in the patch list doesn't match $setElementOrder",
        ),
        (
            {"containers": [A, B]},
            {"$setElementOrder/containers": named("a", "b"), "containers": [B, A]},
            "spec.containers: the order in the patch list doesn't match $setElementOrder",
        ),
        ({}, {"strategy": {"$retainKeys": "type"}}, "spec.strategy: invalid patch format of retainKeys"),
        ({}, {"strategy": {"$retainKeys": ["a"], "b": 1}}, "spec.strategy: invalid patch format of retainKeys"),
        ({}, {"$patchwork": 1}, 'spec: unknown directive: "$patchwork"'),
    ],
)
def test_what_makes_no_sense_is_refused(document: dict[str, Any], patch: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest) as raised:
        patched(document, patch)
    assert message in raised.value.message


@pytest.mark.parametrize("patch", [[], "x", None, 1])
def test_what_is_no_object_is_refused(patch: Any) -> None:
    with pytest.raises(BadRequest, match="a strategic merge patch must be a JSON object"):
        apply_strategic({}, patch, Thing)


def test_depth_is_bounded() -> None:
    deep: Any = {}
    for _ in range(DEPTH_MAX + 1):
        deep = {"nested": deep}
    with pytest.raises(BadRequest, match="the patch is nested deeper"):
        apply_strategic({}, {"spec": deep}, Thing)


# --- the law: what kubectl computes as the difference makes one of the other --------------------------

env_vars = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from("VWXYZ")}, optional={"value": st.sampled_from("12")}),
    unique_by=lambda each: each["name"],
    max_size=4,
)
container: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"name": st.sampled_from("abcde")},
    optional={
        "image": st.sampled_from("12"),
        "args": st.lists(st.sampled_from("xyz"), max_size=2),
        "env": env_vars,
        "limits": st.dictionaries(st.sampled_from("cm"), st.sampled_from("12"), max_size=2),
    },
)
containers = st.lists(container, unique_by=lambda each: str(each["name"]), max_size=4)
specs = st.fixed_dictionaries(
    {},
    optional={
        "containers": containers,
        "words": st.lists(st.sampled_from("pqrs"), unique=True, max_size=4),
        "nodeSelector": st.dictionaries(st.sampled_from("ab"), st.sampled_from("12"), max_size=2),
    },
)
MERGED = {"containers": "name", "env": "name", "words": ""}


def difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The patch that `kubectl apply` sends for a change from `before` to `after`."""
    patch: dict[str, Any] = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key)
        if old == value:
            continue
        if isinstance(old, list) and key in MERGED:
            patch |= list_difference(key, old, value)
        elif isinstance(old, dict) and isinstance(value, dict):
            patch[key] = difference(old, value)
        else:
            patch[key] = value
    return patch


def list_difference(key: str, old: list[Any], new: list[Any]) -> dict[str, Any]:
    merge_key = MERGED[key]
    if not merge_key:
        return {
            f"$setElementOrder/{key}": new,
            f"$deleteFromPrimitiveList/{key}": [each for each in old if each not in new],
            key: [each for each in new if each not in old],
        }
    by_name = {each[merge_key]: each for each in old}
    kept = {each[merge_key] for each in new}
    changed = [
        {merge_key: each[merge_key], **difference(by_name.get(each[merge_key], {}), each)}
        for each in new
        if by_name.get(each[merge_key]) != each
    ]
    gone = [{merge_key: name, "$patch": "delete"} for name in by_name if name not in kept]
    order = [{merge_key: each[merge_key]} for each in new]
    return {f"$setElementOrder/{key}": order} | ({key: changed + gone} if changed or gone else {})


@given(specs, specs)
def test_a_difference_makes_one_of_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert patched(before, difference(before, after)) == after


@given(specs, specs)
def test_a_patch_applied_twice_does_nothing_more(document: dict[str, Any], patch: dict[str, Any]) -> None:
    once = patched(document, patch)
    assert patched(once, patch) == once


@given(containers, containers)
def test_a_merge_loses_no_element(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> None:
    merged = patched({"containers": old}, {"containers": new})["containers"]
    names = [each["name"] for each in merged]
    assert sorted(names) == sorted({each["name"] for each in [*old, *new]})
    assert [name for name in names if name in {each["name"] for each in new}] == [each["name"] for each in new]
