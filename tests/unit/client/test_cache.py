"""What an informer keeps is found by every way it was filed under, and by none any more once it is gone."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiserver.api.core.config import ConfigMap
from apiserver.api.meta import ObjectMeta, OwnerReference
from apiserver.client import by_controller, by_label
from apiserver.client.cache import Cache, Entry, Key


def entry(name: str, namespace: str = "default", **labels: str) -> tuple[Key, Entry[ConfigMap]]:
    obj = ConfigMap(metadata=ObjectMeta(name=name, namespace=namespace, labels=labels))
    return Key(namespace, name), Entry(obj, uid="u", resource_version="1")


def words(obj: ConfigMap) -> Iterable[str]:
    return obj.data.values()


def names(found: Iterable[ConfigMap]) -> set[str]:
    return {obj.metadata.name for obj in found}


def test_objects_are_found_by_name_namespace_and_label() -> None:
    cache: Cache[ConfigMap] = Cache()
    cache.add_index("app", by_label("app"))
    for key, each in (entry("a", app="x"), entry("b", app="y"), entry("a", "other", app="x"), entry("c")):
        cache.put(key, each)
    found = cache.get("a", namespace="other")
    assert found is not None
    assert found.metadata.namespace == "other"
    assert cache.get("a") is None
    assert names(cache.in_namespace("default")) == {"a", "b", "c"}
    assert len(cache.by_index("app", "x")) == 2
    assert sorted(cache.values_of("app")) == ["x", "y"]
    assert cache.by_index("app", "z") == []


def test_an_index_added_late_knows_what_is_there() -> None:
    cache: Cache[ConfigMap] = Cache()
    cache.put(*entry("a", app="x"))
    cache.add_index("app", by_label("app"))
    assert names(cache.by_index("app", "x")) == {"a"}


def test_an_index_has_one_meaning() -> None:
    cache: Cache[ConfigMap] = Cache()
    index = by_label("app")
    cache.add_index("app", index)
    cache.add_index("app", index)
    with pytest.raises(ValueError, match="there is another index 'app' already"):
        cache.add_index("app", by_label("tier"))
    with pytest.raises(KeyError):
        cache.by_index("unknown", "x")


def test_objects_are_found_by_who_controls_them() -> None:
    key, each = entry("a")
    owners = [OwnerReference(uid="u1"), OwnerReference(uid="u2", controller=True)]
    each.obj.metadata.owner_references = owners
    cache: Cache[ConfigMap] = Cache()
    cache.add_index("controller", by_controller)
    cache.put(key, each)
    assert cache.values_of("controller") == ["u2"]


def test_an_object_that_somebody_touched_leaves_no_key_behind() -> None:
    key, each = entry("a", app="x")
    cache: Cache[ConfigMap] = Cache()
    cache.add_index("app", by_label("app"))
    cache.put(key, each)
    each.obj.metadata.labels = {"app": "touched"}
    cache.drop(key)
    assert cache.values_of("app") == []


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.none() | st.lists(st.sampled_from(["x", "y", "z"]), max_size=3)),
        max_size=30,
    )
)
def test_an_index_says_just_what_its_function_says(steps: list[tuple[str, list[str] | None]]) -> None:
    cache: Cache[ConfigMap] = Cache()
    cache.add_index("words", words)
    for name, said in steps:
        key, each = entry(name)
        if said is None:
            cache.drop(key)
        else:
            each.obj.data = {str(number): word for number, word in enumerate(said)}
            cache.put(key, each)
    for word in ("x", "y", "z"):
        assert names(cache.by_index("words", word)) == names(obj for obj in cache if word in obj.data.values())
    assert set(cache.values_of("words")) == {word for obj in cache for word in obj.data.values()}
