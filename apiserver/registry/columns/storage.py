"""Columns of persistent volumes, their claims and storage classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apiserver.registry.resource import Column

from .cells import AGE, NAME, UNSET, name

#: From before claims and volumes had a field for it; still read first.
CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
DEFAULT_CLASS_ANNOTATIONS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def access_modes(modes: Sequence[str]) -> str:
    """`RWO,RWX`: each once, always in the same order."""
    return ",".join(short for mode, short in _MODES.items() if mode in modes)


def _phase(obj: Any, now_s: float) -> str:
    return "Terminating" if obj.metadata.deletion_timestamp else str(obj.status.phase)


def _class(obj: Any, now_s: float) -> str:
    return obj.metadata.annotations.get(CLASS_ANNOTATION) or obj.spec.storage_class_name or ""


def _attributes_class(obj: Any, now_s: float) -> str:
    given = obj.spec.volume_attributes_class_name
    return UNSET if given is None else str(given)


def _mode(obj: Any, now_s: float) -> str:
    return obj.spec.volume_mode or UNSET


def _claim(volume: Any, now_s: float) -> str:
    claim = volume.spec.claim_ref
    return f"{claim.namespace}/{claim.name}" if claim else ""


STORAGE_CLASS_NAME = Column("StorageClass", _class, "Its storage class.")
ATTRIBUTES_CLASS = Column("VolumeAttributesClass", _attributes_class, "Its volume attributes class.")
VOLUME_MODE = Column("VolumeMode", _mode, "Whether it holds a file system or is a block device.", priority=1)

PERSISTENT_VOLUME = (
    NAME,
    Column("Capacity", lambda obj, _: str(obj.spec.capacity.get("storage", "0")), "How much it holds."),
    Column("Access Modes", lambda obj, _: access_modes(obj.spec.access_modes), "How it can be mounted."),
    Column(
        "Reclaim Policy",
        lambda obj, _: obj.spec.persistent_volume_reclaim_policy,
        "What happens to it when its claim is gone.",
    ),
    Column("Status", _phase, "Whether it is available, bound or released."),
    Column("Claim", _claim, "Claim it is bound to."),
    STORAGE_CLASS_NAME,
    ATTRIBUTES_CLASS,
    Column("Reason", lambda obj, _: obj.status.reason, "Why it is in that state."),
    AGE,
    VOLUME_MODE,
)


def _is_bound(claim: Any) -> bool:
    return bool(claim.spec.volume_name)


def _claim_capacity(claim: Any, now_s: float) -> str:
    return str(claim.status.capacity.get("storage", "0")) if _is_bound(claim) else ""


def _claim_modes(claim: Any, now_s: float) -> str:
    return access_modes(claim.status.access_modes) if _is_bound(claim) else ""


PERSISTENT_VOLUME_CLAIM = (
    NAME,
    Column("Status", _phase, "Whether it is pending, bound or lost."),
    Column("Volume", lambda obj, _: obj.spec.volume_name, "Volume it is bound to."),
    Column("Capacity", _claim_capacity, "How much that volume holds."),
    Column("Access Modes", _claim_modes, "How that volume can be mounted."),
    STORAGE_CLASS_NAME,
    ATTRIBUTES_CLASS,
    AGE,
    VOLUME_MODE,
)


def _class_name(obj: Any, now_s: float) -> str:
    annotations = obj.metadata.annotations
    default = any(annotations.get(each) == "true" for each in DEFAULT_CLASS_ANNOTATIONS)
    return name(obj, now_s) + (" (default)" if default else "")


STORAGE_CLASS = (
    Column("Name", _class_name, "Name of the object.", format="name"),
    Column("Provisioner", lambda obj, _: obj.provisioner, "Who makes its volumes."),
    Column("ReclaimPolicy", lambda obj, _: obj.reclaim_policy or "Delete", "Reclaim policy of its volumes."),
    Column(
        "VolumeBindingMode",
        lambda obj, _: obj.volume_binding_mode or "Immediate",
        "Whether claims are bound at once or when a pod needs them.",
    ),
    Column(
        "AllowVolumeExpansion",
        lambda obj, _: bool(obj.allow_volume_expansion),
        "Whether its volumes can grow.",
        type="string",
    ),
    AGE,
)
