"""A spec that was found good is not judged again; one that differs in anything is, and a bad one is each time."""

from __future__ import annotations

from typing import Any

import pytest
from checked_pods import GOOD_POD, changed, read

from apiserver.api.core.pod import Pod
from apiserver.api.fields import Causes
from apiserver.registry.strategies.pod import PodStrategy
from apiserver.registry.strategies.pod_validation import remembered
from apiserver.registry.strategies.pod_validation.spec import validate_pod_spec


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the pods whose specs were really looked at."""
    names: list[str] = []

    def counted(spec: Any, causes: Causes, path: str, *, pod_name: str, is_pod: bool) -> None:
        names.append(pod_name)
        validate_pod_spec(spec, causes, path, pod_name=pod_name, is_pod=is_pod)

    monkeypatch.setattr(remembered, "validate_pod_spec", counted)
    return names


def faults(strategy: PodStrategy, name: str, changes: dict[str, Any] | None = None) -> list[str]:
    pod = read(changed(GOOD_POD, {"metadata.name": name, **(changes or {})}), Pod, strategy)
    causes = Causes()
    strategy.validate(pod, causes)
    return [cause.field for cause in causes.found]


def test_pods_of_one_template_are_judged_once(judged: list[str]) -> None:
    strategy = PodStrategy()
    assert faults(strategy, "one") == faults(strategy, "two") == []
    assert judged == ["one"]


def test_a_spec_that_differs_is_judged(judged: list[str]) -> None:
    strategy = PodStrategy()
    assert faults(strategy, "one") == []
    assert faults(strategy, "two", {"spec.containers.0.image": ""}) == ["spec.containers[0].image"]
    assert judged == ["one", "two"]


def test_a_bad_spec_is_told_its_faults_each_time(judged: list[str]) -> None:
    strategy = PodStrategy()
    bad = {"spec.containers.0.image": ""}
    assert faults(strategy, "one", bad) == faults(strategy, "two", bad) == ["spec.containers[0].image"]
    assert judged == ["one", "two"]


def test_a_volume_that_becomes_a_claim_of_the_pod_s_name_is_judged_with_each_name(judged: list[str]) -> None:
    strategy = PodStrategy()
    template = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
    claim = {"spec.volumes.1": {"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}}
    assert faults(strategy, "one", claim) == []
    assert faults(strategy, "n" * 250, claim) != []
    assert judged == ["one", "n" * 250]


def test_what_is_remembered_has_a_bound(judged: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "REMEMBERED_MAX", 2)
    strategy = PodStrategy()
    for image in ("a", "b", "c", "c", "a"):
        assert faults(strategy, image, {"spec.containers.0.image": image}) == []
    assert judged == ["a", "b", "c", "a"]


def test_a_pod_that_is_bound_is_not_judged_again_but_its_node_s_name_is(judged: list[str]) -> None:
    strategy = PodStrategy()
    assert faults(strategy, "one") == []
    assert faults(strategy, "two", {"spec.nodeName": "node-1"}) == []
    assert faults(strategy, "three", {"spec.nodeName": "Node_1"}) == ["spec.nodeName"]
    assert judged == ["one"]
