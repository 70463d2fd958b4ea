"""Rules few people ever meet: Windows, huge pages, whole-pod resources, selectors of labels, odd volumes."""

from __future__ import annotations

from typing import Any

import pytest
from checked_pods import GOOD_POD, changed, found_in, read, shown

from apiserver.api.core.persistent_volumes import PersistentVolume, PersistentVolumeClaim
from apiserver.api.core.pod import Pod, PodTemplate
from apiserver.api.fields import Causes
from apiserver.registry.strategies.persistent_volume import PersistentVolumeClaimStrategy, PersistentVolumeStrategy
from apiserver.registry.strategies.pod import PodStrategy
from apiserver.registry.strategies.pod_template import PodTemplateStrategy

STRATEGY = PodStrategy()
SMALL: dict[str, Any] = {
    "metadata": {"name": "a", "namespace": "b"},
    "spec": {"serviceAccountName": "c", "containers": [{"name": "app", "image": "nginx"}]},
}
APP, MAIN = "spec.containers.0", "spec.containers[0]"
SECURITY = f"{MAIN}.securityContext"
NODES = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
NEAR = "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution"
SPREAD = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
WINDOWS = "spec.securityContext.windowsOptions"
Row = tuple[dict[str, Any], str, str]


def wrong_by_volume(source: dict[str, Any], reason: str, field: str) -> Row:
    return {"spec.volumes": [{"name": "v", **source}]}, reason, f"spec.volumes[0]{field}"


def wrong_by_projection(part: dict[str, Any], reason: str, field: str) -> Row:
    return wrong_by_volume({"projected": {"sources": [part]}}, reason, f".projected.sources[0].{field}")


def wrong_by_term(term: dict[str, Any], reason: str, field: str) -> Row:
    return {NODES: [term]}, reason, f"{NODES}[0].{field}"


CONTAINERS: list[Row] = [
    ({"spec.initContainers": [{"name": "i", "image": "b", "resizePolicy": [
        {"resourceName": "cpu", "restartPolicy": "NotRequired"}]}]}, "Invalid", "spec.initContainers[0].resizePolicy"),
    ({"spec.ephemeralContainers": [{"name": "app", "image": "b"}]}, "Duplicate", "spec.ephemeralContainers[0].name"),
    ({"spec.ephemeralContainers": [{"name": "e", "image": "b", "volumeMounts": [
        {"name": "v", "mountPath": "/v", "subPath": "a"}]}]},
     "Forbidden", "spec.ephemeralContainers[0].volumeMounts[0].subPath"),
    ({"spec.resourceClaims": [{"name": "a", "resourceClaimName": "x"}] * 2},
     "Duplicate", "spec.resourceClaims[1].name"),
    ({"spec.resourceClaims": [{"name": "a", "resourceClaimName": "x", "resourceClaimTemplateName": "y"}]},
     "Invalid", "spec.resourceClaims[0]"),
    ({f"{APP}.env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": ""}}}]},
     "Required", f"{MAIN}.env[0].valueFrom.resourceFieldRef.resource"),
    ({f"{APP}.env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "2"}}}]},
     "Invalid", f"{MAIN}.env[0].valueFrom.resourceFieldRef.divisor"),
    ({"spec.volumes": [{"name": "i", "image": {"reference": "a"}}],
      f"{APP}.volumeMounts": [{"name": "i", "mountPath": "/i", "subPath": "a"}]},
     "Invalid", f"{MAIN}.volumeMounts[0].subPath"),
    ({f"{APP}.volumeMounts": [{"name": "v", "mountPath": "/i", "recursiveReadOnly": "Some"}]},
     "NotSupported", f"{MAIN}.volumeMounts.recursiveReadOnly"),
    ({f"{APP}.volumeMounts": [{"name": "v", "mountPath": "/i", "readOnly": True, "recursiveReadOnly": "Enabled",
                               "mountPropagation": "HostToContainer"}]},
     "Forbidden", f"{MAIN}.volumeMounts.recursiveReadOnly"),
    ({f"{APP}.volumeDevices": [{"name": "v", "devicePath": "/a"}, {"name": "v", "devicePath": "/b"}]},
     "Invalid", f"{MAIN}.volumeDevices[1].name"),
    ({f"{APP}.volumeDevices": [{"name": "v", "devicePath": "/a"}, {"name": "w", "devicePath": "/a"}]},
     "Invalid", f"{MAIN}.volumeDevices[1].devicePath"),
]  # fmt: skip

RESOURCES: list[Row] = [
    ({f"{APP}.resources.requests": {"requests.x/a": "1"}}, "Invalid", f"{MAIN}.resources.requests[requests.x/a]"),
    ({f"{APP}.resources.limits": {"hugepages-x": "1"}}, "Invalid", f"{MAIN}.resources.limits[hugepages-x]"),
    ({f"{APP}.resources.limits": {"hugepages-0": "1"}}, "Invalid", f"{MAIN}.resources.limits[hugepages-0]"),
    ({f"{APP}.resources.limits": {"hugepages-2Mi": "2Mi"}}, "Forbidden", f"{MAIN}.resources"),
    ({f"{APP}.resources.requests": {"hugepages-2Mi": "2Mi"}}, "Required", f"{MAIN}.resources.limits"),
    ({f"{APP}.resources.claims": [{"name": ""}]}, "Required", f"{MAIN}.resources.claims[0]"),
    ({f"{APP}.resources.claims": [{"name": "a"}] * 2, "spec.resourceClaims": [{"name": "a", "resourceClaimName": "x"}]},
     "Duplicate", f"{MAIN}.resources.claims[1]"),
    ({f"{APP}.resizePolicy": [{"resourceName": "cpu", "restartPolicy": "NotRequired"}] * 2},
     "Duplicate", f"{MAIN}.resizePolicy[1]"),
    ({f"{APP}.resizePolicy": [{"resourceName": "cpu"}]}, "Required", f"{MAIN}.resizePolicy"),
    ({f"{APP}.resizePolicy": [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}],
      "spec.restartPolicy": "Never"}, "Invalid", f"{MAIN}.resizePolicy"),
    ({"spec.resources": {"claims": [{"name": "a"}]}}, "Forbidden", "spec.resources.claims"),
    ({"spec.resources": {"limits": {"cpu": "1"}}, f"{APP}.resources.limits": {"cpu": "2"}},
     "Invalid", "spec.resources.containers[0][cpu].limits"),
]  # fmt: skip

SECURITY_ROWS: list[Row] = [
    ({f"{APP}.securityContext.seccompProfile": {"type": "Mine"}}, "NotSupported", f"{SECURITY}.seccompProfile.type"),
    ({f"{APP}.securityContext.seccompProfile": {"type": "Unconfined", "localhostProfile": "a"}},
     "Invalid", f"{SECURITY}.seccompProfile.localhostProfile"),
    ({f"{APP}.securityContext.appArmorProfile": {"type": "Localhost"}},
     "Required", f"{SECURITY}.appArmorProfile.localhostProfile"),
    ({f"{APP}.securityContext.appArmorProfile": {"type": "Localhost", "localhostProfile": " a"}},
     "Invalid", f"{SECURITY}.appArmorProfile.localhostProfile"),
    ({f"{APP}.securityContext.appArmorProfile": {"type": "Localhost", "localhostProfile": "a" * 4096}},
     "TooLong", f"{SECURITY}.appArmorProfile.localhostProfile"),
    ({f"{APP}.securityContext.appArmorProfile": {}}, "Required", f"{SECURITY}.appArmorProfile.type"),
    ({f"{APP}.securityContext.appArmorProfile": {"type": "Unconfined", "localhostProfile": "a"}},
     "Invalid", f"{SECURITY}.appArmorProfile.localhostProfile"),
    ({"spec.hostNetwork": True, "spec.securityContext.sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}]},
     "Invalid", "spec.securityContext.sysctls[0].name"),
    ({"spec.hostIPC": True, "spec.securityContext.sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"}]},
     "Invalid", "spec.securityContext.sysctls[0].name"),
    ({"spec.hostPID": True, "spec.shareProcessNamespace": True},
     "Invalid", "spec.securityContext.shareProcessNamespace"),
    ({f"{WINDOWS}.gmsaCredentialSpecName": "A"}, "Invalid", f"{WINDOWS}.gmsaCredentialSpecName"),
    ({f"{WINDOWS}.gmsaCredentialSpec": ""}, "Invalid", f"{WINDOWS}.gmsaCredentialSpec"),
    ({f"{WINDOWS}.gmsaCredentialSpec": "a" * 65537}, "Invalid", f"{WINDOWS}.gmsaCredentialSpec"),
    *[({f"{WINDOWS}.runAsUserName": name}, "Invalid", f"{WINDOWS}.runAsUserName")
      for name in ("", "a\n", "a\\b\\c", "a" * 256 + "\\b", "\\b", "a\\", "u" * 105, "..", "a/b")],
    ({"spec.os": {"name": ""}}, "Required", "spec.os.name"),
    ({"spec.os": {"name": "linux"}, WINDOWS: {}}, "Forbidden", WINDOWS),
    ({"spec.os": {"name": "linux"}, f"{APP}.securityContext.windowsOptions": {}},
     "Forbidden", f"{SECURITY}.windowsOptions"),
    ({"spec.os": {"name": "windows"}, "spec.hostPID": True}, "Forbidden", "spec.hostPID"),
    ({"spec.os": {"name": "windows"}, "spec.securityContext.fsGroup": 1}, "Forbidden", "spec.securityContext.fsGroup"),
    ({f"{WINDOWS}.hostProcess": True, f"{APP}.securityContext.windowsOptions.hostProcess": False},
     "Invalid", f"{SECURITY}.windowsOptions.hostProcess"),
    ({f"{APP}.securityContext.windowsOptions.hostProcess": True, "spec.hostNetwork": True,
      "spec.initContainers": [{"name": "i", "image": "b"}]}, "Invalid", "spec"),
    ({f"{WINDOWS}.hostProcess": True}, "Invalid", "spec.hostNetwork"),
    ({"spec.hostUsers": False, "spec.hostPID": True}, "Forbidden", "spec.hostPID"),
]  # fmt: skip

SCHEDULING: list[Row] = [
    wrong_by_term({"matchExpressions": [{"key": "a", "operator": "Gt"}]}, "Required", "matchExpressions[0].values"),
    wrong_by_term({"matchFields": [{"key": "metadata.name", "operator": "Gt"}]}, "Invalid", "matchFields[0].operator"),
    wrong_by_term({"matchFields": [{"key": "metadata.name", "operator": "In"}]}, "Required", "matchFields[0].values"),
    ({NEAR: [{"topologyKey": "a", "matchLabelKeys": ["b"]}]}, "Forbidden", f"{NEAR}[0].matchLabelKeys"),
    ({NEAR: [{"topologyKey": "a", "labelSelector": {}, "matchLabelKeys": ["b"], "mismatchLabelKeys": ["b"]}]},
     "Invalid", f"{NEAR}[0].matchLabelKeys[0]"),
    ({NEAR: [{"labelSelector": {}}]}, "Required", f"{NEAR}[0].topologyKey"),
    ({NEAR: [{"topologyKey": "a", "namespaces": ["A"]}]}, "Invalid", f"{NEAR}[0].namespace"),
    ({"spec.tolerations": [{"key": "a", "value": "b c"}]}, "Invalid", "spec.tolerations[0].operator"),
    ({"spec.topologySpreadConstraints": [{**SPREAD, "matchLabelKeys": ["a"]}]},
     "Forbidden", "spec.topologySpreadConstraints[0].matchLabelKeys"),
    ({"spec.topologySpreadConstraints": [
        {**SPREAD, "matchLabelKeys": ["a"], "labelSelector": {"matchLabels": {"a": "b"}}}]},
     "Invalid", "spec.topologySpreadConstraints[0].matchLabelKeys[0]"),
    ({"spec.topologySpreadConstraints": [{**SPREAD, "minDomains": 2}]},
     "Invalid", "spec.topologySpreadConstraints[0].minDomains"),
    ({"spec.topologySpreadConstraints": [{**SPREAD, "nodeTaintsPolicy": "Mind"}]},
     "NotSupported", "spec.topologySpreadConstraints[0].nodeTaintsPolicy"),
    ({"spec.dnsConfig.searches": ["a"] * 33}, "Invalid", "spec.dnsConfig.searches"),
    ({"spec.dnsConfig.searches": ["a" * 63 + ".b"] * 32}, "Invalid", "spec.dnsConfig.searches"),
    ({"spec.dnsPolicy": "None", "spec.dnsConfig": {}}, "Required", "spec.dnsConfig.nameservers"),
    ({"metadata.annotations": {"controller.kubernetes.io/pod-deletion-cost": "01"}},
     "Invalid", "metadata.annotations[controller.kubernetes.io/pod-deletion-cost]"),
]  # fmt: skip

FIELD = {"fieldPath": "metadata.name"}
TEMPLATE = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1"}}}}
INITIATOR = "iqn.2001-04.com.example:a"
VOLUMES: list[Row] = [
    wrong_by_volume({"downwardAPI": {"items": [{"path": "a", "fieldRef": FIELD, "resourceFieldRef": {}}]}},
                    "Invalid", ".downwardAPI"),
    wrong_by_volume({"downwardAPI": {"items": [{"path": "a", "resourceFieldRef": {"resource": "limits.cpu"}}]}},
                    "Required", ".downwardAPI.resourceFieldRef.containerName"),
    wrong_by_projection({"serviceAccountToken": {"path": "a", "expirationSeconds": 2**33}},
                        "Invalid", "serviceAccountToken.expirationSeconds"),
    wrong_by_projection({"clusterTrustBundle": {"path": "a", "name": "b", "signerName": "c/d"}},
                        "Invalid", "clusterTrustBundle"),
    wrong_by_projection({"clusterTrustBundle": {"path": "a", "name": ""}}, "Required", "clusterTrustBundle.name"),
    wrong_by_projection({"clusterTrustBundle": {"path": "a", "name": "b/c"}}, "Invalid", "clusterTrustBundle.name"),
    wrong_by_projection({"clusterTrustBundle": {"path": "a", "name": "b", "labelSelector": {}}},
                        "Invalid", "clusterTrustBundle.labelSelector"),
    wrong_by_projection({"clusterTrustBundle": {"path": "a", "signerName": ""}},
                        "Required", "clusterTrustBundle.signerName"),
    wrong_by_projection({"clusterTrustBundle": {"path": "a"}}, "Required", "clusterTrustBundle"),
    wrong_by_volume({"ephemeral": {"volumeClaimTemplate": {**TEMPLATE, "metadata": {"name": "a"}}}},
                    "Forbidden", ".ephemeral.volumeClaimTemplate.metadata.name"),
    ({"spec.volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": TEMPLATE}}], "metadata.name": "a" * 252},
     "Invalid", "spec.volumes[0].name"),
    ({"spec.volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": TEMPLATE}},
                       {"name": "w", "persistentVolumeClaim": {"claimName": "a-v"}}]},
     "Invalid", "spec.volumes[1].persistentVolumeClaim.claimName"),
    wrong_by_volume({"iscsi": {"targetPortal": "p" * 64, "iqn": INITIATOR, "lun": 0, "initiatorName": INITIATOR}},
                    "Invalid", ".name"),
    wrong_by_volume({"iscsi": {"targetPortal": "p", "iqn": "abc", "lun": 0}}, "Invalid", ".iscsi.iqn"),
    wrong_by_volume({"azureDisk": {"diskName": "a", "diskURI": "b", "kind": "Managed"}},
                    "NotSupported", ".azureDisk.diskURI"),
    wrong_by_volume({"flocker": {"datasetName": "a", "datasetUUID": "b"}}, "Invalid", ".flocker"),
    wrong_by_volume({"quobyte": {"registry": "", "volume": "a"}}, "Required", ".quobyte.registry"),
    wrong_by_volume({"quobyte": {"registry": "a:1", "volume": "a", "tenant": "t" * 65}}, "Required", ".quobyte.tenant"),
    wrong_by_volume({"gitRepo": {"repository": "", "directory": "a"}}, "Required", ".gitRepo.repository"),
    wrong_by_volume({"csi": {"driver": "d", "nodePublishSecretRef": {}}},
                    "Required", ".csi.nodePublishSecretRef.name"),
]  # fmt: skip

ALL = [*CONTAINERS, *RESOURCES, *SECURITY_ROWS, *SCHEDULING, *VOLUMES]


@pytest.mark.parametrize(("changes", "reason", "field"), ALL, ids=[f"{at}-{row[2]}" for at, row in enumerate(ALL)])
def test_wrong_pods(changes: dict[str, Any], reason: str, field: str) -> None:
    assert (reason, field) in found_in(read(changed(SMALL, changes), Pod, STRATEGY), STRATEGY)


def test_the_small_pod_is_good() -> None:
    assert found_in(read(SMALL, Pod, STRATEGY), STRATEGY) == []


@pytest.mark.parametrize("changes", [
    {f"{WINDOWS}.runAsUserName": r"NT AUTHORITY\SYSTEM"},
    {"spec.os": {"name": "windows"}, f"{WINDOWS}.hostProcess": True, "spec.hostNetwork": True},
    {f"{APP}.resources.limits": {"hugepages-2Mi": "4Mi", "memory": "1Gi"}},
])  # fmt: skip
def test_rare_but_right(changes: dict[str, Any]) -> None:
    assert found_in(read(changed(SMALL, changes), Pod, STRATEGY), STRATEGY) == []


def test_without_defaults_the_grace_period_is_missed() -> None:
    pod = read(SMALL, Pod, STRATEGY)
    pod.spec.termination_grace_period_seconds = None
    assert found_in(pod, STRATEGY) == [("Required", "spec.terminationGracePeriodSeconds")]


def test_no_ephemeral_containers_in_templates() -> None:
    document = {"template": {"spec": {**GOOD_POD["spec"], "ephemeralContainers": [{"name": "e", "image": "b"}]}}}
    strategy = PodTemplateStrategy()
    found = found_in(read(document, PodTemplate, strategy), strategy)
    assert found == [("Forbidden", "template.spec.ephemeralContainers")]


def test_a_mirror_of_a_file_stays_one() -> None:
    mirror = {"spec.nodeName": "n", "metadata.annotations": {"kubernetes.io/config.mirror": "x"}}
    old = read(changed(SMALL, mirror), Pod, STRATEGY)
    new = read(changed(SMALL, {**mirror, "metadata.annotations": {}}), Pod, STRATEGY)
    causes = Causes()
    STRATEGY.validate_update(new, old, causes)
    STRATEGY.validate_status(new, old, causes)
    assert shown(causes) == [("Forbidden", "metadata.annotations[kubernetes.io/config.mirror]")] * 2


@pytest.mark.parametrize(("status", "found"), [
    ({"podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.1"}]},
     [("Duplicate", "status.podIPs[1]"), ("Invalid", "status.podIPs")]),
    ({"containerStatuses": [{"name": "app", "user": {"linux": {"uid": 0, "gid": 0, "supplementalGroups": [-1]}}}]},
     [("Invalid", "status.containerStatuses[0].linux.supplementalGroups[0]")]),
])  # fmt: skip
def test_wrong_statuses(status: dict[str, Any], found: list[tuple[str, str]]) -> None:
    old = read(SMALL, Pod, STRATEGY)
    new = read({**SMALL, "status": status}, Pod, STRATEGY)
    causes = Causes()
    STRATEGY.validate_status(new, old, causes)
    assert shown(causes) == found


def test_rare_rules_of_volumes() -> None:
    strategy = PersistentVolumeStrategy()
    base = {"capacity": {"storage": "1"}, "accessModes": ["ReadWriteOnce"]}
    iscsi = {"targetPortal": "p" * 64, "iqn": INITIATOR, "lun": 0, "initiatorName": INITIATOR}
    csi = {"driver": "d", "volumeHandle": "h"}
    for source, wanted in (
        ({"iscsi": iscsi}, ("Invalid", "spec.iscsi.targetportal")),
        ({"csi": csi, "volumeAttributesClassName": ""}, ("Required", "spec.volumeAttributesClassName")),
        ({"azureFile": {"secretName": "a", "shareName": "b", "secretNamespace": ""}},
         ("Required", "spec.azureFile.secretNamespace")),
    ):  # fmt: skip
        volume = read({"metadata": {"name": "v"}, "spec": {**base, **source}}, PersistentVolume, strategy)
        assert found_in(volume, strategy) == [wanted]
    old = read({"spec": {**base, "csi": csi, "volumeAttributesClassName": "a"}}, PersistentVolume, strategy)
    new = read({"spec": {**base, "csi": csi}}, PersistentVolume, strategy)
    causes = Causes()
    strategy.validate_update(new, old, causes)
    assert shown(causes) == [("Forbidden", "spec.volumeAttributesClassName")]


def test_rare_rules_of_claims() -> None:
    strategy = PersistentVolumeClaimStrategy()
    base: dict[str, Any] = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1"}}}
    source = {"kind": "PersistentVolumeClaim", "name": "a"}
    both = {**base, "dataSource": source, "dataSourceRef": {**source, "namespace": "other"}}
    assert found_in(read({"spec": both}, PersistentVolumeClaim, strategy), strategy) == [("Invalid", "spec")]
    old = read({"spec": {**base, "volumeAttributesClassName": "a"}}, PersistentVolumeClaim, strategy)
    new = read({"spec": base}, PersistentVolumeClaim, strategy)
    causes = Causes()
    strategy.validate_update(new, old, causes)
    assert ("Forbidden", "spec.volumeAttributesClassName") in shown(causes)
