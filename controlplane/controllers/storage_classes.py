"""Which StorageClass is meant by a claim that names none."""

from __future__ import annotations

from collections.abc import Iterable

from apiserver.api.core.persistent_volumes import PersistentVolumeClaim
from apiserver.api.storage import StorageClass
from controlplane.scheduler.volume_matching import CLASS_ANNOTATION

DEFAULT_ANNOTATION = "storageclass.kubernetes.io/is-default-class"
_OLDER = "storageclass.beta.kubernetes.io/is-default-class"


def is_default(storage_class: StorageClass) -> bool:
    annotations = storage_class.metadata.annotations
    return "true" in (annotations.get(DEFAULT_ANNOTATION), annotations.get(_OLDER))


def default_class(classes: Iterable[StorageClass]) -> StorageClass | None:
    """Of several the newest; of several as new the first by name, as admission has it."""
    found = sorted((each for each in classes if is_default(each)), key=lambda each: each.metadata.name)
    return max(found, key=lambda each: each.metadata.creation_timestamp or "", default=None)


def names_no_class(claim: PersistentVolumeClaim) -> bool:
    """Not even "", which asks for volumes of no class."""
    return claim.spec.storage_class_name is None and CLASS_ANNOTATION not in claim.metadata.annotations
