"""Which PersistentVolume a claim may be bound to. Pure.

As Kubernetes has it (pkg/volume persistentvolume/util FindMatchingVolume): the volume that is kept for the claim, if
there is one, or else of those that fit the smallest.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable

from apiserver.api.core.persistent_volumes import PersistentVolume, PersistentVolumeClaim
from apiserver.api.core.references import ObjectReference
from apiserver.api.quantity import value
from apiserver.api.selectors import EVERYTHING, from_label_selector

STORAGE = "storage"
CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
NO_PROVISIONER = "kubernetes.io/no-provisioner"
WAIT_FOR_FIRST_CONSUMER = "WaitForFirstConsumer"


def class_of_claim(claim: PersistentVolumeClaim) -> str:
    """ "" for a claim of no class, or of one that is yet to be set."""
    older = claim.metadata.annotations.get(CLASS_ANNOTATION)
    return older if older is not None else claim.spec.storage_class_name or ""


def class_of_volume(volume: PersistentVolume) -> str:
    older = volume.metadata.annotations.get(CLASS_ANNOTATION)
    return older if older is not None else volume.spec.storage_class_name


def is_bound(claim: PersistentVolumeClaim) -> bool:
    """Both sides know of each other."""
    return bool(claim.spec.volume_name) and (
        BIND_COMPLETED in claim.metadata.annotations or claim.status.phase == "Bound"
    )


def reference_to(claim: PersistentVolumeClaim) -> ObjectReference:
    """What a volume that is kept for the claim says of it."""
    meta = claim.metadata
    return ObjectReference(
        api_version="v1",
        kind="PersistentVolumeClaim",
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        resource_version=meta.resource_version,
    )


def kept_for(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    """Whether the volume's claimRef means this claim; without a uid it means whoever has the name."""
    reference, meta = volume.spec.claim_ref, claim.metadata
    return (
        reference is not None
        and reference.name == meta.name
        and reference.namespace == meta.namespace
        and reference.uid in ("", meta.uid)
    )


#: Index of volumes by the claim they are kept for, `namespace/name`.
BY_CLAIM = "claim"


def by_claim(volume: PersistentVolume) -> Iterable[str]:
    reference = volume.spec.claim_ref
    return () if reference is None else (f"{reference.namespace}/{reference.name}",)


def kept_volume(volumes: Iterable[PersistentVolume], claim: PersistentVolumeClaim) -> PersistentVolume | None:
    """The volume that is kept for the claim: by its administrator, by a scheduler, by who made it. It gets no other.

    Whoever kept it did not have to mind classes. Of several the one that got furthest: the others are let go once the
    claim has it. `volumes`: those of the claim's name (`BY_CLAIM`).
    """
    wanted = value(claim.spec.resources.requests.get(STORAGE, 0))
    found = [
        each
        for each in volumes
        if kept_for(each, claim)
        and each.metadata.deletion_timestamp is None
        and _size(each) >= wanted
        and _is_used_alike(each, claim)
    ]
    return min(found, key=lambda each: (each.status.phase != "Bound", each.metadata.name), default=None)


def find_volume(
    claim: PersistentVolumeClaim,
    volumes: Iterable[PersistentVolume],
    *,
    taken: Container[str],
    reaches: Callable[[PersistentVolume], bool],
) -> PersistentVolume | None:
    """Of those that are anybody's. `taken`: names of volumes that others have been promised; `reaches`: whether a
    volume can be used where the pod would be."""
    wanted = value(claim.spec.resources.requests.get(STORAGE, 0))
    labels = from_label_selector(claim.spec.selector) if claim.spec.selector else EVERYTHING
    best: PersistentVolume | None = None
    for volume in volumes:
        if not _may_hold(volume, claim) or volume.metadata.name in taken or _size(volume) < wanted:
            continue
        if volume.spec.claim_ref is not None or volume.status.phase != "Available":
            continue
        if not labels.matches(volume.metadata.labels) or not reaches(volume):
            continue
        if best is None or (_size(volume), volume.metadata.name) < (_size(best), best.metadata.name):
            best = volume
    return best


def _may_hold(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    return (
        volume.metadata.deletion_timestamp is None
        and class_of_volume(volume) == class_of_claim(claim)
        and _is_used_alike(volume, claim)
    )


def _is_used_alike(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    mode, wanted = volume.spec.volume_mode or "Filesystem", claim.spec.volume_mode or "Filesystem"
    return mode == wanted and set(claim.spec.access_modes) <= set(volume.spec.access_modes)


def _size(volume: PersistentVolume) -> int:
    return value(volume.spec.capacity.get(STORAGE, 0))
