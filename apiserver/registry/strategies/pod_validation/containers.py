"""Containers of all three sorts: those that run side by side, those that run before, those that look in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from apiserver.api.core.containers import Container, ContainerPort, EphemeralContainer, ResourceRequirements
from apiserver.api.core.pod import PodSpec
from apiserver.api.core.volumes import Volume
from apiserver.api.fields import Causes
from apiserver.api.names import is_dns_label, is_port_name, is_port_number
from apiserver.api.validation import check

from .environment import validate_env, validate_env_from
from .mounts import validate_devices, validate_mounts
from .operating_systems import validate_windows_options
from .probes import forbid_probes, validate_probes
from .resources import validate_resize_policies, validate_resources
from .security import validate_security_context
from .texts import named, one_of, required
from .volumes import PULL_POLICIES

PROTOCOLS = ("SCTP", "TCP", "UDP")
MESSAGE_POLICIES = ("FallbackToLogsOnError", "File")
SIDECAR = "Always"
_NOT_EPHEMERAL = "cannot be set for an Ephemeral Container"


class Surroundings(NamedTuple):
    """What a container's rules must know of its pod."""

    spec: PodSpec
    volumes: Mapping[str, Volume]
    claims: frozenset[str]
    is_pod: bool

    @property
    def host_users(self) -> bool:
        return self.spec.host_users is not False


def _ports(ports: Sequence[ContainerPort], causes: Causes, path: str) -> None:
    names: set[str] = set()
    for index, port in enumerate(ports):
        here = f"{path}[{index}]"
        if port.name:
            if problems := is_port_name(port.name):
                for problem in problems:
                    causes.invalid(f"{here}.name", port.name, problem)
            elif port.name in names:
                causes.duplicate(f"{here}.name", port.name)
            names.add(port.name)
        if required(causes, f"{here}.containerPort", port.container_port):
            for problem in is_port_number(port.container_port):
                causes.invalid(f"{here}.containerPort", port.container_port, problem)
        for problem in is_port_number(port.host_port) if port.host_port else ():
            causes.invalid(f"{here}.hostPort", port.host_port, problem)
        one_of(causes, f"{here}.protocol", port.protocol, PROTOCOLS)


def _host_ports(containers: Sequence[tuple[Container, str]], causes: Causes) -> None:
    """No port of the node twice among containers that run at the same time."""
    taken: set[str] = set()
    for container, path in containers:
        for index, port in enumerate(container.ports):
            if port.host_port:
                shown = f"{port.protocol}/{port.host_ip}/{port.host_port}"
                if shown in taken:
                    causes.duplicate(f"{path}.ports[{index}].hostPort", shown)
                taken.add(shown)


def _common(container: Container, pod: Surroundings, causes: Causes, path: str) -> None:
    named(is_dns_label, container.name, causes, f"{path}.name")
    required(causes, f"{path}.image", container.image)
    if pod.is_pod and container.image != container.image.strip():
        causes.invalid(f"{path}.image", container.image, "must not have leading or trailing whitespace")
    one_of(causes, f"{path}.terminationMessagePolicy", container.termination_message_policy, MESSAGE_POLICIES)
    _ports(container.ports, causes, f"{path}.ports")
    validate_env(container.env, causes, f"{path}.env")
    validate_env_from(container.env_from, causes, f"{path}.envFrom")
    validate_mounts(container, pod.volumes, causes, f"{path}.volumeMounts")
    validate_devices(container, pod.volumes, causes, f"{path}.volumeDevices")
    one_of(causes, f"{path}.imagePullPolicy", container.image_pull_policy, PULL_POLICIES)
    validate_resources(container.resources, causes, f"{path}.resources", claims=pod.claims)
    validate_resize_policies(container.resize_policy, pod.spec.restart_policy, causes, f"{path}.resizePolicy")
    here = f"{path}.securityContext"
    validate_security_context(container.security_context, causes, here, host_users=pod.host_users)
    if container.security_context:
        validate_windows_options(container.security_context.windows_options, causes, f"{here}.windowsOptions")


def _main_containers(pod: Surroundings, causes: Causes, path: str) -> None:
    containers = [(each, f"{path}[{index}]") for index, each in enumerate(pod.spec.containers)]
    if not containers:
        causes.required(path)
    names: set[str] = set()
    for container, here in containers:
        _common(container, pod, causes, here)
        if container.name in names:
            causes.duplicate(f"{here}.name", container.name)
        names.add(container.name)
        validate_probes(container, causes, here, pod.spec.termination_grace_period_seconds)
        if container.restart_policy is not None:
            causes.forbidden(f"{here}.restartPolicy", "may not be set for non-init containers")
    _host_ports(containers, causes)


def _init_containers(pod: Surroundings, causes: Causes, path: str) -> None:
    names = {container.name for container in pod.spec.containers}
    for index, container in enumerate(pod.spec.init_containers):
        here = f"{path}[{index}]"
        _common(container, pod, causes, here)
        if container.restart_policy not in (None, SIDECAR):
            causes.not_supported(f"{here}.restartPolicy", container.restart_policy, (SIDECAR,))
        if container.name in names:
            causes.duplicate(f"{here}.name", container.name)
        elif container.name:
            names.add(container.name)
        _host_ports([(container, here)], causes)
        if container.restart_policy == SIDECAR:
            validate_probes(container, causes, here, pod.spec.termination_grace_period_seconds)
        else:
            forbid_probes(container, causes, here)
            if container.resize_policy:
                rule = "must not be set for init containers"
                causes.invalid(f"{here}.resizePolicy", container.resize_policy, rule)


def _ephemeral(container: EphemeralContainer, causes: Causes, path: str) -> None:
    """It looks in and goes again, so the pod must not come to rely on it."""
    for name, given in (
        ("ports", container.ports),
        ("resources", container.resources != ResourceRequirements()),
        ("resizePolicy", container.resize_policy),
        ("restartPolicy", container.restart_policy is not None),
        ("livenessProbe", container.liveness_probe),
        ("readinessProbe", container.readiness_probe),
        ("startupProbe", container.startup_probe),
        ("lifecycle", container.lifecycle),
    ):
        if given:
            causes.forbidden(f"{path}.{name}", _NOT_EPHEMERAL)
    for index, mount in enumerate(container.volume_mounts):
        for name, value in (("subPath", mount.sub_path), ("subPathExpr", mount.sub_path_expr)):
            if value:
                causes.forbidden(f"{path}.volumeMounts[{index}].{name}", _NOT_EPHEMERAL)


def _ephemeral_containers(pod: Surroundings, causes: Causes, path: str) -> None:
    others = {each.name for each in (*pod.spec.containers, *pod.spec.init_containers)}
    names = set(others)
    for index, container in enumerate(pod.spec.ephemeral_containers):
        here = f"{path}[{index}]"
        _common(container, pod, causes, here)
        if container.name in names:
            causes.duplicate(f"{here}.name", container.name)
        names.add(container.name)
        if container.target_container_name and container.target_container_name not in others:
            causes.not_found(f"{here}.targetContainerName", container.target_container_name)
        _ephemeral(container, causes, here)


def validate_containers(pod: Surroundings, causes: Causes, path: str) -> None:
    """`path` is the spec's."""
    _main_containers(pod, causes, f"{path}.containers")
    _init_containers(pod, causes, f"{path}.initContainers")
    _ephemeral_containers(pod, causes, f"{path}.ephemeralContainers")


def validate_claims(spec: PodSpec, causes: Causes, path: str) -> frozenset[str]:
    """Checks spec.resourceClaims and returns their names."""
    names: set[str] = set()
    for index, claim in enumerate(spec.resource_claims):
        here = f"{path}[{index}]"
        if required(causes, f"{here}.name", claim.name):
            if claim.name in names:
                causes.duplicate(f"{here}.name", claim.name)
            else:
                check(is_dns_label, claim.name, causes, f"{here}.name")
            names.add(claim.name)
        given = (claim.resource_claim_name, claim.resource_claim_template_name)
        if None not in given:
            rule = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            causes.invalid(here, claim, rule)
        elif given == (None, None):
            rule = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            causes.invalid(here, claim, rule)
    return frozenset(names)
