"""Scores: who is better by how much, in Kubernetes' numbers."""

from __future__ import annotations

from math import log
from typing import Any

import pytest
from controllers_world_objects import node
from scheduler_views import HOST, ZONE, View, expressions, pod_affinity, pod_wishes, selector, spread, term

from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.profile import Profile
from controlplane.scheduler.scores import resources
from controlplane.scheduler.scores.score import Scale, Score, scaled
from controlplane.scheduler.scores.table import SCORES

WEB, DATABASE = {"app": "web"}, {"app": "db"}
MIB = 1024 * 1024


def scored(view: View, pod: PodInfo, name: str) -> dict[str, int]:
    """What one score alone, with the weight 1, gives each node that will do."""
    (score,) = (each for each in SCORES if each.name == name)
    only = Score(**{**{key: getattr(score, key) for key in score.__struct_fields__}, "weight": 1})
    alone = View(profile=Profile(scores=(only,)))
    alone.snapshot = view.snapshot
    return dict(alone.decide(pod, explain=True).scores)


def test_the_weights_are_kubernetes_own() -> None:
    assert {score.name: score.weight for score in SCORES} == {
        "TaintToleration": 3,
        "NodeAffinity": 2,
        "PodTopologySpread": 2,
        "InterPodAffinity": 2,
        "NodeResourcesLeastAllocated": 1,
        "NodeResourcesMostAllocated": 0,
        "NodeResourcesBalancedAllocation": 1,
        "ImageLocality": 1,
    }


@pytest.mark.parametrize(
    ("used", "asked", "least", "most"),
    [
        (("", ""), ("1", "2Gi"), 75, 25),
        (("1", "2Gi"), ("1", "2Gi"), 50, 50),
        (("1", "0"), ("1", "4Gi"), 50, 50),
        (("3", "6Gi"), ("1", "2Gi"), 0, 100),
        (("0", "0"), ("3", "1Gi"), 56, 43),
    ],
)
def test_emptier_is_better_or_fuller_is(used: tuple[str, str], asked: tuple[str, str], least: int, most: int) -> None:
    view = View(node("n1", cpu="4", memory="8Gi"))
    if used != ("", ""):
        view.place("there", "n1", cpu=used[0], memory=used[1])
    pod = view.pod(cpu=asked[0], memory=asked[1])
    assert scored(view, pod, resources.LEAST) == {"n1": least}
    assert scored(view, pod, resources.MOST) == {"n1": most}


def test_who_asks_for_nothing_counts_for_a_little() -> None:
    """100m and 200 MiB: (4000 - 100) * 100 // 4000 = 97, (8192 - 200) * 100 // 8192 = 97."""
    view = View(node("n1", cpu="4", memory="8Gi"))
    view.place("there", "n1", cpu="", memory="")
    assert scored(view, view.pod(cpu="0", memory="0"), resources.LEAST) == {"n1": 97}
    assert scored(view, view.pod(cpu="", memory=""), resources.LEAST) == {"n1": 95}


def test_what_a_node_has_none_of_does_not_count() -> None:
    bare = node("n1", cpu="4", memory="0")
    view = View(bare)
    assert scored(view, view.pod(cpu="1", memory=""), resources.LEAST) == {"n1": 75}
    assert scored(view, view.pod(cpu="1", memory=""), resources.BALANCED) == {"n1": 100}


@pytest.mark.parametrize(
    ("asked", "balance"),
    [(("2", "4Gi"), 100), (("4", "0"), 50), (("2", "2Gi"), 87), (("1", "8Gi"), 62), (("1", "6Gi"), 75)],
)
def test_evenly_filled_is_better(asked: tuple[str, str], balance: int) -> None:
    view = View(node("n1", cpu="4", memory="8Gi"))
    assert scored(view, view.pod(cpu=asked[0], memory=asked[1]), resources.BALANCED) == {"n1": balance}


def test_the_balance_is_of_no_interest_to_who_asks_for_nothing() -> None:
    view = View(node("n1", cpu="4", memory="8Gi"), node("n2", cpu="4", memory="8Gi"))
    view.place("there", "n1", cpu="4", memory="0")
    assert scored(view, view.pod(cpu="", memory=""), resources.BALANCED) == {"n1": 0, "n2": 0}


@pytest.mark.parametrize(
    ("numbers", "scale", "scores"),
    [
        ([3, 6, 0], Scale.MORE_IS_BETTER, [50, 100, 0]),
        ([0, 0], Scale.MORE_IS_BETTER, [0, 0]),
        ([3, 6, 0], Scale.FEWER_IS_BETTER, [50, 0, 100]),
        ([0, 0], Scale.FEWER_IS_BETTER, [100, 100]),
        ([1, 3], Scale.FEWER_IS_BETTER, [67, 0]),
        ([7, 8], Scale.SCALED, [7, 8]),
        ([], Scale.MORE_IS_BETTER, []),
    ],
)
def test_numbers_become_shares_of_the_largest(numbers: list[int], scale: Scale, scores: list[int]) -> None:
    assert scaled(numbers, scale) == scores


def test_fewer_untolerated_wishes_to_stay_away_are_better() -> None:
    def soft(*keys: str) -> list[dict[str, str]]:
        return [{"key": key, "effect": "PreferNoSchedule"} for key in keys]

    view = View(node("none"), node("one", taints=soft("a")), node("two", taints=soft("a", "b")))
    assert scored(view, view.pod(), "TaintToleration") == {"none": 100, "one": 50, "two": 0}
    tolerant = view.pod(tolerations=[{"key": "a", "operator": "Exists", "effect": "PreferNoSchedule"}])
    assert scored(view, tolerant, "TaintToleration") == {"none": 100, "one": 100, "two": 0}
    other = view.pod(tolerations=[{"key": "a", "operator": "Exists", "effect": "NoSchedule"}])
    assert scored(view, other, "TaintToleration") == {"none": 100, "one": 50, "two": 0}


def test_nodes_that_are_wished_for_are_better_by_the_weights_they_meet() -> None:
    view = View(node("a", labels={"x": "1"}), node("b", labels={"x": "1", "y": "1"}), node("c"))
    wanted = [
        {"weight": 20, "preference": expressions(("x", "Exists", []))},
        {"weight": 60, "preference": expressions(("y", "Exists", []))},
        {"weight": 99, "preference": {}},
    ]
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": wanted}}
    assert scored(view, view.pod(affinity=affinity), "NodeAffinity") == {"a": 25, "b": 100, "c": 0}


# --- images -------------------------------------------------------------------------------------------------


def with_images(name: str, **sizes: int) -> Any:
    made = node(name)
    made.status.images = [type_of_image(f"{image}:1", size) for image, size in sizes.items()]
    return made


def type_of_image(name: str, size: int) -> Any:
    from apiserver.api.core.node import ContainerImage

    return ContainerImage(names=[name], size_bytes=size)


@pytest.mark.parametrize(
    ("sizes", "scores"),
    [
        ((500 * MIB, 0), (23, 0)),  # on half of the nodes: 250 MiB count; 100 * (250 - 23) / (1000 - 23)
        ((500 * MIB, 500 * MIB), (48, 48)),
        ((4000 * MIB, 0), (100, 0)),
        ((40 * MIB, 0), (0, 0)),
    ],
)
def test_images_that_are_there_count_by_size(sizes: tuple[int, int], scores: tuple[int, int]) -> None:
    nodes = [with_images(name, **({"app": size} if size else {})) for name, size in zip("ab", sizes, strict=True)]
    view = View(*nodes)
    assert scored(view, view.pod(image="app:1"), "ImageLocality") == dict(zip("ab", scores, strict=True))
    assert scored(view, view.pod(image="other:1"), "ImageLocality") == {"a": 0, "b": 0}


def test_an_image_without_a_tag_is_the_latest() -> None:
    latest = node("a")
    latest.status.images = [type_of_image("registry:5000/app:latest", 1000 * MIB)]
    view = View(latest)
    assert scored(view, view.pod(image="registry:5000/app"), "ImageLocality") == {"a": 100}


def test_images_of_a_node_that_is_gone_count_no_more() -> None:
    view = View(with_images("a", app=1000 * MIB), with_images("b", app=1000 * MIB))
    pod = view.pod(image="app:1")
    assert scored(view, pod, "ImageLocality") == {"a": 100, "b": 100}
    view.snapshot.set_node(node("b"))
    assert scored(view, pod, "ImageLocality") == {"a": 48, "b": 0}
    view.snapshot.remove_node("a")
    assert scored(view, pod, "ImageLocality") == {"b": 0}


# --- pods ---------------------------------------------------------------------------------------------------


def zones(**nodes: str) -> View:
    return View(*(node(name, zone=zone) for name, zone in nodes.items()))


def test_wishes_to_be_near_and_away_are_weighed() -> None:
    view = zones(a="z1", b="z1", c="z2", d="z3")
    view.place("db", "a", labels=DATABASE)
    view.place("web", "c", labels=WEB)
    near = pod_wishes((10, term(ZONE, selector(app="db"))))
    away = pod_wishes((10, term(ZONE, selector(app="web"))), anti=True)
    both = scored(view, view.pod(affinity={**near, **away}), "InterPodAffinity")
    assert both == {"a": 100, "b": 100, "c": 0, "d": 50}


def test_several_pods_and_wishes_add_up() -> None:
    view = zones(a="z1", b="z2", c="z3")
    for number in range(3):
        view.place(f"db-{number}", "a", labels=DATABASE)
    view.place("web", "b", labels=WEB)
    wishes = pod_wishes((10, term(ZONE, selector(app="db"))), (60, term(HOST, selector(app="web"))))
    assert scored(view, view.pod(affinity=wishes), "InterPodAffinity") == {"a": 50, "b": 100, "c": 0}


def test_what_those_that_are_there_wish_counts_too() -> None:
    view = zones(a="z1", b="z2", c="z3")
    view.place("friend", "a", affinity=pod_wishes((30, term(ZONE, selector(app="web")))))
    view.place("foe", "b", affinity=pod_wishes((30, term(ZONE, selector(app="web"))), anti=True))
    assert scored(view, view.pod(labels=WEB), "InterPodAffinity") == {"a": 100, "b": 0, "c": 50}
    assert scored(view, view.pod(labels=DATABASE), "InterPodAffinity") == {"a": 0, "b": 0, "c": 0}


def test_what_they_demand_counts_a_little() -> None:
    view = zones(a="z1", b="z2")
    view.place("web", "a", labels=WEB, affinity=pod_affinity(term(ZONE, selector(app="web"))))
    view.place("friend", "b", affinity=pod_wishes((4, term(ZONE, selector(app="web")))))
    view.place("foe", "b", affinity=pod_wishes((1, term(ZONE, selector(app="web"))), anti=True))
    assert scored(view, view.pod(labels=WEB), "InterPodAffinity") == {"a": 0, "b": 100}
    assert view.decide(view.pod(labels=WEB)).node == "b"


def test_places_with_fewer_of_the_counted_pods_are_better() -> None:
    view = zones(a="z1", b="z2", c="z3")
    for number, name in enumerate("aab"):
        view.place(f"web-{number}", name, labels=WEB)
    pod = view.pod(labels=WEB, topologySpreadConstraints=[spread(ZONE, selector(app="web"), hard=False)])
    two, one = round(2 * log(5)), round(log(5))
    assert scored(view, pod, "PodTopologySpread") == {
        "a": 100 * (two - two) // two,
        "b": 100 * (two - one) // two,
        "c": 100,
    }


def test_a_node_without_the_labels_of_the_constraints_gets_nothing() -> None:
    view = zones(a="z1", b="")
    pod = view.pod(labels=WEB, topologySpreadConstraints=[spread(ZONE, selector(app="web"), hard=False)])
    assert scored(view, pod, "PodTopologySpread") == {"a": 100, "b": 0}
    view.place("web", "a", labels=WEB)
    assert scored(view, pod, "PodTopologySpread") == {"a": 100, "b": 0}


def owned(uid: str) -> dict[str, Any]:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": uid, "controller": True}
    return {"ownerReferences": [owner]}


def test_pods_of_one_controller_are_spread_by_themselves() -> None:
    view = zones(a="z1", b="z1", c="z2")
    view.place("one", "a", metadata=owned("1"))
    pod = view.pod(metadata=owned("1"))
    scores = scored(view, pod, "PodTopologySpread")
    assert scores["a"] < scores["b"] < scores["c"] == 100
    assert set(scored(view, view.pod(metadata=owned("2")), "PodTopologySpread").values()) == {0}
    assert set(scored(view, view.pod(), "PodTopologySpread").values()) == {0}


def test_they_are_spread_over_nodes_without_zones_too() -> None:
    view = zones(a="", b="", c="z2")
    view.place("one", "a", metadata=owned("1"))
    scores = scored(view, view.pod(metadata=owned("1")), "PodTopologySpread")
    least, most = 2, round(log(5) + 2)  # a part for the zone has only the node that is in one
    assert scores == {"a": 100 * (6 + least - most) // 6, "b": 100, "c": 100 * (6 + least - 6) // 6}
