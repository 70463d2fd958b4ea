"""PersistentVolumes and claims: what may be bound to what, and what stays as it is once it is there."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

import msgspec

from apiserver.api.core.persistent_volumes import (
    LocalVolumeSource,
    PersistentVolume,
    PersistentVolumeClaim,
    PersistentVolumeClaimSpec,
    PersistentVolumeClaimStatus,
    PersistentVolumeSource,
    PersistentVolumeSpec,
    PersistentVolumeStatus,
    VolumeNodeAffinity,
)
from apiserver.api.core.references import TypedLocalObjectReference, TypedObjectReference
from apiserver.api.fields import Causes
from apiserver.api.names import is_dns_subdomain, is_qualified_name
from apiserver.api.quantity import ZERO, parse
from apiserver.api.validation import IMMUTABLE, check, validate_immutable
from apiserver.registry.strategy import Strategy

from .pod_defaults import default_claim_spec, default_plugins
from .pod_validation.claims import (
    VOLUME_MODES,
    validate_access_modes,
    validate_claim_spec,
    validate_positive,
)
from .pod_validation.scheduling import validate_node_selector
from .pod_validation.texts import one_of_or_absent, required, without_steps_back
from .pod_validation.volume_sources import (
    INITIATOR_RULE,
    SHARED,
    SourceRule,
    csi_persistent,
    is_too_long_for_initiator,
    validate_one_source,
)
from .pod_warnings import newer_label
from .quantities import canonical_amounts

RECLAIM_POLICIES = ("Delete", "Recycle", "Retain")
RESIZE_STATES = (
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
)
CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
CLAIM_IMMUTABLE = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
)


def _local(source: LocalVolumeSource, causes: Causes, path: str) -> None:
    if required(causes, f"{path}.path", source.path):
        without_steps_back(causes, f"{path}.path", source.path)


_RULES: dict[str, SourceRule] = {**SHARED, "local": _local, "csi": csi_persistent}


def _capacity(spec: PersistentVolumeSpec, causes: Causes, path: str) -> None:
    if not spec.capacity:
        causes.required(path)
    if set(spec.capacity) != {"storage"}:
        causes.not_supported(path, spec.capacity, ("storage",))
    for name, amount in spec.capacity.items():
        validate_positive(amount, causes, f"{path}[{name}]")


def _around_the_source(spec: PersistentVolumeSpec, name: str, causes: Causes, path: str) -> None:
    """What one field asks of another."""
    if spec.local and spec.node_affinity is None:
        causes.required(f"{path}.nodeAffinity", "Local volume requires node affinity")
    root = spec.host_path is not None and posixpath.normpath(spec.host_path.path or ".").lstrip("/") == ""
    if root and spec.persistent_volume_reclaim_policy == "Recycle":
        rule = "may not be 'recycle' for a hostPath mount of '/'"
        causes.forbidden(f"{path}.persistentVolumeReclaimPolicy", rule)
    if spec.iscsi and is_too_long_for_initiator(name, spec.iscsi):
        causes.invalid(f"{path}.iscsi.targetportal", spec.iscsi.target_portal, INITIATOR_RULE)
    if spec.volume_attributes_class_name is None:
        return
    if not spec.volume_attributes_class_name:
        causes.required(f"{path}.volumeAttributesClassName", "an empty string is disallowed")
    else:
        check(is_dns_subdomain, spec.volume_attributes_class_name, causes, f"{path}.volumeAttributesClassName")
    if spec.csi is None:
        causes.required(f"{path}.csi", "has to be specified when using volumeAttributesClassName")


def _source_of(spec: PersistentVolumeSpec, *, expand_secret: bool) -> dict[str, Any]:
    """The fields that say what the storage is; the secret for growing may be left out of the comparison."""
    found = {name: getattr(spec, name) for name in PersistentVolumeSource.__struct_fields__}
    if found["csi"] is not None and not expand_secret:
        found["csi"] = msgspec.structs.replace(found["csi"], controller_expand_secret_ref=None)
    return found


def _with_newer_labels(new: VolumeNodeAffinity | None, old: VolumeNodeAffinity) -> VolumeNodeAffinity:
    """The old affinity with the keys that the new one replaced by their successors."""
    if new is None or new.required is None or old.required is None:
        return old
    copy = msgspec.convert(msgspec.to_builtins(old), VolumeNodeAffinity)
    assert copy.required is not None
    for before, after in zip(copy.required.node_selector_terms, new.required.node_selector_terms, strict=False):
        for condition, given in zip(before.match_expressions, after.match_expressions, strict=False):
            if newer_label(condition.key) == given.key:
                condition.key = given.key
    return copy


class PersistentVolumeStrategy(Strategy[PersistentVolume]):
    """What the storage is cannot change; what it is used for can."""

    returns_deleted = True

    def default(self, obj: PersistentVolume) -> None:
        spec = obj.spec
        spec.persistent_volume_reclaim_policy = spec.persistent_volume_reclaim_policy or "Retain"
        if spec.volume_mode is None:
            spec.volume_mode = "Filesystem"
        spec.capacity = canonical_amounts(spec.capacity, "spec.capacity")
        default_plugins(spec)
        if spec.claim_ref is not None:
            spec.claim_ref.kind = spec.claim_ref.kind or "PersistentVolumeClaim"
            spec.claim_ref.api_version = spec.claim_ref.api_version or "v1"
        obj.status.phase = obj.status.phase or "Pending"

    def initial_status(self, obj: PersistentVolume) -> Any:
        return PersistentVolumeStatus(phase="Pending")

    def validate(self, obj: PersistentVolume, causes: Causes) -> None:
        spec, path = obj.spec, "spec"
        validate_access_modes(spec.access_modes, causes, f"{path}.accessModes")
        _capacity(spec, causes, f"{path}.capacity")
        policy = spec.persistent_volume_reclaim_policy
        one_of_or_absent(causes, f"{path}.persistentVolumeReclaimPolicy", policy or None, RECLAIM_POLICIES)
        if spec.node_affinity and spec.node_affinity.required:
            validate_node_selector(spec.node_affinity.required, causes, f"{path}.nodeAffinity.required")
        elif spec.node_affinity:
            causes.required(f"{path}.nodeAffinity.required", "must specify required node constraints")
        validate_one_source(spec, _RULES, causes, path)
        _around_the_source(spec, obj.metadata.name, causes, path)
        if spec.storage_class_name:
            check(is_dns_subdomain, spec.storage_class_name, causes, f"{path}.storageClassName")
        one_of_or_absent(causes, f"{path}.volumeMode", spec.volume_mode, VOLUME_MODES)

    def validate_update(self, obj: PersistentVolume, old: PersistentVolume, causes: Causes) -> None:
        new, before = obj.spec, old.spec
        settled = not before.csi or before.csi.controller_expand_secret_ref is not None
        if _source_of(new, expand_secret=settled) != _source_of(before, expand_secret=settled):
            rule = "spec.persistentvolumesource is immutable after creation"
            causes.forbidden("spec.persistentvolumesource", rule)
        validate_immutable(new.volume_mode, before.volume_mode, causes, "volumeMode")
        affinity = new.node_affinity
        if before.node_affinity is not None and affinity != _with_newer_labels(affinity, before.node_affinity):
            causes.invalid("nodeAffinity", affinity, f"{IMMUTABLE}, except for updating from beta label to GA")
        if before.volume_attributes_class_name is not None and new.volume_attributes_class_name is None:
            causes.forbidden("spec.volumeAttributesClassName", "update from non-nil value to nil is forbidden")


def _same_data_sources(spec: PersistentVolumeClaimSpec) -> None:
    """The two ways to name where the content comes from say the same, unless another namespace is meant."""
    one, other = spec.data_source, spec.data_source_ref
    if one is not None and other is None:
        spec.data_source_ref = TypedObjectReference(api_group=one.api_group, kind=one.kind, name=one.name)
    elif one is None and other is not None and not other.namespace:
        spec.data_source = TypedLocalObjectReference(api_group=other.api_group, kind=other.kind, name=other.name)


def _class_from_annotation(new: PersistentVolumeClaim, old: PersistentVolumeClaim) -> bool:
    """The class moves from the old annotation into the field, and is the same."""
    class_name = old.metadata.annotations.get(CLASS_ANNOTATION)
    return (
        class_name is not None
        and old.spec.storage_class_name is None
        and new.spec.storage_class_name == class_name
        and new.metadata.annotations.get(CLASS_ANNOTATION, class_name) == class_name
    )


def _class_is_set_once(new: PersistentVolumeClaim, old: PersistentVolumeClaim) -> bool:
    """A claim without a class may get one."""
    given = new.spec.storage_class_name
    return (
        given is not None
        and old.spec.storage_class_name is None
        and old.metadata.annotations.get(CLASS_ANNOTATION, given) == given
    )


def _comparable(new: PersistentVolumeClaim, old: PersistentVolumeClaim) -> PersistentVolumeClaimSpec:
    """The new spec with everything taken back that may change."""
    spec = msgspec.structs.replace(new.spec)
    if not old.spec.volume_name:
        spec.volume_name = ""
    if _class_from_annotation(new, old) or _class_is_set_once(new, old):
        spec.storage_class_name = old.spec.storage_class_name
    if new.status.phase == "Bound":
        requests = dict(spec.resources.requests)
        if "storage" in old.spec.resources.requests:
            requests["storage"] = old.spec.resources.requests["storage"]
        spec.resources = msgspec.structs.replace(spec.resources, requests=requests)
        if spec.volume_attributes_class_name is not None:
            spec.volume_attributes_class_name = old.spec.volume_attributes_class_name
    return spec


def _size_change(new: PersistentVolumeClaim, old: PersistentVolumeClaim, causes: Causes) -> None:
    """A claim grows; it may shrink again only as far as the volume has not grown."""
    path = "spec.resources.requests.storage"
    now = parse(new.spec.resources.requests.get("storage", 0))
    before = parse(old.spec.resources.requests.get("storage", 0))
    if now < before and now <= parse(old.status.capacity.get("storage", 0)):
        causes.forbidden(path, "field can not be less than status.capacity")


def _resource_states(states: Mapping[str, str], causes: Causes, path: str) -> None:
    for name, state in states.items():
        check(is_qualified_name, name, causes, path)
        if state not in RESIZE_STATES:
            causes.not_supported(path, state, RESIZE_STATES)


class PersistentVolumeClaimStrategy(Strategy[PersistentVolumeClaim]):
    """A claim stays what it is, but for the volume it is bound to and, once it is, its size."""

    returns_deleted = True

    def default(self, obj: PersistentVolumeClaim) -> None:
        default_claim_spec(obj.spec, "spec")
        _same_data_sources(obj.spec)
        status = obj.status
        status.phase = status.phase or "Pending"
        if status.capacity:
            status.capacity = canonical_amounts(status.capacity, "status.capacity")
        if status.allocated_resources:
            status.allocated_resources = canonical_amounts(status.allocated_resources, "status.allocatedResources")

    def initial_status(self, obj: PersistentVolumeClaim) -> Any:
        return PersistentVolumeClaimStatus(phase="Pending")

    def validate(self, obj: PersistentVolumeClaim, causes: Causes) -> None:
        validate_claim_spec(obj.spec, causes, "spec")

    def validate_update(self, obj: PersistentVolumeClaim, old: PersistentVolumeClaim, causes: Causes) -> None:
        if not _class_from_annotation(obj, old):
            now, before = (each.metadata.annotations.get(CLASS_ANNOTATION, "") for each in (obj, old))
            validate_immutable(now, before, causes, f"metadata.annotations.{CLASS_ANNOTATION}")
        if _comparable(obj, old) != old.spec:
            causes.forbidden("spec", CLAIM_IMMUTABLE)
        _size_change(obj, old, causes)
        validate_immutable(obj.spec.volume_mode, old.spec.volume_mode, causes, "volumeMode")
        before_class, now_class = old.spec.volume_attributes_class_name, obj.spec.volume_attributes_class_name
        if before_class is not None and not now_class:
            what = "nil" if now_class is None else "an empty string"
            causes.forbidden("spec.volumeAttributesClassName", f"update from non-nil value to {what} is forbidden")

    def validate_status(self, obj: PersistentVolumeClaim, old: PersistentVolumeClaim, causes: Causes) -> None:
        for name, amounts in (
            ("capacity", obj.status.capacity),
            ("allocatedResources", obj.status.allocated_resources),
        ):
            for resource, amount in amounts.items():
                if parse(amount) < ZERO:
                    causes.invalid(f"status.{name}[{resource}]", amount, "must be a valid resource quantity")
        states = obj.status.allocated_resource_statuses
        _resource_states(states, causes, "status.allocatedResourceStatuses")
