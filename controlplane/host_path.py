"""What the provisioner of folders of nodes can make: for the controller that does it, and for the scheduler, which is
not to choose a node for what will never be made there."""

from __future__ import annotations

from apiserver.api.core.persistent_volumes import PersistentVolumeClaim
from apiserver.api.storage import StorageClass
from controlplane.scheduler.volume_matching import WAIT_FOR_FIRST_CONSUMER

PATH = "path"  # parameter of a class
FOLDER = "/var/lib/kmini/volumes"
ACCESS_MODES = {"ReadWriteOnce", "ReadWriteOncePod"}


def why_not(claim: PersistentVolumeClaim, storage_class: StorageClass) -> str:
    """Why no folder of a node can be what the claim asks for, whichever node; "" for nothing."""
    spec = claim.spec
    if storage_class.volume_binding_mode != WAIT_FOR_FIRST_CONSUMER:
        return (
            f"a folder of a node is made where its first pod goes: volumeBindingMode must be {WAIT_FOR_FIRST_CONSUMER}"
        )
    if spec.volume_mode == "Block":
        return "a folder is no block device"
    if not set(spec.access_modes) <= ACCESS_MODES:
        return "a folder of a node only supports ReadWriteOnce and ReadWriteOncePod access modes"
    if spec.selector is not None:
        return "claim.Spec.Selector is not supported"
    if spec.data_source is not None or spec.data_source_ref is not None:
        return "a folder begins empty: dataSource is not supported"
    if not storage_class.parameters.get(PATH, FOLDER).startswith("/"):
        return f"parameter {PATH} of the class must be an absolute path"
    return ""
