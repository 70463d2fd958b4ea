"""Wrong containers, one mistake each: the reason and the field that are told."""

from __future__ import annotations

from typing import Any

import pytest
from checked_pods import GOOD_POD, changed, found_in, read

from apiserver.api.core.pod import Pod
from apiserver.registry.strategies.pod import PodStrategy

STRATEGY = PodStrategy()
APP = "spec.containers.0"
INIT = "spec.initContainers.0"
MAIN, FIRST = "spec.containers[0]", "spec.initContainers[0]"
LONG = "a" * 64

WRONG: list[tuple[str, Any, str, str]] = [
    # containers
    ("spec.containers", [], "Required", "spec.containers"),
    (f"{APP}.name", "", "Required", f"{MAIN}.name"),
    (f"{APP}.name", "App", "Invalid", f"{MAIN}.name"),
    (f"{APP}.name", LONG, "Invalid", f"{MAIN}.name"),
    (f"{APP}.image", "", "Required", f"{MAIN}.image"),
    (f"{APP}.image", " nginx", "Invalid", f"{MAIN}.image"),
    (f"{APP}.imagePullPolicy", "Sometimes", "NotSupported", f"{MAIN}.imagePullPolicy"),
    (f"{APP}.terminationMessagePolicy", "Log", "NotSupported", f"{MAIN}.terminationMessagePolicy"),
    (f"{APP}.restartPolicy", "Always", "Forbidden", f"{MAIN}.restartPolicy"),
    ("spec.containers.1", {"name": "app", "image": "a"}, "Duplicate", "spec.containers[1].name"),
    (f"{INIT}.name", "app", "Duplicate", f"{FIRST}.name"),
    (f"{INIT}.restartPolicy", "Never", "NotSupported", f"{FIRST}.restartPolicy"),
    (f"{INIT}.livenessProbe", {"exec": {"command": ["a"]}}, "Forbidden", f"{FIRST}.livenessProbe"),
    (f"{INIT}.readinessProbe", {"exec": {"command": ["a"]}}, "Forbidden", f"{FIRST}.readinessProbe"),
    (f"{INIT}.startupProbe", {"exec": {"command": ["a"]}}, "Forbidden", f"{FIRST}.startupProbe"),
    (f"{INIT}.lifecycle", {}, "Forbidden", f"{FIRST}.lifecycle"),
    (
        "spec.ephemeralContainers",
        [{"name": "look", "image": "a", "ports": [{"containerPort": 1}]}],
        "Forbidden",
        "spec.ephemeralContainers[0].ports",
    ),
    (
        "spec.ephemeralContainers",
        [{"name": "look", "image": "a", "targetContainerName": "no"}],
        "NotFound",
        "spec.ephemeralContainers[0].targetContainerName",
    ),
    # ports
    (f"{APP}.ports.0.containerPort", 0, "Required", f"{MAIN}.ports[0].containerPort"),
    (f"{APP}.ports.0.containerPort", 70000, "Invalid", f"{MAIN}.ports[0].containerPort"),
    (f"{APP}.ports.0.hostPort", 70000, "Invalid", f"{MAIN}.ports[0].hostPort"),
    (f"{APP}.ports.0.protocol", "HTTP", "NotSupported", f"{MAIN}.ports[0].protocol"),
    (f"{APP}.ports.1", {"name": "http", "containerPort": 1}, "Duplicate", f"{MAIN}.ports[1].name"),
    (f"{APP}.ports.1", {"name": "a--b", "containerPort": 1}, "Invalid", f"{MAIN}.ports[1].name"),
    (f"{APP}.ports.1", {"containerPort": 1, "hostPort": 80}, "Duplicate", f"{MAIN}.ports[1].hostPort"),
    ("spec.hostNetwork", True, "Invalid", f"{MAIN}.ports[0].hostPort"),
    # environment
    (f"{APP}.env.0.name", "", "Required", f"{MAIN}.env[0].name"),
    (f"{APP}.env.0.name", "A=B", "Invalid", f"{MAIN}.env[0].name"),
    (f"{APP}.env.0", {"name": "A", "valueFrom": {}}, "Invalid", f"{MAIN}.env[0].valueFrom"),
    (f"{APP}.env.1.value", "x", "Invalid", f"{MAIN}.env[1].valueFrom"),
    (
        f"{APP}.env.1.valueFrom.secretKeyRef",
        {"name": "s", "key": "k"},
        "Invalid",
        f"{MAIN}.env[1].valueFrom",
    ),
    (
        f"{APP}.env.1.valueFrom.fieldRef.fieldPath",
        "",
        "Required",
        f"{MAIN}.env[1].valueFrom.fieldRef.fieldPath",
    ),
    (
        f"{APP}.env.1.valueFrom.fieldRef.fieldPath",
        "spec.foo",
        "Invalid",
        f"{MAIN}.env[1].valueFrom.fieldRef.fieldPath",
    ),
    (
        f"{APP}.env.1.valueFrom.fieldRef.fieldPath",
        "status.phase",
        "NotSupported",
        f"{MAIN}.env[1].valueFrom.fieldRef.fieldPath",
    ),
    (
        f"{APP}.env.1.valueFrom.fieldRef.fieldPath",
        "metadata.labels['a b']",
        "Invalid",
        f"{MAIN}.env[1].valueFrom.fieldRef",
    ),
    (
        f"{APP}.env.1.valueFrom.fieldRef.apiVersion",
        "v2",
        "Invalid",
        f"{MAIN}.env[1].valueFrom.fieldRef.fieldPath",
    ),
    (
        f"{APP}.env.2.valueFrom.resourceFieldRef.resource",
        "limits.gpu",
        "NotSupported",
        f"{MAIN}.env[2].valueFrom.resourceFieldRef.resource",
    ),
    (
        f"{APP}.env.2.valueFrom.resourceFieldRef.divisor",
        "2",
        "Invalid",
        f"{MAIN}.env[2].valueFrom.resourceFieldRef.divisor",
    ),
    (
        f"{APP}.env.3.valueFrom.secretKeyRef.key",
        "",
        "Required",
        f"{MAIN}.env[3].valueFrom.secretKeyRef.key",
    ),
    (
        f"{APP}.env.3.valueFrom.secretKeyRef.name",
        "A B",
        "Invalid",
        f"{MAIN}.env[3].valueFrom.secretKeyRef.name",
    ),
    (f"{APP}.envFrom.0", {}, "Invalid", f"{MAIN}.envFrom"),
    (f"{APP}.envFrom.0.secretRef", {"name": "s"}, "Invalid", f"{MAIN}.envFrom"),
    (f"{APP}.envFrom.0.configMapRef.name", "", "Required", f"{MAIN}.envFrom[0].configMapRef.name"),
    (f"{APP}.envFrom.0.prefix", "a=", "Invalid", f"{MAIN}.envFrom[0].prefix"),
    # mounts
    (f"{APP}.volumeMounts.0.name", "no", "NotFound", f"{MAIN}.volumeMounts[0].name"),
    (f"{APP}.volumeMounts.0.mountPath", "", "Required", f"{MAIN}.volumeMounts[0].mountPath"),
    (f"{APP}.volumeMounts.0.mountPath", "/tmp", "Invalid", f"{MAIN}.volumeMounts[1].mountPath"),
    (f"{APP}.volumeMounts.0.mountPath", "/dev/xvda", "Invalid", f"{MAIN}.volumeMounts[0].mountPath"),
    (f"{APP}.volumeMounts.1.subPath", "/x", "Invalid", f"{MAIN}.volumeMounts.subPath"),
    (f"{APP}.volumeMounts.1.subPath", "a/../b", "Invalid", f"{MAIN}.volumeMounts.subPath"),
    (f"{APP}.volumeMounts.1.subPathExpr", "$(A)", "Invalid", f"{MAIN}.volumeMounts[1].subPathExpr"),
    (
        f"{APP}.volumeMounts.0.mountPropagation",
        "Bidirectional",
        "Forbidden",
        f"{MAIN}.volumeMounts.mountPropagation",
    ),
    (
        f"{APP}.volumeMounts.0.mountPropagation",
        "Upwards",
        "NotSupported",
        f"{MAIN}.volumeMounts.mountPropagation",
    ),
    (
        f"{APP}.volumeMounts.1.recursiveReadOnly",
        "Enabled",
        "Forbidden",
        f"{MAIN}.volumeMounts.recursiveReadOnly",
    ),
    (f"{APP}.volumeDevices.0.name", "scratch", "Invalid", f"{MAIN}.volumeDevices[0].name"),
    (f"{APP}.volumeDevices.0.name", "no", "NotFound", f"{MAIN}.volumeDevices[0].name"),
    (f"{APP}.volumeDevices.0.devicePath", "", "Required", f"{MAIN}.volumeDevices[0].devicePath"),
    (f"{APP}.volumeDevices.0.devicePath", "/a/..", "Invalid", f"{MAIN}.volumeDevices[0].devicePath"),
    # probes and hooks
    (f"{APP}.livenessProbe", {}, "Required", f"{MAIN}.livenessProbe"),
    (f"{APP}.livenessProbe.exec", {"command": ["a"]}, "Forbidden", f"{MAIN}.livenessProbe.httpGet"),
    (f"{APP}.livenessProbe.httpGet.port", 0, "Invalid", f"{MAIN}.livenessProbe.httpGet.port"),
    (f"{APP}.livenessProbe.httpGet.port", "-", "Invalid", f"{MAIN}.livenessProbe.httpGet.port"),
    (f"{APP}.livenessProbe.httpGet.scheme", "FTP", "NotSupported", f"{MAIN}.livenessProbe.httpGet.scheme"),
    (
        f"{APP}.livenessProbe.httpGet.httpHeaders",
        [{"name": "a b", "value": ""}],
        "Invalid",
        f"{MAIN}.livenessProbe.httpGet.httpHeaders",
    ),
    (f"{APP}.livenessProbe.successThreshold", 2, "Invalid", f"{MAIN}.livenessProbe.successThreshold"),
    (f"{APP}.livenessProbe.timeoutSeconds", -1, "Invalid", f"{MAIN}.livenessProbe.timeoutSeconds"),
    (f"{APP}.livenessProbe.failureThreshold", -1, "Invalid", f"{MAIN}.livenessProbe.failureThreshold"),
    (
        f"{APP}.livenessProbe.terminationGracePeriodSeconds",
        0,
        "Invalid",
        f"{MAIN}.livenessProbe.terminationGracePeriodSeconds",
    ),
    (
        f"{APP}.readinessProbe.terminationGracePeriodSeconds",
        5,
        "Invalid",
        f"{MAIN}.readinessProbe.terminationGracePeriodSeconds",
    ),
    (f"{APP}.startupProbe", {"exec": {}}, "Required", f"{MAIN}.startupProbe.exec.command"),
    (f"{APP}.startupProbe", {"grpc": {"port": 0}}, "Invalid", f"{MAIN}.startupProbe.grpc.port"),
    (f"{APP}.lifecycle.preStop", {}, "Required", f"{MAIN}.lifecycle.preStop"),
    (f"{APP}.lifecycle.preStop.sleep.seconds", 31, "Invalid", f"{MAIN}.lifecycle.preStop.sleep"),
    # resources
    (f"{APP}.resources.requests.cpu", "2", "Invalid", f"{MAIN}.resources.requests"),
    (f"{APP}.resources.requests.cpu", "-1", "Invalid", f"{MAIN}.resources.requests[cpu]"),
    (f"{APP}.resources.requests.gpu", "1", "Invalid", f"{MAIN}.resources.requests[gpu]"),
    (f"{APP}.resources.requests.pods", "1", "Invalid", f"{MAIN}.resources.requests[pods]"),
    (f"{APP}.resources.requests.a b", "1", "Invalid", f"{MAIN}.resources.requests[a b]"),
    (f"{APP}.resources.limits.hugepages-2Mi", "3Mi", "Invalid", f"{MAIN}.resources.limits[hugepages-2Mi]"),
    (f"{APP}.resources.claims", [{"name": "no"}], "NotFound", f"{MAIN}.resources.claims[0]"),
    (
        f"{APP}.resizePolicy",
        [{"resourceName": "disk", "restartPolicy": "NotRequired"}],
        "NotSupported",
        f"{MAIN}.resizePolicy",
    ),
    ("spec.overhead", {"cpu": "-1"}, "Invalid", "spec.overhead.limits[cpu]"),
    # security
    (f"{APP}.securityContext.runAsUser", -1, "Invalid", f"{MAIN}.securityContext.runAsUser"),
    (f"{APP}.securityContext.runAsGroup", 2**31, "Invalid", f"{MAIN}.securityContext.runAsGroup"),
    (f"{APP}.securityContext.procMount", "Some", "NotSupported", f"{MAIN}.securityContext.procMount"),
    (f"{APP}.securityContext.procMount", "Unmasked", "Invalid", f"{MAIN}.securityContext.procMount"),
    (
        f"{APP}.securityContext",
        {"privileged": True, "allowPrivilegeEscalation": False},
        "Invalid",
        f"{MAIN}.securityContext",
    ),
    (
        f"{APP}.securityContext",
        {"capabilities": {"add": ["CAP_SYS_ADMIN"]}, "allowPrivilegeEscalation": False},
        "Invalid",
        f"{MAIN}.securityContext",
    ),
    (
        f"{APP}.securityContext.seccompProfile",
        {"type": "Localhost"},
        "Required",
        f"{MAIN}.securityContext.seccompProfile.localhostProfile",
    ),
    (
        f"{APP}.securityContext.appArmorProfile",
        {"type": "Mine"},
        "NotSupported",
        f"{MAIN}.securityContext.appArmorProfile.type",
    ),
    ("spec.securityContext.fsGroup", -1, "Invalid", "spec.securityContext.fsGroup"),
    ("spec.securityContext.supplementalGroups", [1, -1], "Invalid", "spec.securityContext.supplementalGroups[1]"),
    ("spec.securityContext.fsGroupChangePolicy", "No", "NotSupported", "spec.securityContext.fsGroupChangePolicy"),
    ("spec.securityContext.sysctls", [{"name": "a b", "value": ""}], "Invalid", "spec.securityContext.sysctls[0].name"),
    (
        "spec.securityContext.sysctls",
        [{"name": "net.a", "value": ""}, {"name": "net.a", "value": ""}],
        "Duplicate",
        "spec.securityContext.sysctls[1].name",
    ),
    ("spec.securityContext.seccompProfile", {}, "Required", "spec.securityContext.seccompProfile.type"),
    ("spec.os", {"name": "plan9"}, "NotSupported", "spec.os"),
    ("spec.os", {"name": "windows"}, "Forbidden", f"{MAIN}.securityContext.runAsUser"),
]


@pytest.mark.parametrize(("path", "value", "reason", "field"), WRONG, ids=[f"{row[0]}-{row[1]!r:.30}" for row in WRONG])
def test_wrong_pods(path: str, value: Any, reason: str, field: str) -> None:
    assert (reason, field) in found_in(read(changed(GOOD_POD, {path: value}), Pod, STRATEGY), STRATEGY)
