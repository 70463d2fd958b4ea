"""Pods of one template get the same defaults, whether they were worked out for this one or for one before."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from checked_pods import GOOD_POD, changed

from apiserver.api.core.pod import Pod
from apiserver.registry.strategies import pod_alike
from apiserver.registry.strategies.pod_alike import AlikePods
from apiserver.registry.strategies.pod_defaults import default_pod
from apiserver.registry.strategies.pod_quality import qos_class


@pytest.fixture
def worked_out(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the pods whose defaults were worked out."""
    names: list[str] = []

    def counted(pod: Pod) -> None:
        names.append(pod.metadata.name)
        default_pod(pod)

    monkeypatch.setattr(pod_alike, "default_pod", counted)
    return names


def pod(name: str, changes: dict[str, Any] | None = None) -> Pod:
    return msgspec.convert(changed(GOOD_POD, {"metadata.name": name, **(changes or {})}), Pod)


def test_what_is_copied_is_what_would_be_worked_out(worked_out: list[str]) -> None:
    alike = AlikePods()
    wanted = pod("two")
    default_pod(wanted)
    wanted.status.qos_class = qos_class(wanted.spec)
    for name in ("one", "two"):
        made = pod(name)
        alike.default(made)
    assert worked_out == ["one"]
    assert msgspec.json.encode(made) == msgspec.json.encode(wanted)


def test_each_pod_has_a_spec_of_its_own(worked_out: list[str]) -> None:
    alike = AlikePods()
    pods = [pod("one"), pod("two"), pod("three")]
    for each in pods:
        alike.default(each)
        each.spec.containers[0].image = f"changed by {each.metadata.name}"
    assert [each.spec.containers[0].image for each in pods] == [
        f"changed by {each}" for each in ("one", "two", "three")
    ]
    again = pod("four")
    alike.default(again)
    assert again.spec.containers[0].image == pod("four").spec.containers[0].image
    assert worked_out == ["one"]


def test_a_spec_that_differs_is_worked_out(worked_out: list[str]) -> None:
    alike = AlikePods()
    for name, image in (("one", "a"), ("two", "b:latest"), ("three", "a")):
        made = pod(name, {"spec.containers.0.image": image})
        alike.default(made)
        assert made.spec.containers[0].image == image
    assert worked_out == ["one", "two"]


def test_what_is_kept_has_a_bound(worked_out: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod_alike, "KEPT_MAX", 2)
    alike = AlikePods()
    for image in ("a", "b", "c", "c", "a"):
        alike.default(pod(image, {"spec.containers.0.image": image}))
    assert worked_out == ["a", "b", "c", "a"]
    monkeypatch.setattr(pod_alike, "SPEC_BYTES_MAX", 10)
    for _ in range(2):
        alike.default(pod("long", {"spec.containers.0.image": "long"}))
    assert worked_out[-2:] == ["long", "long"]


def test_a_pod_keeps_the_node_it_is_bound_to(worked_out: list[str]) -> None:
    alike = AlikePods()
    nodes = ["", "node-1", "node-2", ""]
    pods = [pod(f"pod-{number}", {"spec.nodeName": name}) for number, name in enumerate(nodes)]
    for each in pods:
        alike.default(each)
    assert [each.spec.node_name for each in pods] == nodes
    assert worked_out == ["pod-0"]
