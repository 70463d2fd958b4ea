"""Which waiting pods an event may help: never too few, and few too many."""

from __future__ import annotations

from typing import Any

import pytest
from controllers_world_objects import node, pod
from scheduler_objects import Infos

from controlplane.scheduler.filters.reason import Reason, Remedy
from controlplane.scheduler.hints import ClusterEvent, Hints, Weighing, hints_of
from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.profile import Profile
from controlplane.scheduler.snapshot import Snapshot

FIT, TAINTS, PORTS = "NodeResourcesFit", "TaintToleration", "NodePorts"
AFFINITY, SPREAD, VOLUMES = "InterPodAffinity", "PodTopologySpread", "VolumeBinding"


class Bench:
    def __init__(self) -> None:
        self.info = Infos()
        self.snapshot = Snapshot()
        profile = Profile()
        self.weighing = Weighing(profile.local_checks, profile.wide_filters, self.snapshot.namespaces)

    def fill(self, name: str, on: str, **of: Any) -> PodInfo:
        info = self.info(name, node_name=on, **of)
        self.snapshot.add_pod(info)
        return info

    def helps(self, waiting: PodInfo, hints: Hints, kind: Remedy, *, on: str = "", pod: PodInfo | None = None) -> bool:
        event = ClusterEvent(kind=kind, node=self.snapshot.node(on) if on else None, pod=pod)
        return self.weighing.helps(waiting, hints, event)


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.snapshot.set_node(node("n1", cpu="2"))
    return bench


def because(name: str, *remedies: Remedy) -> Hints:
    return hints_of([Reason(name, "why", frozenset(remedies))])


def test_an_event_that_is_no_remedy_never_helps(bench: Bench) -> None:
    assert not bench.helps(bench.info("a"), because(FIT, Remedy.POD_DELETE), Remedy.NODE_ADD, on="n1")


def test_a_deleted_pod_helps_when_its_node_has_room_now(bench: Bench) -> None:
    hints = because(FIT, Remedy.POD_DELETE)
    gone = bench.fill("big", "n1", cpu="2")
    assert not bench.helps(bench.info("a", cpu="1"), hints, Remedy.POD_DELETE, on="n1", pod=gone)
    bench.snapshot.remove_pod(gone.uid)
    assert bench.helps(bench.info("a", cpu="1"), hints, Remedy.POD_DELETE, on="n1", pod=gone)
    assert not bench.helps(bench.info("b", cpu="3"), hints, Remedy.POD_DELETE, on="n1", pod=gone)


def test_a_node_that_grew_helps_only_who_fits_it(bench: Bench) -> None:
    hints = because(FIT, Remedy.NODE_ALLOCATABLE)
    bench.snapshot.set_node(node("n1", cpu="4"))
    assert bench.helps(bench.info("a", cpu="3"), hints, Remedy.NODE_ALLOCATABLE, on="n1")
    assert not bench.helps(bench.info("b", cpu="5"), hints, Remedy.NODE_ALLOCATABLE, on="n1")


def test_a_new_node_with_a_taint_does_not_help_who_does_not_tolerate_it(bench: Bench) -> None:
    hints = because(FIT, Remedy.NODE_ADD)
    taint = {"key": "gpu", "effect": "NoSchedule"}
    bench.snapshot.set_node(node("n2", taints=[taint]))
    assert not bench.helps(bench.info("a"), hints, Remedy.NODE_ADD, on="n2")
    assert bench.helps(bench.info("b", tolerations=[{"operator": "Exists"}]), hints, Remedy.NODE_ADD, on="n2")


def test_a_freed_host_port_helps_who_wants_it(bench: Bench) -> None:
    port = [{"name": "app", "image": "app:1", "ports": [{"containerPort": 80, "hostPort": 80}]}]
    hints = because(PORTS, Remedy.POD_DELETE)
    first = bench.fill("first", "n1", containers=port)
    waiting = bench.info("a", containers=port)
    assert not bench.helps(waiting, hints, Remedy.POD_DELETE, on="n1", pod=first)
    bench.snapshot.remove_pod(first.uid)
    assert bench.helps(waiting, hints, Remedy.POD_DELETE, on="n1", pod=first)


def away_from(app: str) -> dict[str, Any]:
    term = {"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": "kubernetes.io/hostname"}
    return {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}


def test_a_pod_that_was_in_the_way_helps_by_going_and_a_stranger_does_not(bench: Bench) -> None:
    hints = because(AFFINITY, Remedy.POD_DELETE)
    waiting = bench.info.of(pod("a", labels={"app": "web"}, **away_from("db")))
    in_the_way = bench.info.of(pod("db", labels={"app": "db"}, node_name="n1"))
    who_minds = bench.info.of(pod("shy", labels={"app": "shy"}, node_name="n1", **away_from("web")))
    stranger = bench.info.of(pod("x", labels={"app": "x"}, node_name="n1"))
    assert bench.helps(waiting, hints, Remedy.POD_DELETE, on="n1", pod=in_the_way)
    assert bench.helps(waiting, hints, Remedy.POD_DELETE, on="n1", pod=who_minds)
    assert not bench.helps(waiting, hints, Remedy.POD_DELETE, on="n1", pod=stranger)


def test_a_pod_that_is_counted_by_a_spread_helps_by_coming(bench: Bench) -> None:
    hints = because(SPREAD, Remedy.POD_ADD)
    selector = {"matchLabels": {"app": "web"}}
    spread = {
        "maxSkew": 1,
        "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": selector,
    }
    waiting = bench.info.of(pod("a", labels={"app": "web"}, topologySpreadConstraints=[spread]))
    counted = bench.info.of(pod("b", labels={"app": "web"}, node_name="n1"))
    stranger = bench.info.of(pod("x", labels={"app": "x"}, node_name="n1"))
    assert bench.helps(waiting, hints, Remedy.POD_ADD, pod=counted)
    assert not bench.helps(waiting, hints, Remedy.POD_ADD, pod=stranger)


def test_what_looks_at_many_nodes_may_be_helped_by_any_of_them(bench: Bench) -> None:
    for name in (AFFINITY, SPREAD):
        for kind in (Remedy.NODE_ADD, Remedy.NODE_LABEL, Remedy.NODE_TAINT):
            bench.snapshot.set_node(node("n2", taints=[{"key": "k", "effect": "NoSchedule"}]))
            assert bench.helps(bench.info("a"), because(name, kind), kind, on="n2")


def test_a_claim_helps_only_who_uses_it(bench: Bench) -> None:
    hints = because(VOLUMES, Remedy.CLAIM)
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
    waiting, other = bench.info("a", volumes=[volume]), bench.info("b")
    event = ClusterEvent(kind=Remedy.CLAIM, claim="default/data")
    assert bench.weighing.helps(waiting, hints, event)
    assert not bench.weighing.helps(other, hints, event)
    assert not bench.weighing.helps(waiting, hints, ClusterEvent(kind=Remedy.CLAIM, claim="else/data"))


def test_hints_of_several_reasons_name_each_remedy() -> None:
    found = hints_of(
        [
            Reason(FIT, "a", frozenset((Remedy.POD_DELETE, Remedy.NODE_ADD))),
            Reason(TAINTS, "b", frozenset((Remedy.NODE_TAINT,))),
        ]
    )
    assert found.kinds == {Remedy.POD_DELETE, Remedy.NODE_ADD, Remedy.NODE_TAINT}
    assert found.filters(Remedy.NODE_ADD) == {FIT}
