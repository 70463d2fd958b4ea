"""One decision: who wins, how many nodes are looked at, and what is said when none will do."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from controllers_world_objects import node
from hypothesis import given
from hypothesis import strategies as st
from scheduler_views import HOST, View, expressions, node_affinity, pod_affinity, selector, term

from controlplane.scheduler import explain
from controlplane.scheduler.explain import Decider, Decision, message, nodes_enough
from controlplane.scheduler.filters.filter import Cycle, Filter, Refused
from controlplane.scheduler.filters.reason import FITS, Reason, Verdict
from controlplane.scheduler.filters.table import FILTERS
from controlplane.scheduler.node_info import NodeInfo
from controlplane.scheduler.pod_info import Template
from controlplane.scheduler.profile import Profile, default_profile
from controlplane.scheduler.scores.score import Score


def many(number: int, **of: Any) -> View:
    return View(*(node(f"n{index:04}", **of) for index in range(number)))


# --- who wins -----------------------------------------------------------------------------------------------


def test_the_best_node_wins() -> None:
    view = View(node("small", cpu="2"), node("large", cpu="8"), node("full", cpu="8"))
    view.place("there", "full", cpu="6")
    assert view.decide(view.pod(cpu="1")).node == "large"


def test_with_binpack_the_fullest_node_wins() -> None:
    weights = {"NodeResourcesMostAllocated": 1, "NodeResourcesLeastAllocated": 0, "NodeResourcesBalancedAllocation": 0}
    view = View(node("a", cpu="8"), node("b", cpu="8"), profile=default_profile(weights))
    view.place("there", "b", cpu="4")
    assert view.decide(view.pod(cpu="1")).node == "b"


def test_chance_decides_between_equals_and_only_between_those() -> None:
    view = many(8)
    view.place("there", "n0003", cpu="3")
    pod = view.pod()
    decider = Decider(view.snapshot, Profile(), Random(1))
    won = {decider.decide(pod).node for _ in range(200)}
    assert won == {f"n{index:04}" for index in range(8)} - {"n0003"}


def test_the_same_chance_decides_the_same() -> None:
    view = many(8)
    one, other = (Decider(view.snapshot, Profile(), Random(1)) for _ in range(2))
    assert [one.decide(view.pod()).node for _ in range(20)] == [other.decide(view.pod()).node for _ in range(20)]


def test_an_explanation_tells_the_parts_and_they_add_up() -> None:
    view = View(node("a", cpu="8"), node("b", cpu="4"), node("c", unschedulable=True))
    decision = view.decide(view.pod(cpu="1"), explain=True)
    assert decision.node == "a"
    assert set(decision.scores) == {"a", "b"}
    assert sum(decision.by_score.values()) == decision.scores["a"]
    assert set(decision.reasons) == {"c"}
    assert (decision.nodes, decision.evaluated, decision.feasible) == (3, 3, 2)


# --- how many nodes are looked at ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nodes", "percentage", "enough"),
    [
        (1, 0, 1),
        (99, 0, 99),
        (100, 0, 100),
        (150, 0, 100),
        (1000, 0, 420),
        (5000, 0, 500),
        (6000, 0, 300),
        (10_000, 0, 500),
        (1000, 5, 100),
        (1000, 30, 300),
        (1000, 100, 1000),
        (50, 10, 50),
    ],
)
def test_how_many_are_enough(nodes: int, percentage: int, enough: int) -> None:
    assert nodes_enough(nodes, percentage) == enough


def test_a_big_cluster_is_looked_through_in_turns() -> None:
    view = many(300)
    first, second, third = (view.decider.decide(view.pod()) for _ in range(3))
    assert (first.feasible, first.evaluated) == (144, 144)
    assert (second.feasible, third.feasible) == (144, 144)


def test_every_node_gets_its_turn() -> None:
    """Each decision begins where the last one stopped: else the last nodes would be last for ever."""
    view = many(300)
    won = {view.decider.decide(view.pod()).node for _ in range(600)}
    assert {int(str(name)[1:]) // 100 for name in won} == {0, 1, 2}


def test_a_full_cluster_is_looked_through_to_the_last_node() -> None:
    view = many(300, cpu="1")
    won = set()
    for number in range(300):
        pod = view.pod(f"p{number}", cpu="1")
        decision = view.decider.decide(pod)
        assert decision.node is not None
        won.add(decision.node)
        view.snapshot.add_pod(pod.on(decision.node))
    assert len(won) == 300
    assert view.decider.decide(view.pod(cpu="1")).node is None


@given(
    fitting=st.sets(st.integers(0, 399), max_size=60),
    decisions=st.integers(1, 5),
)
def test_only_nodes_that_will_do_are_found(fitting: set[int], decisions: int) -> None:
    view = View(*(node(f"n{index}", cpu="4" if index in fitting else "1") for index in range(400)))
    for _ in range(decisions):
        decision = view.decider.decide(view.pod(cpu="2"))
        assert decision.feasible == len(fitting)
        assert decision.evaluated == 400
        if fitting:
            assert decision.node in {f"n{index}" for index in fitting}
        else:
            assert decision.node is None
            assert set(decision.reasons) == {f"n{index}" for index in range(400)}


@given(
    cpus=st.lists(st.integers(1, 8), min_size=1, max_size=6),
    asked=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 3), st.booleans()), max_size=40),
)
def test_no_node_is_ever_given_more_than_it_has(cpus: list[int], asked: list[tuple[int, int, bool]]) -> None:
    view = View(*(node(f"n{index}", cpu=str(cpu), memory=f"{cpu}Gi", pods=6) for index, cpu in enumerate(cpus)))
    for number, (cpu, gigabytes, goes) in enumerate(asked):
        pod = view.pod(f"p{number}", cpu=f"{cpu}m", memory=f"{gigabytes}Gi")
        decision = view.decider.decide(pod)
        if decision.node is not None:
            view.snapshot.add_pod(pod.on(decision.node))
        if goes:
            view.snapshot.remove_pod(f"p{number // 2}")
        for info in view.snapshot.nodes:
            assert all(used <= info.allocatable[name] for name, used in info.used.items()), info


# --- what is said -------------------------------------------------------------------------------------------


def test_why_no_node_will_do_is_told_in_kubernetes_words() -> None:
    taint = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}
    view = View(node("a", taints=[taint]), node("b", cpu="1", memory="1Gi"), node("c", cpu="1"))
    assert message(view.decide(view.pod(cpu="2", memory="2Gi"))) == (
        "0/3 nodes are available: 1 Insufficient memory, "
        "1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, 2 Insufficient cpu."
    )


def test_counts_are_sorted_as_text_as_kubernetes_does() -> None:
    view = many(12)
    for index in range(10):
        view.snapshot.set_node(node(f"n{index:04}", unschedulable=True))
    assert message(view.decide(view.pod(cpu="99"))) == (
        "0/12 nodes are available: 10 node(s) were unschedulable, 2 Insufficient cpu."
    )


def test_what_is_in_the_way_on_every_node_is_told_once() -> None:
    def refuse(cycle: Cycle) -> None:
        raise Refused(Reason("Mine", "the moon is full"))

    view = View(node("a"), node("b"), profile=Profile(filters=(Filter(name="Mine", prepare=refuse),)))
    decision = view.decide(view.pod())
    assert message(decision) == "0/2 nodes are available: the moon is full."
    assert decision.all_reasons == [Reason("Mine", "the moon is full")]


def test_without_nodes_that_is_what_is_told() -> None:
    view = View()
    decision = view.decide(view.pod())
    assert decision == Decision(node=None)
    assert message(decision) == "no nodes available to schedule pods"


def test_every_node_has_a_reason_though_few_were_looked_at() -> None:
    view = many(4)
    only = node_affinity(expressions(("metadata.name", "In", ["n0001"]), fields=True))
    view.place("there", "n0001", labels={"app": "web"})
    apart = pod_affinity(term(HOST, selector(app="web")), anti=True)
    decision = view.decide(view.pod(affinity={**only, **apart}))
    assert (decision.evaluated, len(decision.reasons)) == (1, 4)
    assert message(decision) == (
        "0/4 nodes are available: 1 node(s) didn't match pod anti-affinity rules, "
        "3 node(s) didn't match Pod's node affinity/selector."
    )


# --- filters and scores of others ---------------------------------------------------------------------------

ODD = (Reason("Odd", "node(s) were odd"),)


def even(template: Template, info: NodeInfo) -> Verdict:
    return FITS if int(info.name[1:]) % 2 == 0 else ODD


def test_a_filter_of_somebody_else_is_asked_like_ours() -> None:
    profile = Profile(filters=(*Profile().filters, Filter(name="Odd", check=even, by_pods=False)))
    view = View(*(node(f"n{index}") for index in range(4)), profile=profile)
    assert view.fits(view.pod()) == {"n0", "n2"}
    assert view.decide(view.pod()).node in ("n0", "n2")
    assert message(view.decide(view.pod(cpu="9"))) == "0/4 nodes are available: 2 Insufficient cpu, 2 node(s) were odd."


def test_a_wide_filter_may_judge_node_by_node() -> None:
    def prepare(cycle: Cycle) -> Any:
        return lambda info: even(cycle.template, info)

    view = View(
        *(node(f"n{index}") for index in range(4)), profile=Profile(filters=(Filter(name="Odd", prepare=prepare),))
    )
    assert view.fits(view.pod()) == {"n0", "n2"}
    view.snapshot.remove_node("n0")
    view.snapshot.remove_node("n2")
    assert message(view.decide(view.pod())) == "0/2 nodes are available: 2 node(s) were odd."


def test_scores_of_somebody_else_count_by_their_weights() -> None:
    high = Score(name="High", weight=1, rate=lambda template, info: 10 * int(info.name[1:]))
    low = Score(name="Low", weight=5, prepare=lambda cycle, slots: [100 - 10 * slot for slot in slots])
    nodes = [node(f"n{index}") for index in range(4)]
    assert View(*nodes, profile=Profile(scores=(high,))).decide(View().pod()).node == "n3"
    view = View(*nodes, profile=Profile(scores=(high, low)))
    decision = view.decide(view.pod(), explain=True)
    assert (decision.node, decision.by_score) == ("n0", {"High": 0, "Low": 500})


@pytest.mark.parametrize("row", [Filter, Score])
def test_a_row_is_either_local_or_wide(row: Any) -> None:
    with pytest.raises(ValueError, match="Mine needs either"):
        row(name="Mine")


def test_results_are_kept_of_the_templates_that_were_decided_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explain, "TEMPLATES_MAX", 2)
    view = many(3)
    pods = [view.pod(cpu=f"{number + 1}m") for number in range(3)]
    for pod in (pods[0], pods[1], pods[0], pods[2]):
        assert view.decider.decide(pod).node is not None
    assert set(view.decider._kept) == {pods[0].template.asks, pods[2].template.asks}


def test_templates_that_ask_for_the_same_of_a_node_share_results_unless_a_local_filter_is_somebody_else_s() -> None:
    def check(template: Template, info: NodeInfo) -> Verdict:
        return (Reason("Number", "odd"),) if template.labels["number"] == "1" else ()

    theirs = Profile(filters=(*FILTERS, Filter(name="Number", check=check)))
    for profile, shared in ((Profile(), True), (theirs, False)):
        view = View(node("n0"), profile=profile)
        pods = [view.pod(labels={"number": str(number)}) for number in range(2)]
        nodes = [view.decider.decide(each).node for each in pods]
        assert nodes == ["n0", "n0" if shared else None]
        assert len(view.decider._kept) == (1 if shared else 2)
