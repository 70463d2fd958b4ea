"""JSON merge patch: the cases of RFC 7386 that concern objects, and the laws it keeps."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiserver.api.errors import BadRequest
from apiserver.decode import DEPTH_MAX
from apiserver.patch.merge_patch import apply_merge_patch


@pytest.mark.parametrize(
    ("document", "patch", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"a": 1}, {"a": {"b": 2}}, {"a": {"b": 2}}),
        ({"a": [1]}, {"a": [None]}, {"a": [None]}),
    ],
)
def test_the_cases_of_the_rfc(document: dict[str, Any], patch: dict[str, Any], expected: dict[str, Any]) -> None:
    assert apply_merge_patch(document, patch) == expected


@pytest.mark.parametrize("patch", [[], "a", 1, None, True])
def test_what_is_no_object_is_refused(patch: Any) -> None:
    with pytest.raises(BadRequest, match="a merge patch must be a JSON object"):
        apply_merge_patch({}, patch)


def nested(depth: int) -> Any:
    value: Any = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


def test_depth_is_bounded() -> None:
    assert apply_merge_patch({}, nested(DEPTH_MAX)) == nested(DEPTH_MAX)
    with pytest.raises(BadRequest, match="the patch is nested deeper than 64 levels"):
        apply_merge_patch({}, nested(DEPTH_MAX + 1))
    with pytest.raises(BadRequest, match="nested deeper"):
        apply_merge_patch({}, nested(100_000))


scalars = st.one_of(st.booleans(), st.integers(-9, 9), st.text(alphabet="xy", max_size=2))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abc"), inner, max_size=3)),
    max_leaves=12,
)
documents = st.dictionaries(st.sampled_from("abcd"), values, max_size=4)
patches = st.dictionaries(
    st.sampled_from("abcd"),
    st.recursive(
        st.one_of(st.none(), scalars),
        lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
        max_leaves=12,
    ),
    max_size=4,
)


def difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """A merge patch that makes `after` of `before`."""
    patch: dict[str, Any] = {key: None for key in before if key not in after}
    for key, value in after.items():
        if key not in before or before[key] != value or isinstance(before[key], bool) != isinstance(value, bool):
            both = isinstance(before.get(key), dict) and isinstance(value, dict)
            patch[key] = difference(before[key], value) if both else value
    return patch


@given(documents, documents)
def test_a_difference_makes_one_of_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert apply_merge_patch(before, difference(before, after)) == after


@given(documents, patches)
def test_a_patch_applied_twice_does_nothing_more(document: dict[str, Any], patch: dict[str, Any]) -> None:
    once = apply_merge_patch(document, patch)
    assert apply_merge_patch(once, patch) == once


@given(documents, patches)
def test_arguments_stay_as_they_are_and_an_empty_patch_does_nothing(
    document: dict[str, Any], patch: dict[str, Any]
) -> None:
    kept = copy.deepcopy((document, patch))
    apply_merge_patch(document, patch)
    assert (document, patch) == kept
    assert apply_merge_patch(document, {}) == document
