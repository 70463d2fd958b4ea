"""Filters that look at a node by itself: what the node says, and what is left on it."""

from __future__ import annotations

from typing import Any

import pytest
from controllers_world_objects import Json, node
from scheduler_views import View, expressions, node_affinity

from controlplane.scheduler.filters.reason import Remedy

UNMATCHED = "node(s) didn't match Pod's node affinity/selector"
TAINTED = {"key": "team", "value": "blue", "effect": "NoSchedule"}
BOTH = {"cpu": "1", "memory": "1Gi"}


def taint(key: str, value: str, effect: str) -> dict[str, str]:
    return {"key": key, "value": value, "effect": effect}


@pytest.mark.parametrize(
    ("tolerations", "taints", "said"),
    [
        ([], [], None),
        ([], [TAINTED], "node(s) had untolerated taint {team: blue}"),
        ([], [taint("team", "", "NoExecute")], "node(s) had untolerated taint {team: }"),
        ([], [taint("team", "blue", "PreferNoSchedule")], None),
        ([{"key": "team", "operator": "Exists"}], [TAINTED], None),
        ([{"key": "team", "value": "blue"}], [TAINTED], None),
        ([{"key": "team", "operator": "Equal", "value": "blue", "effect": "NoSchedule"}], [TAINTED], None),
        ([{"key": "team", "value": "red"}], [TAINTED], "node(s) had untolerated taint {team: blue}"),
        ([{"key": "other", "operator": "Exists"}], [TAINTED], "node(s) had untolerated taint {team: blue}"),
        (
            [{"key": "team", "operator": "Exists", "effect": "NoExecute"}],
            [TAINTED],
            "node(s) had untolerated taint {team: blue}",
        ),
        ([{"operator": "Exists"}], [TAINTED, taint("a", "b", "NoExecute")], None),
        ([{"operator": "Exists", "effect": "NoSchedule"}], [TAINTED], None),
        (
            [{"key": "team", "operator": "Like", "value": "blue"}],
            [TAINTED],
            "node(s) had untolerated taint {team: blue}",
        ),
        (
            [{"key": "team", "operator": "Exists"}],
            [TAINTED, taint("second", "x", "NoSchedule")],
            "node(s) had untolerated taint {second: x}",
        ),
        ([{"key": "team", "operator": "Exists", "tolerationSeconds": 5}], [taint("team", "", "NoExecute")], None),
    ],
)
def test_taints_keep_away_who_does_not_tolerate_them(
    tolerations: list[Json], taints: list[Json], said: str | None
) -> None:
    view = View(node("n1", taints=taints))
    assert view.why(view.pod(tolerations=tolerations)) == ({"n1": [said]} if said else {})


def test_a_cordoned_node_takes_only_those_that_tolerate_it() -> None:
    view = View(node("n1", unschedulable=True))
    assert view.why(view.pod()) == {"n1": ["node(s) were unschedulable"]}
    tolerant = {"key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoSchedule"}
    assert view.fits(view.pod(tolerations=[tolerant])) == {"n1"}
    assert view.fits(view.pod(tolerations=[{"operator": "Exists"}])) == {"n1"}


LABELS = {"disk": "ssd", "rack": "12", "odd": "x1"}


@pytest.mark.parametrize(
    ("requirement", "matches"),
    [
        (("disk", "In", ["ssd", "nvme"]), True),
        (("disk", "In", ["hdd"]), False),
        (("none", "In", ["hdd"]), False),
        (("disk", "NotIn", ["hdd"]), True),
        (("disk", "NotIn", ["ssd"]), False),
        (("none", "NotIn", ["ssd"]), True),
        (("disk", "Exists", []), True),
        (("none", "Exists", []), False),
        (("disk", "DoesNotExist", []), False),
        (("none", "DoesNotExist", []), True),
        (("rack", "Gt", ["11"]), True),
        (("rack", "Gt", ["12"]), False),
        (("rack", "Lt", ["13"]), True),
        (("rack", "Lt", ["12"]), False),
        (("odd", "Gt", ["1"]), False),
        (("none", "Gt", ["1"]), False),
        (("rack", "Gt", ["eleven"]), False),
        (("rack", "Gt", []), False),
        (("rack", "Near", ["12"]), False),
        (("disk", "In", [*(f"kind-{number}" for number in range(30)), "ssd"]), True),
    ],
)
def test_every_operator_of_node_affinity(requirement: tuple[str, str, list[str]], matches: bool) -> None:
    view = View(node("n1", labels=LABELS))
    pod = view.pod(affinity=node_affinity(expressions(requirement)))
    assert view.why(pod) == ({} if matches else {"n1": [UNMATCHED]})


def test_one_term_must_hold_and_all_of_it() -> None:
    view = View(node("a", labels={"x": "1", "y": "1"}), node("b", labels={"x": "1"}), node("c", labels={"z": "1"}))
    both = expressions(("x", "Exists", []), ("y", "Exists", []))
    assert view.fits(view.pod(affinity=node_affinity(both))) == {"a"}
    assert view.fits(view.pod(affinity=node_affinity(both, expressions(("z", "Exists", []))))) == {"a", "c"}
    assert view.fits(view.pod(affinity=node_affinity(both), nodeSelector={"z": "1"})) == set()
    assert view.fits(view.pod(nodeSelector={"x": "1"})) == {"a", "b"}


def test_a_condition_nobody_can_read_fails_its_whole_term() -> None:
    view = View(node("n1", labels={"x": "1"}))
    good: tuple[str, str, list[str]] = ("x", "Exists", [])
    odd = ("x", "Near", ["1"])
    assert view.fits(view.pod(affinity=node_affinity(expressions(good, odd)))) == set()
    assert view.fits(view.pod(affinity=node_affinity(expressions(odd), expressions(good)))) == {"n1"}
    unknown = expressions(("metadata.uid", "In", ["1"]), fields=True)
    assert view.fits(view.pod(affinity=node_affinity({**expressions(good), **unknown}))) == set()


def test_a_term_without_conditions_matches_nothing() -> None:
    view = View(node("n1"))
    assert view.fits(view.pod(affinity=node_affinity({}))) == set()
    assert view.fits(view.pod(affinity=node_affinity())) == set()


def test_fields_name_nodes_and_no_other_is_looked_at() -> None:
    view = View(*(node(f"n{number}") for number in range(5)))
    named = expressions(("metadata.name", "In", ["n3"]), fields=True)
    pod = view.pod(affinity=node_affinity(named))
    decision = view.decide(pod)
    assert (decision.node, decision.evaluated) == ("n3", 1)
    assert view.fits(pod) == {"n3"}
    assert view.fits(
        view.pod(affinity=node_affinity(expressions(("metadata.name", "NotIn", ["n3"]), fields=True)))
    ) == {
        "n0",
        "n1",
        "n2",
        "n4",
    }
    assert (
        view.fits(view.pod(affinity=node_affinity(expressions(("metadata.uid", "In", ["n3"]), fields=True)))) == set()
    )


def test_when_the_named_node_will_not_do_every_node_has_a_reason() -> None:
    view = View(node("a"), node("b", unschedulable=True), node("c"))
    decision = view.decide(view.pod(affinity=node_affinity(expressions(("metadata.name", "In", ["b"]), fields=True))))
    said = {name: [reason.message for reason in verdict] for name, verdict in decision.reasons.items()}
    assert said == {"a": [UNMATCHED], "b": ["node(s) were unschedulable"], "c": [UNMATCHED]}


def test_a_pod_that_names_its_node_goes_there_or_nowhere() -> None:
    view = View(node("a"), node("b"))
    assert view.decide(view.pod(node_name="b")).node == "b"
    decision = view.decide(view.pod(node_name="c"))
    assert decision.node is None
    assert {reason.message for reason in decision.all_reasons} == {"node(s) didn't match the requested node name"}
    assert view.why(view.pod(node_name="a")) == {"b": ["node(s) didn't match the requested node name"]}


def test_what_is_short_is_told_resource_by_resource() -> None:
    view = View(node("n1", cpu="1", memory="1Gi", pods=2))
    view.place("there", "n1", cpu="600m", memory="700Mi")
    assert view.fits(view.pod(cpu="400m", memory="324Mi")) == {"n1"}
    assert view.why(view.pod(cpu="401m", memory="324Mi")) == {"n1": ["Insufficient cpu"]}
    assert view.why(view.pod(cpu="401m", memory="325Mi")) == {"n1": ["Insufficient cpu", "Insufficient memory"]}
    view.place("another", "n1", cpu="", memory="")
    assert view.why(view.pod(cpu="", memory="")) == {"n1": ["Too many pods"]}


def test_what_is_asked_for_as_nothing_fits_on_an_over_committed_node() -> None:
    view = View(node("n1", cpu="1"))
    for number in range(2):
        view.place(f"static-{number}", "n1", cpu="1")
    assert view.fits(view.pod(cpu="0", memory="1")) == {"n1"}
    assert view.why(view.pod(cpu="1m")) == {"n1": ["Insufficient cpu"]}


def container(**requests: str) -> dict[str, Any]:
    return {"name": "app", "image": "app:1", "resources": {"requests": requests}}


def test_ephemeral_storage_and_extended_resources_are_counted() -> None:
    with_gpu = node("gpu")
    with_gpu.status.allocatable["example.com/gpu"] = "2"
    view = View(node("plain"), with_gpu)
    two = view.pod(containers=[container(**{"example.com/gpu": "2"})])
    assert view.why(two) == {"plain": ["Insufficient example.com/gpu"]}
    view.place("there", "gpu", containers=[container(**{"example.com/gpu": "1"})])
    assert view.fits(two) == set()
    assert view.fits(view.pod(containers=[container(**{"example.com/gpu": "0"})])) == {"plain", "gpu"}
    big = view.pod(containers=[container(**{"ephemeral-storage": "101Gi"})])
    assert view.why(big) == {name: ["Insufficient ephemeral-storage"] for name in ("plain", "gpu")}


def test_a_pod_that_asks_for_nothing_fits_where_nothing_is_left() -> None:
    view = View(node("n1", cpu="1"))
    view.place("there", "n1", cpu="1")
    assert view.fits(view.pod(cpu="", memory="")) == {"n1"}
    assert view.fits(view.pod(cpu="1m", memory="")) == set()


def test_what_is_left_grows_when_a_pod_goes_or_the_node_does() -> None:
    view = View(node("n1", cpu="1"))
    there = view.place("there", "n1", cpu="1")
    pod = view.pod(cpu="500m")
    assert view.decider.decide(pod).node is None
    view.snapshot.remove_pod(there.uid)
    assert view.decider.decide(pod).node == "n1"
    view.snapshot.add_pod(there)
    assert view.decider.decide(pod).node is None
    view.snapshot.set_node(node("n1", cpu="2"))
    assert view.decider.decide(pod).node == "n1"


def ports(*wanted: tuple[str, int, str]) -> list[dict[str, Any]]:
    given = [
        {"hostIP": ip, "hostPort": port, "containerPort": 80, "protocol": protocol} for ip, port, protocol in wanted
    ]
    return [{"name": "app", "image": "app:1", "ports": given}]


@pytest.mark.parametrize(
    ("there", "new", "free"),
    [
        (("", 80, "TCP"), ("", 81, "TCP"), True),
        (("", 80, "TCP"), ("", 80, "UDP"), True),
        (("", 80, ""), ("", 80, "TCP"), False),
        (("127.0.0.1", 80, "TCP"), ("127.0.0.2", 80, "TCP"), True),
        (("127.0.0.1", 80, "TCP"), ("127.0.0.1", 80, "TCP"), False),
        (("127.0.0.1", 80, "TCP"), ("", 80, "TCP"), False),
        (("0.0.0.0", 80, "TCP"), ("127.0.0.1", 80, "TCP"), False),
        (("", 0, "TCP"), ("", 0, "TCP"), True),
    ],
)
def test_a_host_port_is_for_one_pod(there: tuple[str, int, str], new: tuple[str, int, str], free: bool) -> None:
    view = View(node("n1"))
    placed = view.place("there", "n1", containers=ports(there))
    pod = view.pod(containers=ports(new))
    said = "node(s) didn't have free ports for the requested pod ports"
    assert view.why(pod) == ({} if free else {"n1": [said]})
    view.snapshot.remove_pod(placed.uid)
    assert view.fits(pod) == {"n1"}


def test_sidecars_hold_host_ports_and_other_init_containers_do_not() -> None:
    view = View(node("n1"))
    (sidecar,) = ports(("", 80, "TCP"))
    view.place("there", "n1", initContainers=[{**sidecar, "name": "init"}])
    pod = view.pod(containers=ports(("", 80, "TCP")))
    assert view.fits(pod) == {"n1"}
    view.place("other", "n1", initContainers=[{**sidecar, "name": "init", "restartPolicy": "Always"}])
    assert view.fits(pod) == set()


class Claims:
    """Volumes as a test wants them."""

    def __init__(self, refusal: str = "", **why: str) -> None:
        self.refusal = refusal
        self._why = why

    def why_not(self, node: Any) -> str:
        return self._why.get(node.metadata.name, "")


def test_claims_keep_a_pod_from_every_node_or_from_some() -> None:
    view = View(node("a"), node("b"))
    pod = view.pod(volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}])
    far = "node(s) had volume node affinity conflict"
    assert view.why(pod, volumes=Claims(a=far)) == {"a": [far]}
    assert view.decide(pod, volumes=Claims(a=far)).node == "b"
    decision = view.decide(pod, volumes=Claims("pod has unbound immediate PersistentVolumeClaims"))
    assert decision.node is None
    assert [reason.message for reason in decision.all_reasons] == ["pod has unbound immediate PersistentVolumeClaims"]
    assert Remedy.CLAIM in decision.all_reasons[0].remedies


def test_a_node_is_told_the_first_reason_in_the_tables_order() -> None:
    view = View(node("n1", cpu="1", unschedulable=True, taints=[TAINTED]))
    pod = view.pod(cpu="2", nodeSelector={"x": "y"})
    (verdict,) = view.decide(pod).reasons.values()
    assert [reason.message for reason in verdict] == ["node(s) were unschedulable"]
    assert view.why(pod) == {
        "n1": [
            "node(s) were unschedulable",
            "node(s) had untolerated taint {team: blue}",
            UNMATCHED,
            "Insufficient cpu",
        ]
    }
