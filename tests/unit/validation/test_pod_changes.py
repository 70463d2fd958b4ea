"""What may change in a pod that is there, and what its node may say of it."""

from __future__ import annotations

from typing import Any

import pytest
from checked_pods import GOOD_POD, changed, found_in_update, read, shown

from apiserver.api.core.pod import Pod
from apiserver.api.fields import Causes
from apiserver.registry.strategies.pod import PodStrategy

STRATEGY = PodStrategy()
AFFINITY = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
GATED = {"spec.schedulingGates": [{"name": "a"}, {"name": "b"}], "spec.nodeSelector": {"disk": "ssd"}}


def update(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str]]:
    old = changed(GOOD_POD, before)
    return found_in_update(read(changed(old, after), Pod, STRATEGY), read(old, Pod, STRATEGY), STRATEGY)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {}),
        ({}, {"metadata.labels": {"other": "label"}}),
        ({}, {"spec.containers.0.image": "nginx:1.26"}),
        ({}, {"spec.initContainers.0.image": "busybox:2"}),
        ({}, {"spec.activeDeadlineSeconds": 60}),
        ({"spec.activeDeadlineSeconds": 60}, {"spec.activeDeadlineSeconds": 30}),
        ({}, {"spec.tolerations.1": {"operator": "Exists"}}),
        ({}, {"spec.tolerations.0.tolerationSeconds": 60}),
        ({"spec.terminationGracePeriodSeconds": -1}, {"spec.terminationGracePeriodSeconds": 1}),
        (GATED, {"spec.schedulingGates": [{"name": "b"}]}),
        (GATED, {"spec.schedulingGates": []}),
        (GATED, {"spec.nodeSelector": {"disk": "ssd", "zone": "a"}}),
        (GATED, {f"{AFFINITY}.0.matchExpressions.1": {"key": "x", "operator": "Exists"}}),
    ],
)
def test_what_may_change(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert update(before, after) == []


def test_a_gated_pod_may_get_an_affinity_for_nodes() -> None:
    nodes = {"nodeAffinity": GOOD_POD["spec"]["affinity"]["nodeAffinity"]}
    assert update({**GATED, "spec.affinity": ...}, {"spec.affinity": nodes}) == []
    assert update({**GATED, "spec.affinity": ...}, {"spec.affinity": GOOD_POD["spec"]["affinity"]}) == [
        ("Forbidden", "spec")
    ]


@pytest.mark.parametrize(
    ("before", "after", "reason", "field"),
    [
        ({}, {"spec.containers.0.name": "other"}, "Forbidden", "spec"),
        ({}, {"spec.containers.0.env": []}, "Forbidden", "spec"),
        ({}, {"spec.containers.1": {"name": "b", "image": "c"}}, "Forbidden", "spec.containers"),
        ({}, {"spec.initContainers": []}, "Forbidden", "spec.initContainers"),
        ({}, {"spec.hostname": "other"}, "Forbidden", "spec"),
        ({}, {"spec.nodeName": "n"}, "Forbidden", "spec"),
        ({}, {"spec.nodeSelector": {"a": "b"}}, "Forbidden", "spec"),
        ({}, {"spec.affinity": ...}, "Forbidden", "spec"),
        ({}, {"spec.terminationGracePeriodSeconds": 1}, "Forbidden", "spec"),
        ({}, {"spec.tolerations": []}, "Forbidden", "spec.tolerations"),
        ({}, {"spec.tolerations.0.key": "b"}, "Forbidden", "spec.tolerations"),
        (
            {"spec.activeDeadlineSeconds": 60},
            {"spec.activeDeadlineSeconds": 90},
            "Invalid",
            "spec.activeDeadlineSeconds",
        ),
        (
            {"spec.activeDeadlineSeconds": 60},
            {"spec.activeDeadlineSeconds": ...},
            "Invalid",
            "spec.activeDeadlineSeconds",
        ),
        ({}, {"spec.schedulingGates": [{"name": "a"}]}, "Forbidden", "spec.schedulingGates[0].name"),
        (GATED, {"spec.nodeSelector": {"disk": "hdd"}}, "Invalid", "spec.nodeSelector"),
        (GATED, {"spec.nodeSelector": {}}, "Invalid", "spec.nodeSelector"),
        (GATED, {f"{AFFINITY}.1": {}}, "Invalid", AFFINITY),
        (GATED, {f"{AFFINITY}.0.matchExpressions": []}, "Invalid", f"{AFFINITY}[0]"),
        (GATED, {"spec.affinity.podAntiAffinity": ...}, "Forbidden", "spec"),
        (
            {},
            {"metadata.annotations": {"kubernetes.io/config.mirror": "x"}},
            "Forbidden",
            "metadata.annotations[kubernetes.io/config.mirror]",
        ),
    ],
)
def test_what_may_not(before: dict[str, Any], after: dict[str, Any], reason: str, field: str) -> None:
    assert update(before, after) == [(reason, field)]


def test_the_message_names_what_may_change_and_what_did() -> None:
    causes = Causes()
    after = changed(GOOD_POD, {"spec.hostname": "a", "spec.subdomain": "b"})
    STRATEGY.validate_update(read(after, Pod, STRATEGY), read(GOOD_POD, Pod, STRATEGY), causes)
    (cause,) = causes.found
    assert cause.message.startswith(
        "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
    )
    assert cause.message.endswith("\nchanged: spec.hostname, spec.subdomain")


def status(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str]]:
    base = changed(GOOD_POD, {"spec.restartPolicy": "Never", "status.phase": "Running"})
    old = changed(base, before)
    new, was = read(changed(old, after), Pod, STRATEGY), read(old, Pod, STRATEGY)
    STRATEGY.prepare_status(new, was)
    causes = Causes()
    STRATEGY.validate_status(new, was, causes)
    return shown(causes)


ENDED = {"name": "app", "state": {"terminated": {"exitCode": 1}}}
RUNS = {"name": "app", "state": {"running": {}}}


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ({}, {"status.podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]}, []),
        ({}, {"status.podIPs": [{"ip": "10.0.0"}]}, [("Invalid", "status.podIPs[0]")]),
        ({}, {"status.podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}]}, [("Invalid", "status.podIPs")]),
        ({}, {"status.hostIP": "10.0.0.1", "status.hostIPs": [{"ip": "10.0.0.1"}]}, []),
        ({}, {"status.hostIPs": [{"ip": "10.0.0.1"}]}, [("Invalid", "status.hostIPs[0].ip")]),
        ({}, {"status.qosClass": "Guaranteed"}, [("Invalid", "status.qosClass")]),
        ({}, {"status.phase": "Fine"}, [("NotSupported", "status.phase")]),
        ({}, {"status.conditions": [{"type": "a b", "status": "True"}]}, [("Invalid", "status.conditions[0].type")]),
        ({}, {"status.nominatedNodeName": "A"}, [("Invalid", "status.nominatedNodeName")]),
        (
            {"status.containerStatuses": [ENDED]},
            {"status.containerStatuses": [RUNS]},
            [("Forbidden", "status.containerStatuses[0].state")],
        ),
        (
            {"status.containerStatuses": [ENDED], "spec.restartPolicy": "OnFailure"},
            {"status.containerStatuses": [RUNS]},
            [],
        ),
        (
            {"status.containerStatuses": [ENDED], "spec.restartPolicy": "Always"},
            {"status.containerStatuses": [RUNS]},
            [],
        ),
        (
            {"status.initContainerStatuses": [{**ENDED, "name": "proxy"}]},
            {"status.initContainerStatuses": [{**RUNS, "name": "proxy"}]},
            [],
        ),
        (
            {},
            {"status.containerStatuses": [{**RUNS, "user": {"linux": {"uid": -1, "gid": 0}}}]},
            [("Invalid", "status.containerStatuses[0].linux.uid")],
        ),
    ],
)
def test_what_a_node_may_say(before: dict[str, Any], after: dict[str, Any], found: list[tuple[str, str]]) -> None:
    assert status(before, after) == found


def test_the_first_address_is_told_twice() -> None:
    old = read(GOOD_POD, Pod, STRATEGY)
    for given in ({"status.podIP": "10.0.0.1"}, {"status.podIPs": [{"ip": "10.0.0.1"}]}):
        new = read(changed(GOOD_POD, given), Pod, STRATEGY)
        new.status.qos_class = ""
        STRATEGY.prepare_status(new, old)
        assert (new.status.pod_ip, [each.ip for each in new.status.pod_ips]) == ("10.0.0.1", ["10.0.0.1"])
        assert new.status.qos_class == "Burstable"
