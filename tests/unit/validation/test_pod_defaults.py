"""What a pod gets when its manifest leaves things out."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from checked_pods import GOOD_POD, changed, read

from apiserver.api.core.pod import Pod, PodTemplate
from apiserver.api.errors import BadRequest, Invalid
from apiserver.registry.strategies.pod import PodStrategy
from apiserver.registry.strategies.pod_defaults import pull_policy
from apiserver.registry.strategies.pod_template import PodTemplateStrategy

STRATEGY = PodStrategy()
SMALL: dict[str, Any] = {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "app", "image": "nginx"}]}}


def plain(pod: Any) -> dict[str, Any]:
    values: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(pod))
    return values


def defaulted(changes: dict[str, Any]) -> dict[str, Any]:
    return plain(read(changed(SMALL, changes), Pod, STRATEGY))


def test_the_smallest_pod() -> None:
    assert defaulted({})["spec"] == {
        "containers": [
            {
                "name": "app",
                "image": "nginx",
                "resources": {},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                "imagePullPolicy": "Always",
            }
        ],
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "securityContext": {},
        "schedulerName": "default-scheduler",
        "enableServiceLinks": True,
    }


def test_a_template_gets_less() -> None:
    document: dict[str, Any] = {"metadata": {"name": "t"}, "template": {"spec": {**SMALL["spec"], "hostNetwork": True}}}
    document["template"]["spec"]["containers"] = [
        {"name": "a", "image": "b", "ports": [{"containerPort": 1}], "resources": {"limits": {"cpu": "1"}}}
    ]
    spec = plain(read(document, PodTemplate, PodTemplateStrategy()))["template"]["spec"]
    assert "enableServiceLinks" not in spec
    assert spec["containers"][0]["ports"] == [{"containerPort": 1, "protocol": "TCP"}]
    assert spec["containers"][0]["resources"] == {"limits": {"cpu": "1"}}


@pytest.mark.parametrize("document", [SMALL, GOOD_POD])
def test_defaults_of_defaults_change_nothing(document: dict[str, Any]) -> None:
    pod = read(document, Pod, STRATEGY)
    before = plain(pod)
    STRATEGY.default(pod)
    assert plain(pod) == before


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("host:5000/nginx", "Always"),
        ("nginx:1.25", "IfNotPresent"),
        ("host:5000/a/nginx:1.25", "IfNotPresent"),
        ("nginx@sha256:" + "0" * 64, "IfNotPresent"),
        ("nginx:latest@sha256:" + "0" * 64, "Always"),
        ("", "IfNotPresent"),
    ],
)
def test_the_tag_decides_when_to_pull(image: str, policy: str) -> None:
    assert pull_policy(image) == policy


@pytest.mark.parametrize(
    ("changes", "path", "value"),
    [
        ({"spec.containers.0.ports": [{"containerPort": 80}]}, "containers.0.ports.0.protocol", "TCP"),
        (
            {"spec.hostNetwork": True, "spec.containers.0.ports": [{"containerPort": 80}]},
            "containers.0.ports.0.hostPort",
            80,
        ),
        (
            {"spec.containers.0.livenessProbe": {"httpGet": {"port": 1}}},
            "containers.0.livenessProbe",
            {
                "httpGet": {"path": "/", "port": 1, "scheme": "HTTP"},
                "timeoutSeconds": 1,
                "periodSeconds": 10,
                "successThreshold": 1,
                "failureThreshold": 3,
            },
        ),
        (
            {"spec.containers.0.readinessProbe": {"grpc": {"port": 1}}},
            "containers.0.readinessProbe.grpc",
            {"port": 1, "service": ""},
        ),
        (
            {"spec.containers.0.lifecycle.postStart": {"httpGet": {"port": 1}}},
            "containers.0.lifecycle.postStart.httpGet.path",
            "/",
        ),
        (
            {"spec.containers.0.resources.limits": {"cpu": "1000m", "memory": "1024Mi"}},
            "containers.0.resources",
            {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}},
        ),
        (
            {"spec.containers.0.resources": {"limits": {"cpu": 2}, "requests": {"cpu": 0.0005}}},
            "containers.0.resources.requests.cpu",
            "1m",
        ),
        (
            {"spec.containers.0.env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]},
            "containers.0.env.0.valueFrom.fieldRef.apiVersion",
            "v1",
        ),
        (
            {"spec.containers.0.env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}]},
            "containers.0.env.0.valueFrom.resourceFieldRef.divisor",
            "0",
        ),
        ({"spec.volumes": [{"name": "v"}]}, "volumes.0", {"name": "v", "emptyDir": {}}),
        ({"spec.volumes": [{"name": "v", "secret": {"secretName": "s"}}]}, "volumes.0.secret.defaultMode", 420),
        ({"spec.volumes": [{"name": "v", "configMap": {"name": "s"}}]}, "volumes.0.configMap.defaultMode", 420),
        ({"spec.volumes": [{"name": "v", "downwardAPI": {}}]}, "volumes.0.downwardAPI.defaultMode", 420),
        (
            {"spec.volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]},
            "volumes.0.projected",
            {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}], "defaultMode": 420},
        ),
        ({"spec.volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, "volumes.0.hostPath.type", ""),
        (
            {"spec.volumes": [{"name": "v", "rbd": {"monitors": ["a"], "image": "b"}}]},
            "volumes.0.rbd.keyring",
            "/etc/ceph/keyring",
        ),
        (
            {"spec.volumes": [{"name": "v", "azureDisk": {"diskName": "a", "diskURI": "b"}}]},
            "volumes.0.azureDisk.cachingMode",
            "ReadWrite",
        ),
        (
            {"spec.volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}]},
            "volumes.0.ephemeral.volumeClaimTemplate.spec.volumeMode",
            "Filesystem",
        ),
        ({"spec.serviceAccount": "old"}, "serviceAccountName", "old"),
        ({"spec.serviceAccountName": "new"}, "serviceAccount", "new"),
    ],
)
def test_single_defaults(changes: dict[str, Any], path: str, value: Any) -> None:
    place: Any = defaulted(changes)["spec"]
    for step in path.split("."):
        place = place[int(step)] if isinstance(place, list) else place[step]
    assert place == value


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"spec.containers.0.resources.limits": {"cpu": "lots"}}, "spec.containers[0].resources.limits[cpu]"),
        ({"spec.overhead": {"cpu": ""}}, "spec.overhead[cpu]"),
        ({"spec.volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1 Gi"}}]}, "spec.volumes[0].emptyDir.sizeLimit"),
    ],
)
def test_an_amount_nobody_can_read_is_refused_by_name(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(BadRequest, match="quantities must match the regular expression") as caught:
        defaulted(changes)
    assert str(caught.value).startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("resources", "quality"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "0"}}, "BestEffort"),
        ({"requests": {"example.com/gpu": "1"}, "limits": {"example.com/gpu": "1"}}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1Gi"}}, "Guaranteed"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}, "Burstable"),
    ],
)
def test_class_of_service(resources: dict[str, Any], quality: str) -> None:
    assert defaulted({"spec.containers.0.resources": resources})["status"]["qosClass"] == quality


def test_one_container_without_limits_spoils_the_guarantee() -> None:
    full = {"limits": {"cpu": "1", "memory": "1Gi"}}
    changes: dict[str, Any] = {"spec.containers.0.resources": full, "spec.containers.1": {"name": "b", "image": "c"}}
    assert defaulted(changes)["status"]["qosClass"] == "Burstable"
    changes["spec.containers.1"]["resources"] = full
    assert defaulted(changes)["status"]["qosClass"] == "Guaranteed"


def test_a_new_pod_is_pending() -> None:
    assert plain(STRATEGY.initial_status(read(SMALL, Pod, STRATEGY))) == {"phase": "Pending"}
    gated = read(changed(SMALL, {"spec.schedulingGates": [{"name": "a"}]}), Pod, STRATEGY)
    (condition,) = STRATEGY.initial_status(gated).conditions
    assert (condition.type, condition.status, condition.reason) == ("PodScheduled", "False", "SchedulingGated")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"spec.ephemeralContainers": [{"name": "a", "image": "b"}]}, "spec.ephemeralContainers"),
        ({"spec.nodeName": "n", "spec.schedulingGates": [{"name": "a"}]}, "spec.nodeName"),
    ],
)
def test_what_a_new_pod_may_not_have(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        STRATEGY.prepare_create(read(changed(SMALL, changes), Pod, STRATEGY))
    assert [cause.field for cause in caught.value.causes] == [field]


def test_label_keys_become_conditions() -> None:
    term = {"topologyKey": "zone", "labelSelector": {}, "matchLabelKeys": ["app", "no"], "mismatchLabelKeys": ["team"]}
    changes = {
        "metadata.labels": {"app": "web", "team": "red"},
        "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution": [term],
    }
    pod = read(changed(SMALL, changes), Pod, STRATEGY)
    STRATEGY.prepare_create(pod)
    affinity = plain(pod)["spec"]["affinity"]["podAffinity"]
    (done,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]
    assert done["labelSelector"]["matchExpressions"] == [
        {"key": "app", "operator": "In", "values": ["web"]},
        {"key": "team", "operator": "NotIn", "values": ["red"]},
    ]


@pytest.mark.parametrize(
    ("changes", "asked", "period"),
    [
        ({}, None, 0),
        ({"spec.nodeName": "n"}, None, 30),
        ({"spec.nodeName": "n"}, 5, 5),
        ({"spec.nodeName": "n"}, 0, 0),
        ({"spec.nodeName": "n"}, -1, 1),
        ({"spec.nodeName": "n", "spec.terminationGracePeriodSeconds": 7}, None, 7),
        ({"spec.nodeName": "n", "spec.terminationGracePeriodSeconds": -5}, None, 1),
        ({"spec.nodeName": "n", "status.phase": "Succeeded"}, 5, 0),
        ({"spec.nodeName": "n", "status.phase": "Failed"}, None, 0),
        ({"spec.nodeName": "n", "status.phase": "Running"}, None, 30),
    ],
)
def test_how_long_a_pod_has_to_end(changes: dict[str, Any], asked: int | None, period: int) -> None:
    assert STRATEGY.grace_period_s(read(changed(SMALL, changes), Pod, STRATEGY), asked) == period


def test_odd_but_allowed_things_are_told() -> None:
    changes = {
        "spec.containers.0.env": [{"name": "A"}, {"name": "A"}],
        "spec.containers.0.ports": [{"containerPort": 1}, {"containerPort": 1}],
        "spec.nodeSelector": {"beta.kubernetes.io/os": "linux"},
        "spec.volumes": [{"name": "v", "gitRepo": {"repository": "r"}}],
        "spec.terminationGracePeriodSeconds": -1,
        "spec.imagePullSecrets": [{}],
    }
    told = [each.partition(": ")[0] for each in STRATEGY.warnings(read(changed(SMALL, changes), Pod, STRATEGY))]
    assert told == [
        "spec.nodeSelector[beta.kubernetes.io/os]",
        "spec.volumes[0].gitRepo",
        "spec.imagePullSecrets[0].name",
        "spec.terminationGracePeriodSeconds",
        "spec.containers[0].env[1]",
        "spec.containers[0].ports[1]",
    ]
    assert STRATEGY.warnings(read(GOOD_POD, Pod, STRATEGY)) == []
