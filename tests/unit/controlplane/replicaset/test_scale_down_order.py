"""Which pods a ReplicaSet gives up first."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest
from controllers_world_objects import pod

from apiserver.api.core.pod import Pod
from apiserver.api.times import now_text
from controlplane.controllers.replicaset.order import DELETION_COST, deletion_cost, pods_to_delete
from controlplane.runtime.clock import Clock
from controlplane.runtime.pace import Pace

NOW = 1_800_000_000.0
CLOCK = Clock(wall=lambda: NOW, monotonic=lambda: 0.0)


def some_pod(
    name: str,
    *,
    node: str = "n1",
    phase: str = "Running",
    ready_s: float | None = 3600,
    age_s: float = 3600,
    restarts: int = 0,
    cost: str = "",
    ending: bool = False,
) -> Pod:
    """`ready_s`: for how long it has been ready; None: it is not."""
    conditions: list[dict[str, Any]] = [{"type": "PodScheduled", "status": "True"}]
    if ready_s is not None:
        conditions.append({"type": "Ready", "status": "True", "lastTransitionTime": now_text(lambda: NOW - ready_s)})
    containers = [{"name": "app", "ready": True, "restartCount": restarts, "image": "", "imageID": ""}]
    metadata = {
        "uid": f"uid-{name}",
        "creationTimestamp": now_text(lambda: NOW - age_s),
        "annotations": {DELETION_COST: cost} if cost else {},
    }
    if ending:
        metadata["deletionTimestamp"] = now_text(lambda: NOW)
    status = {"phase": phase, "conditions": conditions, "containerStatuses": containers}
    return pod(name, node_name=node, metadata=metadata, status=status)


def chosen(pods: list[Pod], count: int, related: list[Pod] | None = None) -> list[str]:
    pace = Pace(lambda: 0.0)
    found = asyncio.run(pods_to_delete(pods, pods if related is None else related, count, clock=CLOCK, pace=pace))
    return [each.metadata.name for each in found]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param({"node": ""}, {"phase": "Pending", "ready_s": None}, id="without a node"),
        pytest.param({"phase": "Pending", "ready_s": None}, {"phase": "Unknown", "ready_s": None}, id="pending"),
        pytest.param({"phase": "Unknown", "ready_s": None}, {"ready_s": None}, id="unknown"),
        pytest.param({"ready_s": None, "cost": "100"}, {"cost": "-100"}, id="not ready"),
        pytest.param({"cost": "-1"}, {}, id="lower cost"),
        pytest.param({"cost": "-1", "ready_s": 100000}, {"ready_s": 1}, id="cost before age"),
        pytest.param({"ready_s": 10}, {"ready_s": 10000}, id="ready for a shorter time"),
        pytest.param({"restarts": 3}, {"restarts": 1}, id="more restarts"),
        pytest.param({"age_s": 10}, {"age_s": 10000}, id="younger"),
        pytest.param({"ready_s": 10, "age_s": 99999}, {"age_s": 4000, "restarts": 9}, id="ready before restarts"),
        pytest.param({"ready_s": 4000}, {"ready_s": 4001, "restarts": 0}, id="a second is nothing: by uid"),
    ],
)
def test_of_two_pods(first: dict[str, Any], second: dict[str, Any]) -> None:
    one, other = some_pod("a", **first), some_pod("b", **second)
    assert chosen([one, other], 1, related=[]) == ["a"]
    assert chosen([other, one], 1, related=[]) == ["a"]


def test_pods_that_share_a_node_with_others_of_their_owner_go_before_lone_ones() -> None:
    pods = [some_pod("lone", node="n1", ready_s=10), some_pod("x", node="n2"), some_pod("y", node="n2")]
    assert chosen(pods, 1) == ["x"]
    assert chosen(pods, 2) == ["x", "y"]


def test_pods_of_a_sister_count_but_not_those_that_end() -> None:
    pods = [some_pod("a", node="n1"), some_pod("b", node="n2")]
    sisters = [
        some_pod("s1", node="n2"),
        some_pod("s2", node="n1", ending=True),
        some_pod("s3", node="n1", ending=True),
    ]
    assert chosen(pods, 1, related=[*pods, *sisters]) == ["b"]


def test_all_of_them_are_taken_as_they_come() -> None:
    pods = [some_pod("a"), some_pod("b", ready_s=None)]
    assert chosen(pods, 2) == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "cost"),
    [("5", 5), ("-5", -5), ("", 0), ("05", 0), ("+5", 0), ("x", 0), ("2147483648", 0), ("-2147483648", -(2**31))],
)
def test_a_cost_that_is_no_number_is_none(text: str, cost: int) -> None:
    assert deletion_cost(some_pod("a", cost=text)) == cost


def test_the_order_does_not_depend_on_where_a_pod_stands_in_the_list() -> None:
    random = Random(1)
    pods = [
        some_pod(
            f"p{number}",
            node=random.choice(["", "n1", "n2", "n3"]),
            phase=random.choice(["Pending", "Running"]),
            ready_s=random.choice([None, 1, 60, 61, 5000]),
            age_s=random.choice([10, 5000]),
            restarts=random.choice([0, 0, 2]),
            cost=random.choice(["", "1", "-1"]),
        )
        for number in range(40)
    ]
    expected = chosen(pods, 20)
    for _ in range(10):
        random.shuffle(pods)
        assert chosen(pods, 20) == expected
