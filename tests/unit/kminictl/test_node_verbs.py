"""What drain lets go, what taint makes of taints, how far a rollout is: decisions alone."""

from __future__ import annotations

from typing import Any

import pytest
from kminictl.cluster.discovery import Resource
from kminictl.cluster.selecting import Found
from kminictl.failures import CommandError
from kminictl.verbs.drain import judge
from kminictl.verbs.nodes import _parsed, reorganised
from kminictl.verbs.port_forward import parsed
from kminictl.verbs.rollout import told_status
from kminictl.verbs.wait import condition

from apiserver.api.kinds import Kind

RESOURCE = Resource(kind=Kind("Node", "", "v1", "nodes", False), singular="node")


def pod(*, owner: str = "", phase: str = "Running", volumes: Any = (), **metadata: Any) -> dict[str, Any]:
    owners = [{"kind": owner, "name": "x", "controller": True}] if owner else []
    return {
        "metadata": {"name": "p", "namespace": "ns", "ownerReferences": owners, **metadata},
        "spec": {"volumes": list(volumes)},
        "status": {"phase": phase},
    }


EMPTY = [{"name": "v", "emptyDir": {}}]
LENIENT = {"force": True, "ignore_daemonsets": True, "delete_emptydir": True}
STRICT = {"force": False, "ignore_daemonsets": False, "delete_emptydir": False}


@pytest.mark.parametrize(
    ("given", "strict", "lenient"),
    [
        (pod(owner="ReplicaSet"), (True, ""), (True, "")),
        (pod(), (False, "Pods that declare no controller (use --force to override)"), (True, "")),
        (pod(owner="DaemonSet"), (False, "DaemonSet-managed Pods (use --ignore-daemonsets to ignore)"), (False, "")),
        (
            pod(owner="ReplicaSet", volumes=EMPTY),
            (False, "Pods with local storage (use --delete-emptydir-data to override)"),
            (True, ""),
        ),
        (pod(phase="Succeeded", volumes=EMPTY), (True, ""), (True, "")),
        (pod(annotations={"kubernetes.io/config.mirror": "x"}), (False, ""), (False, "")),
    ],
)
def test_who_is_drained(given: dict[str, Any], strict: tuple[bool, str], lenient: tuple[bool, str]) -> None:
    for options, (goes, error) in ((STRICT, strict), (LENIENT, lenient)):
        found = judge(given, **options)
        assert (found.goes, found.error) == (goes, error)


def tainted(old: list[dict[str, str]], *words: str, overwrite: bool = False) -> tuple[list[dict[str, Any]], str]:
    found = Found(resource=RESOURCE, object={"metadata": {"name": "n"}, "spec": {"taints": old}})
    return reorganised(found, [_parsed(word) for word in words], overwrite=overwrite)


A = {"key": "a", "value": "x", "effect": "NoSchedule"}
B = {"key": "b", "effect": "NoExecute"}


def test_taints() -> None:
    assert tainted([], "a=x:NoSchedule") == ([A], "tainted")
    assert tainted([B], "a=x:NoSchedule") == ([A, B], "tainted")
    assert tainted([A, B], "a-") == ([B], "untainted")
    assert tainted([A, B], "a:NoSchedule-") == ([B], "untainted")
    assert tainted([A], "a=y:NoSchedule", overwrite=True) == ([A | {"value": "y"}], "modified")
    assert tainted([A], "b:NoExecute", "a-") == ([B], "modified")
    with pytest.raises(CommandError, match=r"node n already has a taint\(s\) with same effect\(s\)"):
        tainted([A], "a=y:NoSchedule")
    for word in ("b-", "a:NoExecute-"):
        with pytest.raises(CommandError, match="not found"):
            tainted([A], word)


@pytest.mark.parametrize("word", ["a", "a=b", ":NoSchedule", "a=b:Nope", "a=b:NoSchedule:x"])
def test_what_is_no_taint(word: str) -> None:
    with pytest.raises(CommandError, match="invalid taint"):
        _parsed(word)


def deployment(generation: int = 1, replicas: int = 2, conditions: Any = (), **status: int) -> dict[str, Any]:
    return {
        "metadata": {"name": "web", "generation": generation},
        "spec": {"replicas": replicas},
        "status": {"observedGeneration": 1, "conditions": list(conditions), **status},
    }


@pytest.mark.parametrize(
    ("obj", "told", "done"),
    [
        (deployment(generation=2), "Waiting for deployment spec update to be observed...", False),
        (deployment(updatedReplicas=1), "1 out of 2 new replicas have been updated...", False),
        (deployment(updatedReplicas=2, replicas=2) | {}, "0 of 2 updated replicas are available...", False),
        (deployment(updatedReplicas=2, availableReplicas=2), "successfully rolled out", True),
    ],
)
def test_how_far_a_rollout_is(obj: dict[str, Any], told: str, done: bool) -> None:
    text, over = told_status(obj, 0)
    assert text.endswith(told)
    assert over is done


def test_old_replicas_and_deadlines() -> None:
    obj = deployment(updatedReplicas=2, availableReplicas=2)
    obj["status"]["replicas"] = 3
    assert told_status(obj, 0) == (
        'Waiting for deployment "web" rollout to finish: 1 old replicas are pending termination...',
        False,
    )
    late = deployment(conditions=[{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}])
    with pytest.raises(CommandError, match='deployment "web" exceeded its progress deadline'):
        told_status(late, 0)


def test_conditions_to_wait_for() -> None:
    obj: dict[str, Any] = {
        "metadata": {"generation": 2},
        "status": {"phase": "Running", "n": 3, "conditions": [{"type": "Ready", "status": "True"}]},
    }
    assert condition("condition=ready")(obj)
    assert condition("condition=Ready=True")(obj)
    assert not condition("condition=Ready=False")(obj)
    assert not condition("condition=Other")(obj)
    assert condition("jsonpath={.status.phase}=Running")(obj)
    assert condition("jsonpath='{.status.n}'=3")(obj)
    assert condition("jsonpath={.status.phase}")(obj)
    assert not condition("jsonpath={.status.nope}")(obj)
    obj["status"]["conditions"] = [{"type": "Ready", "status": "True", "observedGeneration": 1}]
    assert not condition("condition=Ready")(obj), "that was said of an older one"
    for wrong in ("ready", "jsonpath={.a}=", "jsonpath={.a[}=1"):
        with pytest.raises(CommandError):
            condition(wrong)


@pytest.mark.parametrize(
    ("text", "ports"), [("80", (None, "80")), ("8080:80", (8080, "80")), (":80", (0, "80")), ("1:http", (1, "http"))]
)
def test_ports(text: str, ports: tuple[int | None, str]) -> None:
    assert parsed(text) == ports


@pytest.mark.parametrize("text", ["", "80:", "x:80", "70000:80"])
def test_what_is_no_port(text: str) -> None:
    with pytest.raises(CommandError, match="invalid port format"):
        parsed(text)
