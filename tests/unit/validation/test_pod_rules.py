"""Wrong pods, one mistake each, and how mistakes are told; what is not wrong although it looks odd."""

from __future__ import annotations

from typing import Any

import pytest
from checked_pods import GOOD_POD, changed, found_in, read

from apiserver.api.core.pod import Pod
from apiserver.api.fields import Causes
from apiserver.registry.strategies.pod import PodStrategy

STRATEGY = PodStrategy()
APP = "spec.containers.0"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
NODES, APART, V = "spec.affinity.nodeAffinity", "spec.affinity.podAntiAffinity", "spec.volumes"
MIRROR = "kubernetes.io/config.mirror"

WRONG: list[tuple[str, Any, str, str]] = [
    # volumes
    ("spec.volumes.0.name", "", "Required", f"{V}[0].name"),
    ("spec.volumes.0.name", "A", "Invalid", f"{V}[0].name"),
    ("spec.volumes.0.name", "scratch", "Duplicate", f"{V}[1].name"),
    ("spec.volumes.0.emptyDir", {}, "Forbidden", f"{V}[0].configMap"),
    ("spec.volumes.0.configMap.name", "", "Required", f"{V}[0].configMap.name"),
    ("spec.volumes.0.configMap.defaultMode", 0o1000, "Invalid", f"{V}[0].configMap.defaultMode"),
    ("spec.volumes.0.configMap.items.0.path", "/a", "Invalid", f"{V}[0].configMap.items[0].path"),
    ("spec.volumes.0.configMap.items.0.path", "..a", "Invalid", f"{V}[0].configMap.items[0].path"),
    ("spec.volumes.0.configMap.items.0.key", "", "Required", f"{V}[0].configMap.items[0].key"),
    ("spec.volumes.1.emptyDir.sizeLimit", "-1", "Forbidden", f"{V}[1].emptyDir.sizeLimit"),
    ("spec.volumes.2.persistentVolumeClaim.claimName", "", "Required", f"{V}[2].persistentVolumeClaim.claimName"),
    (
        "spec.volumes.3.projected.sources.0.serviceAccountToken.expirationSeconds",
        599,
        "Invalid",
        f"{V}[3].projected.sources[0].serviceAccountToken.expirationSeconds",
    ),
    (
        "spec.volumes.3.projected.sources.0.secret",
        {"name": "s"},
        "Forbidden",
        f"{V}[3].projected.sources[0]",
    ),
    (
        "spec.volumes.3.projected.sources.1.configMap.items.0.path",
        "ns",
        "Invalid",
        f"{V}[3].projected",
    ),
    ("spec.serviceAccountName", "", "Forbidden", f"{V}[3].projected.sources[0].serviceAccountToken"),
    ("spec.volumes.4", {"name": "h", "hostPath": {"path": ""}}, "Required", f"{V}[4].hostPath.path"),
    ("spec.volumes.4", {"name": "h", "hostPath": {"path": "/a", "type": "X"}}, "NotSupported", f"{V}[4].hostPath.type"),
    ("spec.volumes.4", {"name": "h", "secret": {}}, "Required", f"{V}[4].secret.secretName"),
    ("spec.volumes.4", {"name": "h", "nfs": {"server": "a", "path": "b"}}, "Invalid", f"{V}[4].nfs.path"),
    ("spec.volumes.4", {"name": "h", "csi": {"driver": "a_b"}}, "Invalid", f"{V}[4].csi.driver"),
    ("spec.volumes.4", {"name": "h", "ephemeral": {}}, "Required", f"{V}[4].ephemeral.volumeClaimTemplate"),
    ("spec.volumes.4", {"name": "h", "image": {}}, "Required", f"{V}[4].image.reference"),
    ("spec.volumes.4", {"name": "h", "downwardAPI": {"items": [{"path": "a"}]}}, "Required", f"{V}[4].downwardAPI"),
    (
        "spec.volumes.4",
        {"name": "h", "downwardAPI": {"items": [{"path": "a", "fieldRef": {"fieldPath": "spec.nodeName"}}]}},
        "NotSupported",
        f"{V}[4].downwardAPI.fieldRef.fieldPath",
    ),
    # scheduling
    (f"{NODES}.{REQUIRED}.nodeSelectorTerms", [], "Required", f"{NODES}.{REQUIRED}.nodeSelectorTerms"),
    (
        f"{NODES}.{REQUIRED}.nodeSelectorTerms.0.matchExpressions.0.operator",
        "Like",
        "Invalid",
        f"{NODES}.{REQUIRED}.nodeSelectorTerms[0].matchExpressions[0].operator",
    ),
    (
        f"{NODES}.{REQUIRED}.nodeSelectorTerms.0.matchExpressions.0.values",
        [],
        "Required",
        f"{NODES}.{REQUIRED}.nodeSelectorTerms[0].matchExpressions[0].values",
    ),
    (
        f"{NODES}.{REQUIRED}.nodeSelectorTerms.0.matchExpressions.0.operator",
        "Exists",
        "Forbidden",
        f"{NODES}.{REQUIRED}.nodeSelectorTerms[0].matchExpressions[0].values",
    ),
    (
        f"{NODES}.{REQUIRED}.nodeSelectorTerms.0.matchFields",
        [{"key": "spec.name", "operator": "In", "values": ["a"]}],
        "Invalid",
        f"{NODES}.{REQUIRED}.nodeSelectorTerms[0].matchFields[0].key",
    ),
    (
        f"{APART}.{PREFERRED}.0.weight",
        101,
        "Invalid",
        f"{APART}.{PREFERRED}[0].weight",
    ),
    (
        f"{APART}.{PREFERRED}.0.podAffinityTerm.labelSelector.matchLabels",
        {"a": "b c"},
        "Invalid",
        f"{APART}.{PREFERRED}[0].podAffinityTerm.labelSelector.matchLabels",
    ),
    ("spec.tolerations.0.operator", "Like", "NotSupported", "spec.tolerations[0].operator"),
    ("spec.tolerations.0.value", "x", "Invalid", "spec.tolerations[0].operator"),
    ("spec.tolerations.0.effect", "NoSchedule", "Invalid", "spec.tolerations[0].effect"),
    ("spec.tolerations.1", {"effect": "Never", "operator": "Exists"}, "NotSupported", "spec.tolerations[1].effect"),
    ("spec.tolerations.1", {"operator": "Equal"}, "Invalid", "spec.tolerations[1].operator"),
    ("spec.topologySpreadConstraints.0.maxSkew", 0, "Invalid", "spec.topologySpreadConstraints[0].maxSkew"),
    ("spec.topologySpreadConstraints.0.topologyKey", "", "Required", "spec.topologySpreadConstraints[0].topologyKey"),
    (
        "spec.topologySpreadConstraints.0.whenUnsatisfiable",
        "Wait",
        "NotSupported",
        "spec.topologySpreadConstraints[0].whenUnsatisfiable",
    ),
    ("spec.topologySpreadConstraints.0.minDomains", 0, "Invalid", "spec.topologySpreadConstraints[0].minDomains"),
    (
        "spec.topologySpreadConstraints.1",
        {"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}},
        "Duplicate",
        "spec.topologySpreadConstraints[0].{topologyKey, whenUnsatisfiable}",
    ),
    ("spec.schedulingGates", [{"name": "a"}, {"name": "a"}], "Duplicate", "spec.schedulingGates[1]"),
    ("spec.schedulingGates", [{"name": ""}], "Invalid", "spec.schedulingGates[0]"),
    ("spec.nodeSelector", {"a b": "c"}, "Invalid", "spec.nodeSelector"),
    ("spec.preemptionPolicy", "Always", "NotSupported", "spec.preemptionPolicy"),
    # the pod
    ("spec.restartPolicy", "Sometimes", "NotSupported", "spec.restartPolicy"),
    ("spec.dnsPolicy", "Mine", "NotSupported", "spec.dnsPolicy"),
    ("spec.dnsConfig.nameservers", ["a"], "Invalid", "spec.dnsConfig.nameservers[0]"),
    ("spec.dnsConfig.nameservers", ["1.1.1.1"] * 4, "Invalid", "spec.dnsConfig.nameservers"),
    ("spec.dnsConfig.searches", ["A B"], "Invalid", "spec.dnsConfig.searches[0]"),
    ("spec.dnsConfig.options", [{}], "Required", "spec.dnsConfig.options[0]"),
    ("spec.hostAliases.0.ip", "1.2.3", "Invalid", "spec.hostAliases[0].ip"),
    ("spec.hostAliases.0.hostnames", ["A"], "Invalid", "spec.hostAliases[0].hostnames[0]"),
    ("spec.hostname", "a.b", "Invalid", "spec.hostname"),
    ("spec.subdomain", "A", "Invalid", "spec.subdomain"),
    ("spec.nodeName", "A", "Invalid", "spec.nodeName"),
    ("spec.serviceAccountName", "A", "Invalid", "spec.serviceAccountName"),
    ("spec.priorityClassName", "A", "Invalid", "spec.priorityClassName"),
    ("spec.runtimeClassName", "", "Invalid", "spec.runtimeClassName"),
    ("spec.activeDeadlineSeconds", 0, "Invalid", "spec.activeDeadlineSeconds"),
    ("spec.readinessGates", [{"conditionType": "a b"}], "Invalid", "spec.readinessGates[0].conditionType"),
    ("spec.resourceClaims", [{"name": "a"}], "Invalid", "spec.resourceClaims[0]"),
    ("metadata.annotations", {MIRROR: "x"}, "Invalid", f"metadata.annotations[{MIRROR}]"),
]


def test_the_good_pod_is_good() -> None:
    assert found_in(read(GOOD_POD, Pod, STRATEGY), STRATEGY) == []


@pytest.mark.parametrize(("path", "value", "reason", "field"), WRONG, ids=[f"{row[0]}-{row[1]!r:.30}" for row in WRONG])
def test_wrong_pods(path: str, value: Any, reason: str, field: str) -> None:
    assert (reason, field) in found_in(read(changed(GOOD_POD, {path: value}), Pod, STRATEGY), STRATEGY)


def messages(changes: dict[str, Any]) -> list[str]:
    causes = Causes()
    STRATEGY.validate(read(changed(GOOD_POD, changes), Pod, STRATEGY), causes)
    return [each.message for each in causes.found]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({f"{APP}.resources.requests.cpu": "2"}, 'Invalid value: "2": must be less than or equal to cpu limit of 1'),
        ({f"{APP}.volumeMounts.0.name": "no"}, 'Not found: "no"'),
        ({f"{APP}.livenessProbe": {}}, "Required value: must specify a handler type"),
        ({"spec.volumes.0.emptyDir": {}}, "Forbidden: may not specify more than 1 volume type"),
        ({"spec.restartPolicy": "X"}, 'Unsupported value: "X": supported values: "Always", "Never", "OnFailure"'),
        ({f"{APP}.ports.1": {"containerPort": 1, "hostPort": 80}}, 'Duplicate value: "TCP//80"'),
        (
            {f"{APP}.env.0": {"name": "A", "valueFrom": {}}},
            'Invalid value: "": must specify one of: '
            "`fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`",
        ),
        ({f"{APP}.resources.requests.gpu": "1"}, 'Invalid value: "gpu": must be a standard resource for containers'),
        (
            {"spec.dnsPolicy": "None", "spec.dnsConfig": ...},
            "Required value: must provide `dnsConfig` when `dnsPolicy` is None",
        ),
    ],
)
def test_rules_are_told_in_the_words_of_kubernetes(changes: dict[str, Any], message: str) -> None:
    assert message in messages(changes)


def test_every_mistake_is_told_at_once() -> None:
    wrong = {f"{APP}.name": "A", f"{APP}.image": "", "spec.restartPolicy": "X", "spec.hostname": "a.b"}
    found = found_in(read(changed(GOOD_POD, wrong), Pod, STRATEGY), STRATEGY)
    assert found == [
        ("Invalid", "spec.containers[0].name"),
        ("Required", "spec.containers[0].image"),
        ("NotSupported", "spec.restartPolicy"),
        ("Invalid", "spec.hostname"),
    ]


def test_a_wrong_volume_is_as_good_as_none() -> None:
    found = found_in(read(changed(GOOD_POD, {"spec.volumes.0.configMap.name": ""}), Pod, STRATEGY), STRATEGY)
    assert ("NotFound", "spec.containers[0].volumeMounts[0].name") in found


@pytest.mark.parametrize(
    "changes",
    [
        {f"{APP}.securityContext.privileged": True, f"{APP}.volumeMounts.0.mountPropagation": "Bidirectional"},
        {f"{APP}.resources.limits.example.com/gpu": "1", f"{APP}.resources.requests.example.com/gpu": "1"},
        {f"{APP}.ports.1": {"containerPort": 53, "hostPort": 80, "protocol": "UDP"}},
        {f"{APP}.env.0.name": "my.var-1"},
        {"spec.hostUsers": False, f"{APP}.securityContext.procMount": "Unmasked"},
        {"spec.hostNetwork": True, f"{APP}.ports.0.hostPort": 8080},
        {"spec.tolerations.1": {"operator": "Exists"}},
        {"spec.volumes.4": {"name": "cache"}},
        {"spec.dnsConfig.searches": ["_tcp.example.com", "."]},
        {"spec.resourceClaims": [{"name": "g", "resourceClaimName": "x"}], f"{APP}.resources.claims": [{"name": "g"}]},
        {
            "spec.volumes.4": {
                "name": "e",
                "ephemeral": {
                    "volumeClaimTemplate": {
                        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
                    }
                },
            }
        },
    ],
)
def test_what_is_allowed(changes: dict[str, Any]) -> None:
    # a path is split at dots, so names with dots are set whole
    document = changed(GOOD_POD, {path: value for path, value in changes.items() if "example.com/" not in path})
    for half in ("limits", "requests"):
        if f"{APP}.resources.{half}.example.com/gpu" in changes:
            document["spec"]["containers"][0]["resources"][half]["example.com/gpu"] = "1"
    assert found_in(read(document, Pod, STRATEGY), STRATEGY) == []


def test_what_others_hand_out_is_not_shared() -> None:
    document = changed(GOOD_POD, {})
    amounts = document["spec"]["containers"][0]["resources"]
    amounts["limits"]["example.com/gpu"] = "2"
    amounts["requests"]["example.com/gpu"] = "1"
    assert ("Invalid", "spec.containers[0].resources.requests") in found_in(read(document, Pod, STRATEGY), STRATEGY)
    amounts["limits"]["example.com/gpu"] = amounts["requests"]["example.com/gpu"] = "500m"
    found = found_in(read(document, Pod, STRATEGY), STRATEGY)
    assert ("Invalid", "spec.containers[0].resources.limits[example.com/gpu]") in found
