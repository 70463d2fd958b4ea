"""A pod's spec as a whole, on its own or in a template."""

from __future__ import annotations

from apiserver.api.core.containers import ResourceRequirements
from apiserver.api.core.pod import PodSpec, PodTemplateSpec
from apiserver.api.fields import Causes
from apiserver.api.meta import ObjectMeta
from apiserver.api.names import is_dns_subdomain, is_qualified_name
from apiserver.api.quantity import parse
from apiserver.api.validation import check, validate_annotations, validate_labels

from .annotations import validate_pod_annotations
from .containers import Surroundings, validate_claims, validate_containers
from .network import validate_network
from .operating_systems import validate_operating_system
from .resources import validate_resources
from .scheduling import validate_affinity, validate_gates, validate_spread, validate_tolerations
from .security import validate_pod_security_context
from .texts import in_range, one_of
from .volumes import validate_volumes

RESTART_POLICIES = ("Always", "Never", "OnFailure")
PREEMPTION_POLICIES = ("Never", "PreemptLowerPriority")
SECONDS_MAX = 2**31 - 1


def _names(spec: PodSpec, causes: Causes, path: str) -> None:
    for name, value in (
        ("serviceAccountName", spec.service_account_name),
        ("nodeName", spec.node_name),
        ("priorityClassName", spec.priority_class_name),
        ("runtimeClassName", spec.runtime_class_name),
    ):
        if value or (name == "runtimeClassName" and value is not None):
            check(is_dns_subdomain, value, causes, f"{path}.{name}")
    for index, gate in enumerate(spec.readiness_gates):
        check(is_qualified_name, gate.condition_type, causes, f"{path}.readinessGates[{index}].conditionType")


def _whole_pod_resources(spec: PodSpec, causes: Causes, path: str) -> None:
    if spec.overhead:
        validate_resources(ResourceRequirements(limits=spec.overhead), causes, f"{path}.overhead")
    if spec.resources is None:
        return
    if spec.resources.claims:
        causes.forbidden(f"{path}.resources.claims", "claims cannot be set for Resources at pod-level")
    validate_resources(spec.resources, causes, f"{path}.resources")
    for index, container in enumerate(spec.containers):
        for name, amount in container.resources.limits.items():
            whole = spec.resources.limits.get(name)
            if whole is not None and parse(amount) > parse(whole):
                rule = f"must be less than or equal to pod limits of {whole}"
                causes.invalid(f"{path}.resources.containers[{index}][{name}].limits", amount, rule)


def _scheduling(spec: PodSpec, causes: Causes, path: str) -> None:
    validate_labels(spec.node_selector, causes, f"{path}.nodeSelector")
    if spec.affinity:
        validate_affinity(spec.affinity, causes, f"{path}.affinity")
    validate_gates(spec.scheduling_gates, causes, f"{path}.schedulingGates")
    validate_spread(spec.topology_spread_constraints, causes, f"{path}.topologySpreadConstraints")
    validate_tolerations(spec.tolerations, causes, f"{path}.tolerations")
    if spec.preemption_policy is not None:
        one_of(causes, f"{path}.preemptionPolicy", spec.preemption_policy, PREEMPTION_POLICIES)


def validate_pod_spec(spec: PodSpec, causes: Causes, path: str, *, pod_name: str = "", is_pod: bool = False) -> None:
    """Everything within one spec. Templates leave `is_pod` false: some rules wait until a pod is made of them."""
    if spec.termination_grace_period_seconds is None:
        causes.required(f"{path}.terminationGracePeriodSeconds")
    volumes = validate_volumes(spec.volumes, causes, f"{path}.volumes", pod_name=pod_name, is_pod=is_pod)
    claims = validate_claims(spec, causes, f"{path}.resourceClaims")
    validate_containers(Surroundings(spec, volumes, claims, is_pod), causes, path)
    _whole_pod_resources(spec, causes, path)
    one_of(causes, f"{path}.restartPolicy", spec.restart_policy, RESTART_POLICIES)
    validate_network(spec, causes, path, is_pod=is_pod)
    validate_pod_security_context(spec, causes, path)
    _scheduling(spec, causes, path)
    _names(spec, causes, path)
    if spec.active_deadline_seconds is not None:
        in_range(causes, f"{path}.activeDeadlineSeconds", spec.active_deadline_seconds, low=1, high=SECONDS_MAX)
    validate_operating_system(spec, causes, path)


def validate_pod_template(template: PodTemplateSpec, causes: Causes, path: str) -> None:
    """Labels, annotations and spec of pods to be. `path` is the template's, such as spec.template."""
    meta: ObjectMeta = template.metadata
    validate_annotations(meta.annotations, causes, f"{path}.metadata.annotations")
    validate_labels(meta.labels, causes, f"{path}.metadata.labels")
    validate_pod_annotations(meta.annotations, template.spec, causes, f"{path}.metadata.annotations")
    validate_pod_spec(template.spec, causes, f"{path}.spec")
    if template.spec.ephemeral_containers:
        rule = "ephemeral containers not allowed in pod template"
        causes.forbidden(f"{path}.spec.ephemeralContainers", rule)
