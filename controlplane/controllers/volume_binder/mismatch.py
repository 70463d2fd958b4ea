"""What of a volume is not as a claim asks."""

from __future__ import annotations

from apiserver.api.core.persistent_volumes import PersistentVolume, PersistentVolumeClaim
from apiserver.api.quantity import value
from controlplane.scheduler.volume_matching import STORAGE, class_of_claim, class_of_volume

from .free_volumes import size_wanted


def mismatch_of_named(volume: PersistentVolume, claim: PersistentVolumeClaim) -> str:
    """Of a volume that the claim names itself; "" for nothing. In Kubernetes' words (checkVolumeSatisfyClaim)."""
    if volume.metadata.deletion_timestamp is not None:
        return f'the volume is marked for deletion "{volume.metadata.name}"'
    if _is_too_small(volume, claim):
        return "requested PV is too small"
    if class_of_volume(volume) != class_of_claim(claim):
        return "storageClassName does not match"
    if _differs_in_mode(volume, claim):
        return "incompatible volumeMode"
    return "" if _allows(volume, claim) else "incompatible accessMode"


def _is_too_small(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    return value(volume.spec.capacity.get(STORAGE, 0)) < size_wanted(claim)


def _differs_in_mode(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    return (volume.spec.volume_mode or "Filesystem") != (claim.spec.volume_mode or "Filesystem")


def _allows(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    return set(claim.spec.access_modes) <= set(volume.spec.access_modes)
