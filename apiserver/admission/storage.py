"""Claims get the default StorageClass: Kubernetes' DefaultStorageClass.

Its companion that protects volumes in use is not here: the controller that ends the protection begins it too.
"""

from __future__ import annotations

from typing import Any

from apiserver.registry.columns.storage import CLASS_ANNOTATION, DEFAULT_CLASS_ANNOTATIONS

from .plugin import Admission, Base, Lookup

CLAIMS = "persistentvolumeclaims"
STORAGE_CLASSES = "storage.k8s.io/storageclasses"


class DefaultStorageClass(Base):
    name = "DefaultStorageClass"

    async def admit(self, request: Admission, lookup: Lookup) -> None:
        if request.resource.key != CLAIMS or not _is_new(request):
            return
        claim: Any = request.obj
        if claim.spec.storage_class_name is not None or CLASS_ANNOTATION in claim.metadata.annotations:
            return
        defaults = [each for each in await lookup.list(STORAGE_CLASSES) if _is_default(each)]
        if defaults:
            claim.spec.storage_class_name = _newest(defaults).metadata.name


def _is_new(request: Admission) -> bool:
    return request.operation == "CREATE" and not request.subresource and request.obj is not None


def _is_default(storage_class: Any) -> bool:
    annotations = storage_class.metadata.annotations
    return any(annotations.get(each) == "true" for each in DEFAULT_CLASS_ANNOTATIONS)


def _newest(classes: list[Any]) -> Any:
    """Of several the newest; of several as new the first by name."""
    by_name = sorted(classes, key=lambda each: each.metadata.name)
    return max(by_name, key=lambda each: each.metadata.creation_timestamp or "")
