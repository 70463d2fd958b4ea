"""What may change in a pod that is there: little, for it runs."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from apiserver.api.core.containers import Container
from apiserver.api.core.pod import Pod, PodSpec
from apiserver.api.core.scheduling import NodeAffinity, NodeSelectorTerm, PodSchedulingGate, Toleration
from apiserver.api.fields import Causes

from .annotations import MIRROR, validate_annotation_changes

_UPDATABLE = (
    "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
    "`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
IMMUTABLE = f"pod updates may not change fields other than {_UPDATABLE}"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def _deadline(new: PodSpec, old: PodSpec, causes: Causes, path: str) -> None:
    if new.active_deadline_seconds is None:
        if old.active_deadline_seconds is not None:
            causes.invalid(path, None, "must not update from a positive integer to nil value")
    elif old.active_deadline_seconds is not None and old.active_deadline_seconds < new.active_deadline_seconds:
        causes.invalid(path, new.active_deadline_seconds, "must be less than or equal to previous value")


def _tolerations(new: Sequence[Toleration], old: Sequence[Toleration], causes: Causes, path: str) -> None:
    """Old ones stay, but for how long they hold."""
    there = [msgspec.structs.replace(each, toleration_seconds=None) for each in new]
    if any(msgspec.structs.replace(each, toleration_seconds=None) not in there for each in old):
        causes.forbidden(path, "existing toleration can not be modified except its tolerationSeconds")


def _gates(new: Sequence[PodSchedulingGate], old: Sequence[PodSchedulingGate], causes: Causes, path: str) -> None:
    known = {gate.name for gate in old}
    for index, gate in enumerate(new):
        if gate.name not in known:
            rule = f"only deletion is allowed, but found new scheduling gate '{gate.name}'"
            causes.forbidden(f"{path}[{index}].name", rule)


def _only_added(new: NodeSelectorTerm, old: NodeSelectorTerm) -> bool:
    """A term is a conjunction: more conditions make it narrower. An empty one matches nothing and must stay so."""
    if not old.match_expressions and not old.match_fields:
        return not new.match_expressions and not new.match_fields
    return (
        new.match_expressions[: len(old.match_expressions)] == old.match_expressions
        and new.match_fields[: len(old.match_fields)] == old.match_fields
    )


def _node_affinity(new: NodeAffinity | None, old: NodeAffinity | None, causes: Causes, path: str) -> None:
    selector = old.required_during_scheduling_ignored_during_execution if old else None
    if selector is None or not selector.node_selector_terms:
        return
    given = new.required_during_scheduling_ignored_during_execution if new else None
    old_terms, new_terms = selector.node_selector_terms, given.node_selector_terms if given else []
    here = f"{path}.{_REQUIRED}.nodeSelectorTerms"
    if len(old_terms) != len(new_terms):
        causes.invalid(here, new_terms, "no additions/deletions to non-empty NodeSelectorTerms list are allowed")
        return
    for index, (term, before) in enumerate(zip(new_terms, old_terms, strict=True)):
        if not _only_added(term, before):
            causes.invalid(f"{here}[{index}]", term, "only additions are allowed (no mutations or deletions)")


def _gated(allowed: PodSpec, old: PodSpec, causes: Causes, path: str) -> None:
    """While a pod waits at a gate its choice of nodes may be narrowed. Takes that out of `allowed`."""
    if any(allowed.node_selector.get(key) != value for key, value in old.node_selector.items()):
        rule = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        causes.invalid(f"{path}.nodeSelector", allowed.node_selector, rule)
    allowed.node_selector = old.node_selector
    new_nodes = allowed.affinity.node_affinity if allowed.affinity else None
    old_nodes = old.affinity.node_affinity if old.affinity else None
    if new_nodes == old_nodes:
        return
    _node_affinity(new_nodes, old_nodes, causes, f"{path}.affinity.nodeAffinity")
    others = (allowed.affinity.pod_affinity, allowed.affinity.pod_anti_affinity) if allowed.affinity else (None, None)
    before = (old.affinity.pod_affinity, old.affinity.pod_anti_affinity) if old.affinity else (None, None)
    if others == before:
        allowed.affinity = old.affinity


def _images_of_old(new: Sequence[Container], old: Sequence[Container]) -> list[Container]:
    return [msgspec.structs.replace(each, image=before.image) for each, before in zip(new, old, strict=True)]


def validate_ephemeral_update(pod: Pod, old_pod: Pod, causes: Causes) -> None:
    """Ephemeral containers come and never change or go; the pod of a file on a node has none."""
    if MIRROR in old_pod.metadata.annotations:
        causes.forbidden("", "static pods do not support ephemeral containers")
        return
    given = {container.name: container for container in pod.spec.ephemeral_containers}
    for container in old_pod.spec.ephemeral_containers:
        new = given.get(container.name)
        if new != container:
            what = "removed" if new is None else "changed"
            rule = f'existing ephemeral containers "{container.name}" may not be {what}'
            causes.forbidden("spec.ephemeralContainers", rule)


def validate_pod_update(pod: Pod, old_pod: Pod, causes: Causes) -> None:
    """The rules of the change; those of the whole pod are checked besides."""
    validate_annotation_changes(pod.metadata.annotations, old_pod.metadata.annotations, causes, "metadata.annotations")
    new, old, path = pod.spec, old_pod.spec, "spec"
    for name, now, before in (
        ("containers", new.containers, old.containers),
        ("initContainers", new.init_containers, old.init_containers),
    ):
        if len(now) != len(before):
            causes.forbidden(f"{path}.{name}", "pod updates may not add or remove containers")
            return
    _deadline(new, old, causes, f"{path}.activeDeadlineSeconds")
    _tolerations(new.tolerations, old.tolerations, causes, f"{path}.tolerations")
    _gates(new.scheduling_gates, old.scheduling_gates, causes, f"{path}.schedulingGates")
    if new == old:
        return
    allowed = msgspec.structs.replace(
        new,
        containers=_images_of_old(new.containers, old.containers),
        init_containers=_images_of_old(new.init_containers, old.init_containers),
        active_deadline_seconds=old.active_deadline_seconds,
        tolerations=old.tolerations,
        scheduling_gates=old.scheduling_gates,
    )
    grace_period = old.termination_grace_period_seconds
    if grace_period is not None and grace_period < 0 and new.termination_grace_period_seconds == 1:
        allowed.termination_grace_period_seconds = grace_period
    if old.scheduling_gates:
        _gated(allowed, old, causes, path)
    changed = [
        shown
        for field, shown in zip(allowed.__struct_fields__, allowed.__struct_encode_fields__, strict=True)
        if getattr(allowed, field) != getattr(old, field)
    ]
    if changed:
        causes.forbidden(path, f"{IMMUTABLE}\nchanged: {', '.join(f'spec.{each}' for each in changed)}")
