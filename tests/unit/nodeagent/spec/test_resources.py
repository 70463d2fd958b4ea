"""Requests and limits as the kernel's numbers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spec_world import GIB, container, pod

from nodeagent.runtime.interface import Resources
from nodeagent.spec.resources import container_resources, oom_score_of, pod_resources, quota_of, shares_of


def resources(*, requests: dict[str, str] | None = None, limits: dict[str, str] | None = None) -> dict[str, Any]:
    return {"resources": {"requests": requests or {}, "limits": limits or {}}}


@pytest.mark.parametrize(
    ("milli", "shares", "quota"),
    [(0, 2, 0), (1, 2, 1000), (5, 5, 1000), (10, 10, 1000), (100, 102, 10_000), (1000, 1024, 100_000)],
)
def test_cpu(milli: int, shares: int, quota: int) -> None:
    assert (shares_of(milli), quota_of(milli)) == (shares, quota)


@given(st.integers(0, 10**9))
def test_shares_are_what_the_kernel_takes(milli: int) -> None:
    assert 2 <= shares_of(milli) <= 262_144
    assert quota_of(milli) == 0 or quota_of(milli) >= 1000


def test_of_a_container() -> None:
    spec = container(**resources(requests={"cpu": "250m", "memory": "1Gi"}, limits={"cpu": "1500m", "memory": "2Gi"}))
    found = container_resources(pod(spec, quality="Burstable"), spec, memory_capacity=8 * GIB)
    assert (found.cpu_shares, found.cpu_period_us, found.cpu_quota_us) == (256, 100_000, 150_000)
    assert (found.memory_limit, found.oom_score_adj) == (2 * GIB, 875)


def test_who_asks_for_nothing_has_no_limit_and_dies_first() -> None:
    found = container_resources(pod(), container(), memory_capacity=8 * GIB)
    assert (found.cpu_shares, found.cpu_quota_us, found.memory_limit, found.oom_score_adj) == (2, 0, 0, 1000)


def test_a_limit_alone_is_a_request_too() -> None:
    spec = container(**resources(limits={"cpu": "2"}))
    assert container_resources(pod(spec), spec, memory_capacity=GIB).cpu_shares == 2048


@pytest.mark.parametrize(
    ("quality", "memory", "priority", "score"),
    [
        ("Guaranteed", "1Gi", 0, -997),
        ("BestEffort", "0", 0, 1000),
        ("Burstable", "0", 0, 999),
        ("Burstable", "1", 0, 999),
        ("Burstable", "4Gi", 0, 500),
        ("Burstable", "8Gi", 0, 3),
        ("Burstable", "80Gi", 0, 3),
        ("BestEffort", "0", 2_000_001_000, -997),
        ("BestEffort", "0", 2_000_000_000, 1000),
    ],
)
def test_who_dies_first(quality: str, memory: str, priority: int, score: int) -> None:
    spec = container(**resources(requests={"memory": memory}))
    wanted = pod(spec, quality=quality, priority=priority)
    assert oom_score_of(wanted, spec, memory_capacity=8 * GIB) == score


def test_a_sidecar_does_not_die_before_those_it_serves() -> None:
    sidecar = container("side", restartPolicy="Always", **resources(requests={"memory": "1Gi"}))
    mains = [container(name, **resources(requests={"memory": memory})) for name, memory in (("a", "4Gi"), ("b", "2Gi"))]
    wanted = pod(*mains, quality="Burstable")
    assert oom_score_of(wanted, sidecar, memory_capacity=8 * GIB) == 750
    assert oom_score_of(wanted, mains[0], memory_capacity=8 * GIB) == 500


def test_a_pod_weighs_what_its_containers_do() -> None:
    wanted = pod(*(container(name, **resources(requests={"cpu": "500m"})) for name in "ab"))
    assert pod_resources(wanted) == Resources(cpu_shares=1024, cpu_period_us=100_000)
    assert pod_resources(pod()).cpu_shares == 2


def test_a_pod_as_a_whole_may_have_limits() -> None:
    whole = {"requests": {"cpu": "100m"}, "limits": {"cpu": "2", "memory": "64Mi"}}
    found = pod_resources(pod(container(**resources(requests={"cpu": "50m"})), resources=whole))
    assert (found.cpu_shares, found.cpu_quota_us, found.memory_limit) == (102, 200_000, 64 << 20)
