"""v1alpha1: PersistentVolume, a place for data, and PersistentVolumeClaim, the wish for one."""

from __future__ import annotations

import msgspec

from apiserver.api.base import Object, Quantity, ResourceList
from apiserver.api.meta import TopObject


class HostPath(Object):
    """A directory of the node.

    path: Path of the directory.
    """

    path: str = ""


class PersistentVolumeSpec(Object):
    """What the place is like.

    capacity: Size, as in `storage: 1Gi`.
    access_modes: ReadWriteOnce, ReadOnlyMany, ReadWriteMany, ReadWriteOncePod: all that are possible.
    host_path: The directory of a node that is this volume.
    storage_class_name: Class the volume belongs to; claims name the same one.
    persistent_volume_reclaim_policy: Retain (when left out) or Delete: what happens when the claim is gone.
    """

    capacity: ResourceList = {}
    access_modes: list[str] = []
    host_path: HostPath | None = None
    storage_class_name: str = ""
    persistent_volume_reclaim_policy: str = ""


class PersistentVolumeStatus(Object):
    """Whether the place is taken.

    phase: Pending, Available, Bound, Released or Failed.
    reason: One word for a failure.
    message: A sentence for a failure.
    """

    phase: str = ""
    reason: str = ""
    message: str = ""


class PersistentVolume(TopObject):
    """A place for data that outlives pods.

    spec: What the place is like.
    status: Whether it is taken.
    """

    spec: PersistentVolumeSpec = msgspec.field(default_factory=PersistentVolumeSpec)
    status: PersistentVolumeStatus = msgspec.field(default_factory=PersistentVolumeStatus)


class PersistentVolumeClaimSpec(Object):
    """What is wished for.

    access_modes: Ways the volume must be usable in.
    storage: Least size in bytes, such as 1Gi.
    storage_class_name: Class to take the volume from; the default class when left out, none when empty.
    volume_name: Volume the claim is bound to; found by the server when left out.
    """

    access_modes: list[str] = []
    storage: Quantity | None = None
    storage_class_name: str | None = None
    volume_name: str = ""


class PersistentVolumeClaimStatus(Object):
    """Whether the wish is met.

    phase: Pending, Bound or Lost.
    access_modes: Ways the volume is usable in.
    capacity: Real size of the volume.
    """

    phase: str = ""
    access_modes: list[str] = []
    capacity: ResourceList = {}


class PersistentVolumeClaim(TopObject):
    """The wish for a place for data.

    spec: What is wished for.
    status: Whether the wish is met.
    """

    spec: PersistentVolumeClaimSpec = msgspec.field(default_factory=PersistentVolumeClaimSpec)
    status: PersistentVolumeClaimStatus = msgspec.field(default_factory=PersistentVolumeClaimStatus)
