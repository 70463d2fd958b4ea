"""Pods: who sets what, and what is checked when. Templates share the defaults and rules (`pod_template`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from apiserver.api.core.pod import Pod, PodCondition, PodIP, PodStatus
from apiserver.api.core.scheduling import PodAffinityTerm
from apiserver.api.fields import Causes
from apiserver.api.meta import LabelSelectorRequirement
from apiserver.registry.strategy import Strategy

from .pod_alike import AlikePods
from .pod_defaults import GRACE_PERIOD_S
from .pod_validation.annotations import validate_pod_annotations
from .pod_validation.remembered import GoodSpecs
from .pod_validation.status import validate_pod_status
from .pod_validation.updates import validate_pod_update
from .pod_warnings import pod_warnings

FINISHED = ("Failed", "Succeeded")


def _pod_terms(pod: Pod) -> Iterator[PodAffinityTerm]:
    affinity = pod.spec.affinity
    for half in (affinity.pod_affinity, affinity.pod_anti_affinity) if affinity else ():
        if half is not None:
            yield from half.required_during_scheduling_ignored_during_execution
            for wish in half.preferred_during_scheduling_ignored_during_execution:
                yield wish.pod_affinity_term


def _label_keys_to_selectors(pod: Pod) -> None:
    """`matchLabelKeys` stand for the values this very pod has: they become conditions once and for all."""
    for term in _pod_terms(pod):
        if term.label_selector is None:
            continue
        for keys, operator in ((term.match_label_keys, "In"), (term.mismatch_label_keys, "NotIn")):
            for key in keys:
                if key in pod.metadata.labels:
                    condition = LabelSelectorRequirement(key=key, operator=operator, values=[pod.metadata.labels[key]])
                    if condition not in term.label_selector.match_expressions:
                        term.label_selector.match_expressions.append(condition)


def _gate_condition() -> PodCondition:
    return PodCondition(
        type="PodScheduled",
        status="False",
        reason="SchedulingGated",
        message="Scheduling is blocked due to non-empty scheduling gates",
    )


class PodStrategy(Strategy[Pod]):
    """A pod's spec hardly changes once it is there; its status is written by the node it runs on."""

    def __init__(self) -> None:
        self._good_specs = GoodSpecs()
        self._alike = AlikePods()

    returns_deleted = True

    def default(self, obj: Pod) -> None:
        self._alike.default(obj)

    def prepare_create(self, obj: Pod) -> None:
        """Raises Invalid for what only a new pod may not have."""
        causes = Causes()
        if obj.spec.ephemeral_containers:
            causes.forbidden("spec.ephemeralContainers", "cannot be set on create")
        if obj.spec.node_name and obj.spec.scheduling_gates:
            causes.forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared")
        if causes:
            raise causes.error(kind="Pod", group="", name=obj.metadata.name)
        _label_keys_to_selectors(obj)

    def prepare_status(self, obj: Pod, old: Pod) -> None:
        """What the cluster decided stays when the node leaves it out, and the first address is told twice."""
        obj.metadata.owner_references = old.metadata.owner_references
        status = obj.status
        status.qos_class = status.qos_class or old.status.qos_class
        if status.pod_ip and (not status.pod_ips or status.pod_ips[0].ip != status.pod_ip):
            status.pod_ips = [PodIP(ip=status.pod_ip)]
        elif status.pod_ips:
            status.pod_ip = status.pod_ips[0].ip

    def validate(self, obj: Pod, causes: Causes) -> None:
        meta, spec = obj.metadata, obj.spec
        validate_pod_annotations(meta.annotations, spec, causes, "metadata.annotations")
        self._good_specs.validate(spec, causes, pod_name=meta.name)
        if spec.service_account_name:
            return
        for index, volume in enumerate(spec.volumes):
            for number, part in enumerate(volume.projected.sources if volume.projected else ()):
                if part.service_account_token is not None:
                    here = f"spec.volumes[{index}].projected.sources[{number}].serviceAccountToken"
                    causes.forbidden(here, "must not be specified when serviceAccountName is not set")

    def validate_update(self, obj: Pod, old: Pod, causes: Causes) -> None:
        validate_pod_update(obj, old, causes)

    def validate_status(self, obj: Pod, old: Pod, causes: Causes) -> None:
        validate_pod_status(obj, old, causes)

    def warnings(self, obj: Pod) -> Sequence[str]:
        return pod_warnings(obj.spec, "spec")

    def grace_period_s(self, obj: Pod, asked: int | None) -> int | None:
        """As asked, or as the pod says; 0 when nobody runs it. A negative one is 1."""
        if not obj.spec.node_name or obj.status.phase in FINISHED:
            return 0
        period = obj.spec.termination_grace_period_seconds if asked is None else asked
        if period is None:
            period = GRACE_PERIOD_S
        return 1 if period < 0 else period

    def initial_status(self, obj: Pod) -> Any:
        """Pending; one with gates says so. The class of service follows with the defaults."""
        conditions = [_gate_condition()] if obj.spec.scheduling_gates else []
        return PodStatus(phase="Pending", conditions=conditions)
