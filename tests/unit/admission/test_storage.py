"""Claims get the default class; claims and volumes are protected while they are in use."""

from __future__ import annotations

from typing import Any

import pytest
from admission_world import made, pass_through, write
from two_views import TwoViews

from apiserver.admission.storage import CLAIMS, STORAGE_CLASSES, DefaultStorageClass

DEFAULT = "storageclass.kubernetes.io/is-default-class"


def claim(**fields: Any) -> Any:
    return made(CLAIMS, "data", namespace="team", **fields)


def classes(*found: tuple[str, str, str]) -> TwoViews:
    """Each is (name, whether it is the default, when it was made)."""
    lookup = TwoViews()
    for name, default, created in found:
        metadata = {"annotations": {DEFAULT: default}, "creationTimestamp": created}
        lookup.put(STORAGE_CLASSES, made(STORAGE_CLASSES, name, metadata=metadata))
    return lookup


@pytest.mark.parametrize(
    ("found", "chosen"),
    [
        ([("slow", "false", "2026-01-01T00:00:00Z")], None),
        ([("slow", "false", "2026-01-01T00:00:00Z"), ("fast", "true", "2026-01-01T00:00:00Z")], "fast"),
        ([("old", "true", "2026-01-01T00:00:00Z"), ("new", "true", "2026-01-02T00:00:00Z")], "new"),
        ([("b", "true", "2026-01-01T00:00:00Z"), ("a", "true", "2026-01-01T00:00:00Z")], "a"),
    ],
)
def test_a_claim_that_names_no_class_gets_the_default(found: list[tuple[str, str, str]], chosen: str | None) -> None:
    admitted = pass_through(DefaultStorageClass(), write(CLAIMS, claim()), classes(*found))
    assert admitted.spec.storage_class_name == chosen


@pytest.mark.parametrize(
    ("fields", "chosen"),
    [
        ({"spec": {"storageClassName": ""}}, ""),
        ({"spec": {"storageClassName": "slow"}}, "slow"),
        ({"metadata": {"annotations": {"volume.beta.kubernetes.io/storage-class": "slow"}}}, None),
    ],
)
def test_a_claim_that_says_its_class_keeps_it(fields: dict[str, Any], chosen: str | None) -> None:
    lookup = classes(("fast", "true", "2026-01-01T00:00:00Z"))
    assert pass_through(DefaultStorageClass(), write(CLAIMS, claim(**fields)), lookup).spec.storage_class_name == chosen


def test_an_update_gets_no_class() -> None:
    lookup = classes(("fast", "true", "2026-01-01T00:00:00Z"))
    assert pass_through(DefaultStorageClass(), write(CLAIMS, claim(), claim()), lookup).spec.storage_class_name is None
