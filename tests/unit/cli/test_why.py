"""`kminictl why`: what it works out from what the API shows, and how it tells it."""

from __future__ import annotations

import json
from typing import Any

from controllers_world_objects import made, node, pod
from fake_api import FakeApi
from kminictl.why import explained
from kminictl.why_told import Answer, advice, as_json, as_text
from virtual_time import run

from apiserver.api.core.persistent_volumes import PersistentVolume, PersistentVolumeClaim
from apiserver.api.core.pod import Pod
from apiserver.api.meta import TopObject
from apiserver.api.storage import StorageClass

TAINT = {"key": "team", "value": "blue", "effect": "NoSchedule"}


def asked(*objects: TopObject, of: str = "web") -> Answer:
    async def ask() -> Answer:
        api = FakeApi()
        async with api.client() as client:
            for each in objects:
                await client.create(each)
                if isinstance(each, Pod | PersistentVolume) and each.status != type(each)().status:
                    await client.update_status(each)
            return await explained(client, of, "default")

    return run(ask())


def lines(answer: Answer) -> list[str]:
    return as_text(answer).splitlines()


def test_a_pod_that_fits_nowhere_has_every_nodes_reasons_and_what_to_do() -> None:
    answer = asked(
        node("a", cpu="1"), node("b", taints=[TAINT]), node("c", cpu="1", unschedulable=True), pod("web", cpu="2")
    )
    assert lines(answer) == [
        "Pod default/web is on no node: 0/3 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint "
        "{team: blue}, 1 node(s) were unschedulable.",
        "",
        "Node by node:",
        "NODE   FITS   SCORE   WHY NOT",
        "a      no             Insufficient cpu",
        "b      no             node(s) had untolerated taint {team: blue}",
        "c      no             node(s) were unschedulable; Insufficient cpu",
        "",
        "What to do:",
        "- Let the nodes take pods again: kubectl uncordon NODE.",
        "- Take the taint off (kubectl taint nodes NODE KEY-), or tolerate it in spec.tolerations.",
        "- Ask for less (resources.requests), let other pods go, or add a node.",
    ]


def test_a_pod_on_a_node_is_judged_as_if_it_were_decided_now() -> None:
    answer = asked(
        node("a"),
        node("b", cpu="8"),
        pod("web", node_name="a", status={"phase": "Running"}),
        pod("other", node_name="a", cpu="2"),
    )
    told = lines(answer)
    assert told[:4] == [
        "Pod default/web is on node a (Running).",
        "",
        "If it were decided anew now:",
        "NODE   FITS   SCORE   WHY NOT",
    ]
    assert told[4].startswith("a*     yes    ")
    assert told[5].startswith("b      yes    ")
    assert told[6].startswith("b would win by NodeResourcesBalancedAllocation ")
    assert advice(answer) == []


def test_its_own_room_does_not_speak_against_it() -> None:
    full = asked(node("a", cpu="1"), pod("web", cpu="1", node_name="a"))
    assert [each.fits for each in full.nodes] == [True]
    assert lines(full)[0] == "Pod default/web is on node a (Pending)."
    with_another = asked(node("a", cpu="1"), pod("web", cpu="1"), pod("other", cpu="1", node_name="a"))
    assert [each.reasons for each in with_another.nodes] == [["Insufficient cpu"]]


def test_a_gated_pod_waits_for_its_gates() -> None:
    answer = asked(node("a"), pod("web", schedulingGates=[{"name": "example.com/quota"}]))
    assert lines(answer)[0] == "Pod default/web is on no node: it has scheduling gates (example.com/quota)."
    assert advice(answer) == [
        "Take away its scheduling gates (example.com/quota) once what they wait for has happened."
    ]


def test_a_pod_that_has_ended_is_nowhere_for_good() -> None:
    answer = asked(node("a"), pod("web", node_name="a", status={"phase": "Succeeded"}))
    assert lines(answer) == ["Pod default/web has ended (Succeeded) on node a."]


def test_what_the_scheduler_said_stands_beside() -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/9 nodes: no"}
    answer = asked(node("a"), pod("web", status={"conditions": [condition]}))
    assert lines(answer)[:2] == ["Pod default/web is on no node.", "The scheduler said: Unschedulable: 0/9 nodes: no"]
    assert "see whether there is a leader" in advice(answer)[0]


def test_another_scheduler_is_asked_elsewhere() -> None:
    answer = asked(node("a"), pod("web", schedulerName="mine"))
    assert advice(answer) == ["It names the scheduler mine: see whether that one runs."]


def test_without_nodes_one_must_join() -> None:
    answer = asked(pod("web"))
    assert lines(answer)[0] == "Pod default/web is on no node: there are none."
    assert "join" in advice(answer)[0]


CLAIM = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}


def claim(**spec: Any) -> PersistentVolumeClaim:
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec}
    return made(PersistentVolumeClaim, "data", {"namespace": "default"}, spec=wanted)


def test_claims_are_looked_at_too() -> None:
    missing = asked(node("a"), pod("web", volumes=[CLAIM]))
    assert missing.everywhere == 'persistentvolumeclaim "data" not found'
    assert 'In the way on every node: persistentvolumeclaim "data" not found' in lines(missing)
    assert advice(missing) == ["Look at the claims: kubectl get pvc,pv,storageclass; kubectl describe pvc CLAIM."]
    lazy = made(
        StorageClass, "lazy", provisioner="kubernetes.io/no-provisioner", volumeBindingMode="WaitForFirstConsumer"
    )
    volume = made(
        PersistentVolume,
        "disk",
        status={"phase": "Available"},
        spec={
            "capacity": {"storage": "2Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "lazy",
            "local": {"path": "/disk"},
            "nodeAffinity": {
                "required": {
                    "nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["b"]}]}
                    ]
                }
            },
        },
    )
    answer = asked(node("a"), node("b"), lazy, volume, claim(storageClassName="lazy"), pod("web", volumes=[CLAIM]))
    assert [(each.name, each.reasons) for each in answer.nodes if each.reasons] == [
        ("a", ["node(s) didn't find available persistent volumes to bind"]),
    ]


def test_programs_get_the_same() -> None:
    answer = asked(node("a", cpu="1"), pod("web", cpu="2"))
    told = json.loads(as_json(answer))
    assert told == {
        "pod": "default/web",
        "phase": "Pending",
        "scheduler": "default-scheduler",
        "message": "0/1 nodes are available: 1 Insufficient cpu.",
        "nodes": [{"name": "a", "fits": False, "reasons": ["Insufficient cpu"], "score": None}],
        "filters": ["NodeResourcesFit"],
        "advice": ["Ask for less (resources.requests), let other pods go, or add a node."],
    }


def test_a_filter_nobody_knows_has_somebody_who_installed_it() -> None:
    answer = Answer(pod="default/web", filters=["Odd"], nodes=[])
    answer.nodes.append(asked(node("a"), pod("web")).nodes[0])
    assert advice(answer) == ["Ask whoever installed the filter Odd."]
