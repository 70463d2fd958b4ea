"""Which ReplicaSets would take a pod over, without a look at all that there are."""

from __future__ import annotations

from typing import Any

import pytest
from controllers_world_objects import pod, replica_set

from apiserver.api.apps import ReplicaSet
from apiserver.api.meta import LabelSelector, LabelSelectorRequirement
from apiserver.api.selectors import from_label_selector
from apiserver.client.cache import Cache, Entry, Key
from controlplane.controllers import claims
from controlplane.controllers.claims import BY_SELECTOR, by_selector, selecting
from controlplane.runtime import Request


def cached(*found: ReplicaSet) -> Cache[ReplicaSet]:
    cache: Cache[ReplicaSet] = Cache()
    cache.add_index(BY_SELECTOR, by_selector)
    for each in found:
        meta = each.metadata
        cache.put(Key(meta.namespace, meta.name), Entry(each, uid=meta.uid, resource_version=meta.resource_version))
    return cache


def by_expression(name: str, key: str, operator: str) -> ReplicaSet:
    found = replica_set(name)
    found.spec.selector = LabelSelector(match_expressions=[LabelSelectorRequirement(key=key, operator=operator)])
    return found


def test_by_labels_by_expressions_and_never_of_another_namespace() -> None:
    cache = cached(
        replica_set("web", labels={"app": "web"}),
        replica_set("both", labels={"app": "web", "tier": "front"}),
        replica_set("other", labels={"app": "other"}),
        replica_set("elsewhere", labels={"app": "web"}, namespace="elsewhere"),
        by_expression("any", "app", "Exists"),
        by_expression("none", "app", "DoesNotExist"),
        by_expression("broken", "app", "Likes"),
    )
    found = list(selecting(cache, pod("p", labels={"app": "web", "x": "y"})))
    assert sorted(found) == [Request("default", "any"), Request("default", "web")]
    assert list(selecting(cache, pod("p", labels={}))) == [Request("default", "none")]


def test_only_those_are_read_that_may_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = cached(*(replica_set(f"web-{number}", labels={"app": f"web-{number}"}) for number in range(1000)))
    read: list[Any] = []

    def reading(given: Any) -> Any:
        read.append(given)
        return from_label_selector(given)

    monkeypatch.setattr(claims, "from_label_selector", reading)
    assert list(selecting(cache, pod("p", labels={"app": "web-7"}))) == [Request("default", "web-7")]
    assert len(read) == 1
