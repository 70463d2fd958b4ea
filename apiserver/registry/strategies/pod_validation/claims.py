"""The spec of a PersistentVolumeClaim; pods hold some, as templates of ephemeral volumes."""

from __future__ import annotations

from collections.abc import Sequence

from apiserver.api.core.persistent_volumes import PersistentVolumeClaimSpec
from apiserver.api.core.references import TypedLocalObjectReference, TypedObjectReference
from apiserver.api.fields import Causes
from apiserver.api.names import is_dns_label, is_dns_subdomain
from apiserver.api.quantity import ZERO, parse
from apiserver.api.validation import check, validate_label_selector

from .texts import POSITIVE, one_of_or_absent, required

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")
_ALONE = "ReadWriteOncePod"


def validate_access_modes(modes: Sequence[str], causes: Causes, path: str, *, detail: str = "") -> None:
    """At least one; the strictest stands alone. `detail` is what is said when there is none."""
    if not modes:
        causes.required(path, detail)
    for mode in modes:
        if mode not in ACCESS_MODES:
            causes.not_supported(path, mode, ACCESS_MODES)
    if _ALONE in modes and any(mode in ACCESS_MODES and mode != _ALONE for mode in modes):
        causes.forbidden(path, f"may not use {_ALONE} with other access modes")


def validate_positive(amount: str | int | float, causes: Causes, path: str) -> None:
    quantity = parse(amount)
    if quantity <= ZERO:
        causes.invalid(path, str(quantity), POSITIVE)


def _data_source(source: TypedLocalObjectReference | TypedObjectReference, causes: Causes, path: str) -> None:
    required(causes, f"{path}.name", source.name)
    required(causes, f"{path}.kind", source.kind)
    if source.api_group:
        check(is_dns_subdomain, source.api_group, causes, f"{path}.apiGroup")
    elif source.kind != "PersistentVolumeClaim":
        rule = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        causes.invalid(path, source.kind, rule)
    if isinstance(source, TypedObjectReference) and source.namespace:
        check(is_dns_label, source.namespace, causes, f"{path}.namespace")


def _data_sources(spec: PersistentVolumeClaimSpec, causes: Causes, path: str) -> None:
    one, other = spec.data_source, spec.data_source_ref
    if one:
        _data_source(one, causes, f"{path}.dataSource")
    if other:
        _data_source(other, causes, f"{path}.dataSourceRef")
    if not one or not other:
        return
    if other.namespace:
        rule = "may not be specified when dataSourceRef.namespace is specified"
        causes.invalid(path, f"{path}.dataSource", rule)
    elif (one.api_group or "", one.kind, one.name) != (other.api_group or "", other.kind, other.name):
        causes.invalid(path, f"{path}.dataSource", "must match dataSourceRef")


def validate_claim_spec(spec: PersistentVolumeClaimSpec, causes: Causes, path: str) -> None:
    validate_access_modes(spec.access_modes, causes, f"{path}.accessModes", detail="at least 1 access mode is required")
    validate_label_selector(spec.selector, causes, f"{path}.selector")
    storage = spec.resources.requests.get("storage")
    if storage is None:
        causes.required(f"{path}.resources[storage]")
    else:
        validate_positive(storage, causes, f"{path}.resources[storage]")
    for name, class_name in (
        ("storageClassName", spec.storage_class_name),
        ("volumeAttributesClassName", spec.volume_attributes_class_name),
    ):
        if class_name:
            check(is_dns_subdomain, class_name, causes, f"{path}.{name}")
    one_of_or_absent(causes, f"{path}.volumeMode", spec.volume_mode, VOLUME_MODES)
    _data_sources(spec, causes, path)
