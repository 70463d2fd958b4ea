"""From an agent's summary to NodeMetrics and PodMetrics."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiserver.api.summary import Summary
from apiserver.usage.objects import node_metrics, pod_metrics

TIME = "2026-01-02T03:04:05Z"


def usage(cores: Any = 1_500_000, held: Any = 2048) -> dict[str, Any]:
    return {"cpu": {"time": TIME, "usageNanoCores": cores}, "memory": {"time": TIME, "workingSetBytes": held}}


def summary(*containers: dict[str, Any], node: dict[str, Any] | None = None, **more: Any) -> Summary:
    pod = {
        "podRef": {"namespace": "default", "name": "web", "uid": "u"},
        "containers": [{"name": f"c{number}", **each} for number, each in enumerate(containers)],
        "cpu": {"time": TIME},
    }
    return msgspec.convert({"node": {"nodeName": "n", **(node or usage())}, "pods": [pod], **more}, Summary)


def test_a_node() -> None:
    made = node_metrics("n", {"a": "b"}, summary(windowSeconds=10.5))
    assert made is not None
    assert (made.metadata.name, made.metadata.labels, made.timestamp) == ("n", {"a": "b"}, TIME)
    assert (made.window, made.usage) == ("10.500s", {"cpu": "1500u", "memory": "2Ki"})


def test_a_pod() -> None:
    made = pod_metrics("default", "web", {}, summary(usage(), usage(5, 1_000_001)))
    assert made is not None
    assert [(each.name, each.usage) for each in made.containers] == [
        ("c0", {"cpu": "1500u", "memory": "2Ki"}),
        ("c1", {"cpu": "5n", "memory": "1000001"}),
    ]
    assert pod_metrics("other", "web", {}, summary(usage())) is None
    assert pod_metrics("default", "other", {}, summary(usage())) is None


@pytest.mark.parametrize(
    "unknown",
    [{}, usage(cores=None), usage(held=None), usage(cores=-1), usage(held=-1), usage(cores=1 << 63)],
    ids=range(6),
)
def test_what_is_not_known_is_not_told(unknown: dict[str, Any]) -> None:
    assert node_metrics("n", {}, summary(node=unknown or {"cpu": None})) is None
    assert pod_metrics("default", "web", {}, summary(usage(), unknown)) is None, "a sum would be wrong"
    assert pod_metrics("default", "web", {}, summary()) is None


def test_a_time_that_is_none() -> None:
    strange = {"cpu": {"time": "yesterday", "usageNanoCores": 1}, "memory": {"workingSetBytes": 1}}
    assert node_metrics("n", {}, summary(node=strange)) is None


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_window_is_one_whatever_an_agent_says(seconds: float) -> None:
    made = node_metrics("n", {}, summary(windowSeconds=seconds))
    assert made is not None
    assert 0 <= float(made.window.removesuffix("s")) <= 1e6
