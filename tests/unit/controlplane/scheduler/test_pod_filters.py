"""Filters that look at other pods: near, away and spread."""

from __future__ import annotations

from typing import Any

import pytest
from controllers_world_objects import node
from scheduler_views import HOST, ZONE, View, expressions, node_affinity, pod_affinity, selector, spread, term

NOT_NEAR = "node(s) didn't match pod affinity rules"
NOT_AWAY = "node(s) didn't match pod anti-affinity rules"
UNWELCOME = "node(s) didn't satisfy existing pods anti-affinity rules"
SKEWED = "node(s) didn't match pod topology spread constraints"
NO_LABEL = "node(s) didn't match pod topology spread constraints (missing required label)"
WEB, DATABASE = {"app": "web"}, {"app": "db"}


def zones(**nodes: str) -> View:
    """Nodes by name, each with its zone; "" for none."""
    return View(*(node(name, zone=zone) for name, zone in nodes.items()))


# --- near ---------------------------------------------------------------------------------------------------


def test_a_pod_that_must_be_near_another_goes_to_its_place() -> None:
    view = zones(a="z1", b="z1", c="z2", d="")
    view.place("db", "a", labels=DATABASE)
    pod = view.pod(affinity=pod_affinity(term(ZONE, selector(app="db"))))
    assert view.why(pod) == {"c": [NOT_NEAR], "d": [NOT_NEAR]}
    pod = view.pod(affinity=pod_affinity(term(HOST, selector(app="db"))))
    assert view.fits(pod) == {"a"}


def test_one_pod_must_match_all_terms() -> None:
    view = zones(a="z1", b="z2")
    view.place("one", "a", labels={"app": "db"})
    view.place("two", "a", labels={"tier": "back"})
    both = pod_affinity(term(ZONE, selector(app="db")), term(ZONE, selector(tier="back")))
    assert view.fits(view.pod(affinity=both)) == set()
    view.place("three", "b", labels={"app": "db", "tier": "back"})
    assert view.fits(view.pod(affinity=both)) == {"b"}


def test_the_first_of_a_group_may_go_wherever_the_label_is() -> None:
    view = zones(a="z1", b="z2", c="")
    pod = view.pod(labels=WEB, affinity=pod_affinity(term(ZONE, selector(app="web"))))
    assert view.fits(pod) == {"a", "b"}
    assert view.fits(view.pod(labels=DATABASE, affinity=pod_affinity(term(ZONE, selector(app="web"))))) == set()
    view.place("first", "b", labels=WEB)
    assert view.fits(pod) == {"b"}


@pytest.mark.parametrize(
    ("namespaces", "matches"),
    [
        ({}, False),
        ({"namespaces": ["other"]}, True),
        ({"namespaces": ["third"]}, False),
        ({"namespaceSelector": {}}, True),
        ({"namespaceSelector": {"matchLabels": {"team": "blue"}}}, True),
        ({"namespaceSelector": {"matchLabels": {"team": "red"}}}, False),
        ({"namespaceSelector": {"matchLabels": {"team": "red"}}, "namespaces": ["other"]}, True),
    ],
)
def test_terms_mean_the_pods_own_namespace_or_those_they_name(namespaces: dict[str, Any], matches: bool) -> None:
    view = zones(a="z1")
    view.snapshot.set_namespace("other", {"team": "blue"})
    view.place("db", "a", labels=DATABASE, namespace="other")
    pod = view.pod(affinity=pod_affinity(term(ZONE, selector(app="db"), **namespaces)))
    assert view.fits(pod) == ({"a"} if matches else set())


def test_labels_of_namespaces_may_change() -> None:
    view = zones(a="z1")
    view.place("db", "a", labels=DATABASE, namespace="other")
    team = {"namespaceSelector": {"matchLabels": {"team": "blue"}}}
    pod = view.pod(affinity=pod_affinity(term(ZONE, selector(app="db"), **team)))
    assert view.decider.decide(pod).node is None
    view.snapshot.set_namespace("other", {"team": "blue"})
    assert view.decider.decide(pod).node == "a"
    view.snapshot.remove_namespace("other")
    assert view.decider.decide(pod).node is None


def test_no_selector_means_no_pods_and_an_empty_one_all_of_the_namespace() -> None:
    view = zones(a="z1", b="z2")
    view.place("db", "a", labels=DATABASE)
    assert view.fits(view.pod(affinity=pod_affinity(term(ZONE, None)))) == set()
    assert view.fits(view.pod(affinity=pod_affinity(term(ZONE, {})))) == {"a"}


# --- away ---------------------------------------------------------------------------------------------------


def test_a_pod_stays_away_from_the_places_of_others() -> None:
    view = zones(a="z1", b="z1", c="z2", d="")
    view.place("db", "a", labels=DATABASE)
    pod = view.pod(affinity=pod_affinity(term(ZONE, selector(app="db")), anti=True))
    assert view.why(pod) == {"a": [NOT_AWAY], "b": [NOT_AWAY]}
    pod = view.pod(affinity=pod_affinity(term(HOST, selector(app="db")), anti=True))
    assert view.why(pod) == {"a": [NOT_AWAY]}


def test_each_term_of_anti_affinity_keeps_away_by_itself() -> None:
    view = zones(a="z1", b="z2", c="z3")
    view.place("one", "a", labels={"app": "db"})
    view.place("two", "b", labels={"tier": "back"})
    both = pod_affinity(term(ZONE, selector(app="db")), term(ZONE, selector(tier="back")), anti=True)
    assert view.fits(view.pod(affinity=both)) == {"c"}


def test_those_that_are_there_keep_others_away() -> None:
    view = zones(a="z1", b="z1", c="z2")
    lonely = pod_affinity(term(ZONE, selector(app="web")), anti=True)
    view.place("lonely", "a", labels=DATABASE, affinity=lonely)
    assert view.why(view.pod(labels=WEB)) == {"a": [UNWELCOME], "b": [UNWELCOME]}
    assert view.fits(view.pod(labels=DATABASE)) == {"a", "b", "c"}
    assert view.fits(view.pod(labels=WEB, namespace="other")) == {"a", "b", "c"}


def test_they_no_longer_do_when_they_are_gone() -> None:
    view = zones(a="z1")
    affinity = pod_affinity(term(HOST, selector(app="web")), anti=True)
    there = view.place("there", "a", labels=WEB, affinity=affinity)
    twin = view.place("twin", "a", labels=WEB, affinity=affinity)
    pod = view.pod(labels=WEB)
    assert view.decider.decide(pod).node is None
    view.snapshot.remove_pod(there.uid)
    assert view.decider.decide(pod).node is None
    view.snapshot.remove_pod(twin.uid)
    assert view.decider.decide(pod).node == "a"


def test_pods_of_one_group_that_repel_each_other_go_one_to_a_node() -> None:
    view = View(*(node(f"n{number}") for number in range(3)))
    affinity = pod_affinity(term(HOST, selector(app="web")), anti=True)
    for number in range(3):
        pod = view.pod(f"web-{number}", labels=WEB, affinity=affinity)
        decision = view.decider.decide(pod)
        assert decision.node is not None
        view.snapshot.add_pod(pod.on(decision.node))
    assert {len(info.pods) for info in view.snapshot.nodes} == {1}
    assert view.decider.decide(view.pod("web-3", labels=WEB, affinity=affinity)).node is None


def test_a_pod_that_is_being_deleted_still_keeps_its_place() -> None:
    view = zones(a="z1")
    view.place("db", "a", labels=DATABASE, metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    assert view.fits(view.pod(affinity=pod_affinity(term(HOST, selector(app="db")), anti=True))) == set()


# --- spread -------------------------------------------------------------------------------------------------


def spread_over(*constraints: dict[str, Any], labels: dict[str, str] | None = None, **of: Any) -> dict[str, Any]:
    return {"labels": labels if labels is not None else WEB, "topologySpreadConstraints": list(constraints), **of}


@pytest.mark.parametrize(
    ("skew", "there", "fits"),
    [
        (1, "", {"a", "b", "c"}),
        (1, "a", {"b", "c"}),
        (1, "ab", {"c"}),
        (1, "abc", {"a", "b", "c"}),
        (2, "a", {"a", "b", "c"}),
        (2, "aa", {"b", "c"}),
        (3, "aab", {"a", "b", "c"}),
        (1, "aaabbc", {"c"}),
    ],
)
def test_no_place_gets_far_more_than_the_emptiest(skew: int, there: str, fits: set[str]) -> None:
    view = zones(a="z1", b="z2", c="z3")
    for number, name in enumerate(there):
        view.place(f"web-{number}", name, labels=WEB)
    assert view.fits(view.pod(**spread_over(spread(ZONE, selector(app="web"), skew=skew)))) == fits


def test_a_pod_that_its_constraint_does_not_count_adds_nothing() -> None:
    view = zones(a="z1", b="z2")
    view.place("web", "a", labels=WEB)
    assert view.fits(view.pod(**spread_over(spread(ZONE, selector(app="web")), labels=DATABASE))) == {"a", "b"}


def test_a_node_without_the_label_is_none() -> None:
    view = zones(a="z1", b="")
    assert view.why(view.pod(**spread_over(spread(ZONE, selector(app="web"))))) == {"b": [NO_LABEL]}


def test_a_node_counts_only_when_it_has_the_labels_of_all_constraints() -> None:
    view = View(node("a", zone="z1"), node("b", zone="z2"), node("c", labels={"rack": "1"}, zone="z1"))
    pod = view.pod(**spread_over(spread(ZONE, selector(app="web")), spread("rack", selector(app="web"))))
    view.place("web", "a", labels=WEB)
    assert view.why(pod) == {"a": [NO_LABEL], "b": [NO_LABEL]}


def test_pods_of_other_namespaces_and_those_being_deleted_do_not_count() -> None:
    view = zones(a="z1", b="z2")
    view.place("other", "a", labels=WEB, namespace="other")
    view.place("going", "a", labels=WEB, metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    pod = view.pod(**spread_over(spread(ZONE, selector(app="web"))))
    assert view.fits(pod) == {"a", "b"}
    view.place("web", "a", labels=WEB)
    assert view.fits(pod) == {"b"}


def test_with_fewer_places_than_wanted_the_emptiest_counts_as_empty() -> None:
    view = zones(a="z1", b="z2")
    for name in ("a", "b"):
        view.place(f"web-{name}", name, labels=WEB)
    assert view.fits(view.pod(**spread_over(spread(ZONE, selector(app="web"), minDomains=2)))) == {"a", "b"}
    assert view.fits(view.pod(**spread_over(spread(ZONE, selector(app="web"), minDomains=3)))) == set()


def test_places_the_pod_may_not_go_to_do_not_count_unless_they_shall() -> None:
    view = View(node("a", zone="z1", labels={"pool": "x"}), node("b", zone="z2"))
    view.place("web", "a", labels=WEB)
    there = {"nodeSelector": {"pool": "x"}}
    assert view.fits(view.pod(**spread_over(spread(ZONE, selector(app="web")), **there))) == {"a"}
    ignoring = spread(ZONE, selector(app="web"), nodeAffinityPolicy="Ignore")
    assert view.fits(view.pod(**spread_over(ignoring, **there))) == set()
    terms = {"affinity": node_affinity(expressions(("pool", "Exists", [])))}
    assert view.fits(view.pod(**spread_over(spread(ZONE, selector(app="web")), **terms))) == {"a"}


def test_tainted_places_count_unless_they_shall_not() -> None:
    taint = {"key": "down", "effect": "NoSchedule"}
    view = View(node("a", zone="z1"), node("b", zone="z2", taints=[taint]))
    view.place("web", "a", labels=WEB)
    assert view.fits(view.pod(**spread_over(spread(ZONE, selector(app="web"))))) == set()
    honoring = spread(ZONE, selector(app="web"), nodeTaintsPolicy="Honor")
    assert view.fits(view.pod(**spread_over(honoring))) == {"a"}
    tolerations = [{"key": "down", "operator": "Exists"}]
    assert view.fits(view.pod(**spread_over(honoring, tolerations=tolerations))) == {"b"}


def test_match_label_keys_count_only_pods_of_the_same_revision() -> None:
    view = zones(a="z1", b="z2")
    view.place("old", "a", labels={**WEB, "revision": "1"})
    constraint = spread(ZONE, selector(app="web"), matchLabelKeys=["revision"])
    assert view.fits(view.pod(**spread_over(constraint, labels={**WEB, "revision": "1"}))) == {"b"}
    assert view.fits(view.pod(**spread_over(constraint, labels={**WEB, "revision": "2"}))) == {"a", "b"}


def test_counts_follow_nodes_that_come_go_and_change_their_place() -> None:
    view = zones(a="z1", b="z2")
    view.place("web", "a", labels=WEB)
    pod = view.pod(**spread_over(spread(ZONE, selector(app="web"))))
    decide = view.decider.decide
    assert decide(pod).node == "b"
    view.snapshot.remove_node("b")
    assert decide(pod).node == "a"
    view.snapshot.set_node(node("b", zone="z1"))
    assert decide(pod).feasible == 2
    view.snapshot.set_node(node("b", zone="z2"))
    assert decide(pod).node == "b"
