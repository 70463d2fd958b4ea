"""The snapshot after any changes is the one made anew from what there is; so is what is decided on it."""

from __future__ import annotations

import gc
from random import Random
from typing import Any, NamedTuple

import pytest
from controllers_world_objects import node
from hypothesis import given, settings
from hypothesis import strategies as st
from scheduler_views import HOST, ZONE, View, pod_affinity, pod_wishes, selector, spread, term

from apiserver.api.core.node import ContainerImage, Node
from controlplane.scheduler import snapshot as snapshot_module
from controlplane.scheduler.explain import Decider
from controlplane.scheduler.node_info import NodeInfo
from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.profile import Profile
from controlplane.scheduler.snapshot import Snapshot

NODES, PODS, NAMESPACES = 4, 8, ("default", "other", "third")
WEB, DATABASE = {"app": "web"}, {"app": "db"}
BLUE = {"namespaceSelector": {"matchLabels": {"team": "blue"}}}
#: What pods ask for, one way of asking each.
SPECS: tuple[dict[str, Any], ...] = (
    {},
    {"cpu": "2", "labels": WEB},
    {"labels": DATABASE, "nodeSelector": {"disk": "ssd"}},
    {"labels": WEB, "affinity": pod_affinity(term(HOST, selector(app="web")), anti=True)},
    {"labels": WEB, "affinity": pod_affinity(term(ZONE, selector(app="db")))},
    {"labels": DATABASE, "affinity": pod_affinity(term(ZONE, selector(app="web"), **BLUE), anti=True)},
    {"labels": WEB, "affinity": pod_wishes((10, term(ZONE, selector(app="db"))), (5, term(HOST, {}, **BLUE)))},
    {"labels": DATABASE, "affinity": pod_wishes((7, term(ZONE, selector(app="web"))), anti=True)},
    {"labels": WEB, "topologySpreadConstraints": [spread(ZONE, selector(app="web"))]},
    {
        "labels": WEB,
        "nodeSelector": {"disk": "ssd"},
        "topologySpreadConstraints": [
            spread(HOST, selector(app="web"), skew=2, nodeTaintsPolicy="Honor"),
            spread(ZONE, selector(app="db"), minDomains=2),
        ],
    },
    {"labels": DATABASE, "topologySpreadConstraints": [spread(ZONE, selector(app="db"), hard=False)]},
    {
        "metadata": {
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "X", "name": "x", "uid": "x", "controller": True}]
        }
    },
    {"containers": [{"name": "a", "image": "app:1", "ports": [{"hostPort": 80, "containerPort": 80}]}]},
)


class Step(NamedTuple):
    """`which` node, pod or namespace; `spec` of a pod; `how` it is. After it a decision is made for `asked`."""

    what: str
    which: int
    spec: int
    how: int
    asked: int


WHAT = st.sampled_from(("node", "node", "no node", "pod", "pod", "pod", "pod", "no pod", "namespace", "no namespace"))
KINDS = st.integers(0, len(SPECS) - 1)
#: Those that count others most.
ASKED = st.one_of(st.sampled_from((1, 6, 8, 9)), KINDS)
STEP = st.builds(
    Step,
    WHAT,
    st.integers(0, PODS - 1),
    st.one_of(KINDS, KINDS.map(lambda kind: kind + len(SPECS))),
    st.integers(0, 15),
    ASKED,
)
STEPS = st.lists(STEP, min_size=1, max_size=60)


def made_node(name: str, kind: int) -> Node:
    """One of 16 shapes."""
    taints = [{"key": "soft", "effect": "PreferNoSchedule"}] if kind & 1 else []
    taints += [{"key": "hard", "effect": "NoSchedule"}] if kind & 2 else []
    made = node(
        name, cpu="4", zone=("z1", "z2", "", "z1")[kind >> 2], labels={"disk": "ssd"} if kind & 4 else {}, taints=taints
    )
    if kind & 8:
        made.status.images = [ContainerImage(names=["app:1"], size_bytes=500 * 1024 * 1024)]
    return made


class Model:
    """What there is, plainly; and beside it the snapshot that is changed bit by bit."""

    def __init__(self) -> None:
        self.view = View()
        self.nodes: dict[str, Node] = {}
        self.pods: dict[str, PodInfo] = {}
        self.namespaces: dict[str, dict[str, str]] = {"default": {}}

    def do(self, step: Step) -> None:
        snapshot, name = self.view.snapshot, f"n{step.which % NODES}"
        pod, namespace = f"p{step.which}", NAMESPACES[step.which % 3]
        if step.what == "node":
            self.nodes[name] = made_node(name, step.how)
            snapshot.set_node(self.nodes[name])
        elif step.what == "no node":
            self.nodes.pop(name, None)
            snapshot.remove_node(name)
        elif step.what == "namespace":
            self.namespaces[namespace] = {"team": "blue"} if step.how % 2 else {}
            snapshot.set_namespace(namespace, self.namespaces[namespace])
        elif step.what == "no namespace":
            self.namespaces.pop(namespace, None)
            snapshot.remove_namespace(namespace)
        elif step.what == "no pod":
            self.pods.pop(pod, None)
            snapshot.remove_pod(pod)
        else:
            self.pods[pod] = self.pod(pod, step.spec, on=f"n{step.how % NODES}", ends=step.how > 7)
            snapshot.add_pod(self.pods[pod])

    def pod(self, name: str, spec: int, on: str = "", *, ends: bool = False) -> PodInfo:
        """The last of the specs are in another namespace."""
        fields = dict(SPECS[spec % len(SPECS)])
        metadata = {**fields.pop("metadata", {})}
        if ends:
            metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        namespace = NAMESPACES[spec // len(SPECS)]
        return self.view.pod(name, namespace=namespace, node_name=on, metadata=metadata, **fields)

    def anew(self) -> Snapshot:
        snapshot = Snapshot()
        for pod in self.pods.values():
            snapshot.add_pod(pod)
        for made in self.nodes.values():
            snapshot.set_node(made)
        for name, labels in self.namespaces.items():
            snapshot.set_namespace(name, labels)
        return snapshot


def described(info: NodeInfo) -> dict[str, Any]:
    left_out = {"generation", "object_generation", "slot", "used"}
    used = {name: number for name, number in info.used.items() if number}
    return {name: getattr(info, name) for name in NodeInfo.__slots__ if name not in left_out} | {"used": used}


def assert_same(kept: Snapshot, anew: Snapshot, asked: PodInfo) -> None:
    assert {info.name: described(info) for info in kept.nodes} == {info.name: described(info) for info in anew.nodes}
    assert [info.slot for info in kept.nodes] == list(range(len(kept.nodes)))
    assert kept.names == [info.name for info in kept.nodes]
    assert kept.generations == [info.generation for info in kept.nodes]
    assert len(set(kept.generations)) == len(kept.nodes)
    assert (kept.pods, kept.image_nodes) == (anew.pods, anew.image_nodes)
    assert kept.nodes_wishing_away == anew.nodes_wishing_away
    for label in (ZONE, HOST, "disk"):
        assert dict(zip(kept.names, kept.column(label), strict=True)) == dict(
            zip(anew.names, anew.column(label), strict=True)
        )
    assert set(kept.heeded(asked.template)) == set(anew.heeded(asked.template))
    for key in list(kept._tallies):
        one, other = kept.tally(key), anew.tally(key)
        assert (one.counts, one.on_node) == (other.counts, other.on_node), key
        assert (one.places.values, one.places.domains, one.least) == (
            other.places.values,
            other.places.domains,
            other.least,
        )


@given(steps=STEPS)
def test_a_snapshot_changed_bit_by_bit_equals_one_made_anew(steps: list[Step]) -> None:
    model = Model()
    for step in steps:
        model.do(step)
        asked = model.pod("asked", step.asked)
        model.view.decider.decide(asked)  # makes tallies, which must be kept from now on
        assert_same(model.view.snapshot, model.anew(), asked)


@given(steps=STEPS)
def test_a_decision_with_what_was_kept_equals_one_without(steps: list[Step]) -> None:
    model = Model()
    for step in steps:
        model.do(step)
        asked = model.pod("asked", step.asked)
        kept, told = model.view.decider.decide(asked), model.view.decider.decide(asked, explain=True)
        fresh = Decider(model.anew(), Profile(), Random(0))
        plain, explained = fresh.decide(asked), fresh.decide(asked, explain=True)
        assert told == explained
        assert (kept.reasons, kept.feasible, kept.evaluated) == (plain.reasons, plain.feasible, plain.evaluated)
        assert (kept.node is None) == (explained.node is None)
        if kept.node is not None:
            assert explained.scores[kept.node] == max(explained.scores.values())
        else:
            first = {name: verdict[:1] for name, verdict in explained.reasons.items()}
            assert {name: verdict[:1] for name, verdict in kept.reasons.items()} == first


@given(steps=STEPS, limit=st.integers(1, 4))
@settings(max_examples=20)
def test_counts_that_were_dropped_are_made_anew(steps: list[Step], limit: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshot_module, "TALLIES_MAX", limit)
        patch.setattr(snapshot_module, "COLUMNS_MAX", 1)
        model = Model()
        for step in steps:
            model.do(step)
            asked = model.pod("asked", step.asked)
            model.view.decider.decide(asked)
            assert len(model.view.snapshot._tallies) <= limit
            assert_same(model.view.snapshot, model.anew(), asked)


def test_a_change_that_nobody_counts_throws_no_result_away() -> None:
    view = View(node("n1"))
    there = view.place("there", "n1")
    before = list(view.snapshot.generations)
    view.snapshot.add_pod(view.pod("there", node_name="n1", status={"phase": "Running"}))
    assert view.snapshot.generations == before
    assert view.snapshot.pod("there") != there
    view.place("there", "n1", labels={"new": "label"})
    assert view.snapshot.generations != before


def test_pods_of_a_node_that_is_not_known_count_once_it_is() -> None:
    view = View(node("n1"))
    view.place("early", "n2", cpu="3")
    assert view.snapshot.node("n2") is None
    assert view.decide(view.pod(cpu="2")).node == "n1"
    view.snapshot.set_node(node("n2", cpu="4"))
    assert view.why(view.pod(cpu="2")) == {"n2": ["Insufficient cpu"]}
    view.snapshot.remove_node("n2")
    assert view.snapshot.node("n2") is None
    view.snapshot.remove_pod("early")
    view.snapshot.set_node(node("n2", cpu="4"))
    assert view.fits(view.pod(cpu="2")) == {"n1", "n2"}


def test_a_node_that_cannot_be_read_changes_nothing() -> None:
    view = View(node("n1", cpu="4", zone="z1"))
    broken = node("n1", cpu="four", zone="z2", taints=[{"key": "soft", "effect": "PreferNoSchedule"}])
    with pytest.raises(ValueError, match="quantities must match"):
        view.snapshot.set_node(broken)
    unknown = node("n2", cpu="four")
    with pytest.raises(ValueError, match="quantities must match"):
        view.snapshot.set_node(unknown)
    assert [(info.name, info.allocatable["cpu"], info.labels[ZONE]) for info in view.snapshot.nodes] == [
        ("n1", 4000, "z1")
    ]
    (info,) = view.snapshot.nodes
    assert info.node is not None
    assert info.node.status.allocatable["cpu"] == "4"
    assert view.snapshot.nodes_wishing_away == 0


# --- each by itself: what a random walk may take long to find -----------------------------------------------


def test_terms_of_pods_that_are_gone_are_heeded_no_more() -> None:
    view = View(node("n1"))
    view.place("lonely", "n1", affinity=pod_affinity(term(HOST, selector(app="web")), anti=True))
    asked = view.pod(labels=WEB).template
    assert len(view.snapshot.heeded(asked)) == 1
    view.snapshot.remove_pod("lonely")
    assert view.snapshot.heeded(asked) == ()


def test_what_a_template_heeds_is_forgotten_with_it() -> None:
    view = View(node("n1"))
    view.snapshot.heeded(view.pod(labels=WEB).template)
    gc.collect()
    assert len(view.infos.templates) == 0


def test_terms_of_pods_that_are_there_heed_the_labels_namespaces_have_now() -> None:
    view = View(node("n1"))
    view.place("lonely", "n1", affinity=pod_affinity(term(HOST, selector(app="web"), **BLUE), anti=True))
    asked = view.pod(labels=WEB)
    assert view.decider.decide(asked).node == "n1"
    view.snapshot.set_namespace("default", {"team": "blue"})
    assert view.decider.decide(asked).node is None
    view.snapshot.remove_namespace("default")
    assert view.decider.decide(asked).node == "n1"


def test_a_pod_that_begins_to_end_counts_no_more_where_the_living_are_counted() -> None:
    view = View(node("a", zone="z1"), node("b", zone="z2"))
    asked = view.pod(labels=WEB, topologySpreadConstraints=[spread(ZONE, selector(app="web"))])
    view.place("web", "a", labels=WEB)
    assert view.decider.decide(asked).feasible == 1
    view.place("web", "a", labels=WEB, metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    assert view.decider.decide(asked).feasible == 2


def test_a_new_taint_alone_takes_a_node_out_of_the_counts_that_heed_taints() -> None:
    view = View(node("a", zone="z1"), node("b", zone="z2"))
    view.place("web", "a", labels=WEB)
    honoring = spread(ZONE, selector(app="web"), nodeTaintsPolicy="Honor")
    asked = view.pod(labels=WEB, topologySpreadConstraints=[honoring])
    assert view.decider.decide(asked).node == "b"
    view.snapshot.set_node(node("b", zone="z2", taints=[{"key": "hard", "effect": "NoSchedule"}]))
    assert view.decider.decide(asked).node == "a"
