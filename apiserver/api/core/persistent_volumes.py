"""core/v1: storage that outlives pods (PersistentVolume), and the wish for some (PersistentVolumeClaim)."""

from __future__ import annotations

from typing import Annotated

import msgspec

from apiserver.api.base import Object, ResourceList, StringMap, Time, always, merge_by
from apiserver.api.meta import LabelSelector, TopObject

from .references import ObjectReference, SecretReference, TypedLocalObjectReference, TypedObjectReference
from .scheduling import NodeSelector
from .volume_sources import (
    AWSElasticBlockStoreVolumeSource,
    AzureDiskVolumeSource,
    AzureFilePersistentVolumeSource,
    CephFSPersistentVolumeSource,
    CinderPersistentVolumeSource,
    FCVolumeSource,
    FlexPersistentVolumeSource,
    FlockerVolumeSource,
    GCEPersistentDiskVolumeSource,
    GlusterfsPersistentVolumeSource,
    HostPathVolumeSource,
    ISCSIPersistentVolumeSource,
    NFSVolumeSource,
    PhotonPersistentDiskVolumeSource,
    PortworxVolumeSource,
    QuobyteVolumeSource,
    RBDPersistentVolumeSource,
    ScaleIOPersistentVolumeSource,
    StorageOSPersistentVolumeSource,
    VsphereVirtualDiskVolumeSource,
)


class LocalVolumeSource(Object):
    """A disk or folder of one node; the volume needs a node affinity.

    path: Path on the node.
    fs_type: File system made on a raw disk.
    """

    path: str = always("")
    fs_type: str | None = None


class CSIPersistentVolumeSource(Object):
    """A volume of a CSI driver.

    driver: Name of the driver.
    volume_handle: Name the driver gave the volume.
    read_only: True when nothing may be written.
    fs_type: File system of the volume.
    volume_attributes: What the driver said of the volume.
    controller_publish_secret_ref: Secret for attaching.
    node_stage_secret_ref: Secret for preparing the volume on a node.
    node_publish_secret_ref: Secret for mounting.
    controller_expand_secret_ref: Secret for growing the volume.
    node_expand_secret_ref: Secret for growing the file system.
    """

    driver: str = always("")
    volume_handle: str = always("")
    read_only: bool = False
    fs_type: str = ""
    volume_attributes: StringMap = {}
    controller_publish_secret_ref: SecretReference | None = None
    node_stage_secret_ref: SecretReference | None = None
    node_publish_secret_ref: SecretReference | None = None
    controller_expand_secret_ref: SecretReference | None = None
    node_expand_secret_ref: SecretReference | None = None


class PersistentVolumeSource(Object):
    """What the storage is; exactly one field is set.

    gce_persistent_disk: A disk of Google's cloud.
    aws_elastic_block_store: A disk of Amazon's cloud.
    host_path: A file or folder of the node.
    glusterfs: A Glusterfs volume.
    nfs: A folder of an NFS server.
    rbd: A Ceph block device.
    iscsi: An iSCSI disk.
    cinder: A disk of OpenStack.
    cephfs: A folder of a Ceph file system.
    fc: A Fibre Channel disk.
    flocker: A Flocker dataset.
    flex_volume: A volume of an exec-based plug-in.
    azure_file: A file share of Microsoft's cloud.
    vsphere_volume: A vSphere disk.
    quobyte: A Quobyte volume.
    azure_disk: A disk of Microsoft's cloud.
    photon_persistent_disk: A Photon Controller disk.
    portworx_volume: A Portworx volume.
    scale_io: A ScaleIO volume.
    local: A disk or folder of one node.
    storageos: A StorageOS volume.
    csi: A volume of a CSI driver.
    """

    gce_persistent_disk: GCEPersistentDiskVolumeSource | None = None
    aws_elastic_block_store: AWSElasticBlockStoreVolumeSource | None = None
    host_path: HostPathVolumeSource | None = None
    glusterfs: GlusterfsPersistentVolumeSource | None = None
    nfs: NFSVolumeSource | None = None
    rbd: RBDPersistentVolumeSource | None = None
    iscsi: ISCSIPersistentVolumeSource | None = None
    cinder: CinderPersistentVolumeSource | None = None
    cephfs: CephFSPersistentVolumeSource | None = None
    fc: FCVolumeSource | None = None
    flocker: FlockerVolumeSource | None = None
    flex_volume: FlexPersistentVolumeSource | None = None
    azure_file: AzureFilePersistentVolumeSource | None = None
    vsphere_volume: VsphereVirtualDiskVolumeSource | None = None
    quobyte: QuobyteVolumeSource | None = None
    azure_disk: AzureDiskVolumeSource | None = None
    photon_persistent_disk: PhotonPersistentDiskVolumeSource | None = None
    portworx_volume: PortworxVolumeSource | None = None
    scale_io: ScaleIOPersistentVolumeSource | None = msgspec.field(default=None, name="scaleIO")
    local: LocalVolumeSource | None = None
    storageos: StorageOSPersistentVolumeSource | None = None
    csi: CSIPersistentVolumeSource | None = None


class VolumeNodeAffinity(Object):
    """Which nodes can reach a volume.

    required: Nodes that can; cannot be changed once set.
    """

    required: NodeSelector | None = None


class PersistentVolumeSpec(PersistentVolumeSource):
    """What the volume is and how it may be used.

    capacity: How big it is: only `storage`.
    access_modes: ReadWriteOnce, ReadOnlyMany, ReadWriteMany or ReadWriteOncePod.
    claim_ref: Claim the volume is bound to or kept for.
    persistent_volume_reclaim_policy: Retain (when left out), Delete or Recycle: what happens after the claim is gone.
    storage_class_name: Class of the volume; only claims of the same class are bound to it.
    mount_options: Options for mounting.
    volume_mode: Filesystem (when left out) or Block.
    node_affinity: Which nodes can reach the volume.
    volume_attributes_class_name: Name of the VolumeAttributesClass.
    """

    capacity: ResourceList = {}
    access_modes: list[str] = []
    claim_ref: ObjectReference | None = None
    persistent_volume_reclaim_policy: str = ""
    storage_class_name: str = ""
    mount_options: list[str] = []
    volume_mode: str | None = None
    node_affinity: VolumeNodeAffinity | None = None
    volume_attributes_class_name: str | None = None


class PersistentVolumeStatus(Object):
    """Where the volume is in its life.

    phase: Pending, Available, Bound, Released or Failed.
    message: A sentence for people.
    reason: One word for programs.
    last_phase_transition_time: When the phase changed last.
    """

    phase: str = ""
    message: str = ""
    reason: str = ""
    last_phase_transition_time: Time | None = None


class PersistentVolume(TopObject):
    """Storage of the cluster that one claim at a time can be bound to.

    spec: What the volume is.
    status: Where it is in its life.
    """

    spec: PersistentVolumeSpec = msgspec.field(default_factory=PersistentVolumeSpec)
    status: PersistentVolumeStatus = msgspec.field(default_factory=PersistentVolumeStatus)


class VolumeResourceRequirements(Object):
    """How much storage is wanted.

    limits: Most that may be given.
    requests: Least that must be given: `storage`.
    """

    limits: ResourceList = {}
    requests: ResourceList = {}


class PersistentVolumeClaimSpec(Object):
    """What storage is wished for.

    access_modes: How it will be used; the volume must allow all of them.
    selector: Labels the volume must have.
    resources: How big it must be.
    volume_name: The volume that is bound, or must be.
    storage_class_name: Class of the volume; absent takes the default class, empty takes volumes without one.
    volume_mode: Filesystem (when left out) or Block.
    data_source: Object of this namespace whose content the volume starts with.
    data_source_ref: The same, of any kind and, when allowed, of another namespace.
    volume_attributes_class_name: Name of the VolumeAttributesClass.
    """

    access_modes: list[str] = []
    selector: LabelSelector | None = None
    resources: VolumeResourceRequirements = msgspec.field(default_factory=VolumeResourceRequirements)
    volume_name: str = ""
    storage_class_name: str | None = None
    volume_mode: str | None = None
    data_source: TypedLocalObjectReference | None = None
    data_source_ref: TypedObjectReference | None = None
    volume_attributes_class_name: str | None = None


class PersistentVolumeClaimCondition(Object):
    """One aspect of a claim's state.

    type: Name of the aspect.
    status: True, False or Unknown.
    last_probe_time: When it was looked at last.
    last_transition_time: When the status changed last.
    reason: One word for programs.
    message: A sentence for people.
    """

    type: str = always("")
    status: str = always("")
    last_probe_time: Time | None = None
    last_transition_time: Time | None = None
    reason: str = ""
    message: str = ""


class ModifyVolumeStatus(Object):
    """How far a change of the VolumeAttributesClass is.

    target_volume_attributes_class_name: Class that is being applied.
    status: Pending, InProgress or Infeasible.
    """

    target_volume_attributes_class_name: str = ""
    status: str = always("")


class PersistentVolumeClaimStatus(Object):
    """What storage was given.

    phase: Pending, Bound or Lost.
    access_modes: How the bound volume may be used.
    capacity: How big the bound volume is.
    conditions: Aspects of the claim's state.
    allocated_resources: What has been set aside while the volume grows.
    allocated_resource_statuses: How far growing is, by resource.
    current_volume_attributes_class_name: Class the volume has now.
    modify_volume_status: How far a change of the class is.
    """

    phase: str = ""
    access_modes: list[str] = []
    capacity: ResourceList = {}
    conditions: Annotated[list[PersistentVolumeClaimCondition], merge_by("type")] = []
    allocated_resources: ResourceList = {}
    allocated_resource_statuses: StringMap = {}
    current_volume_attributes_class_name: str | None = None
    modify_volume_status: ModifyVolumeStatus | None = None


class PersistentVolumeClaim(TopObject):
    """A wish for storage, bound to one volume when there is one.

    spec: What is wished for.
    status: What was given.
    """

    spec: PersistentVolumeClaimSpec = msgspec.field(default_factory=PersistentVolumeClaimSpec)
    status: PersistentVolumeClaimStatus = msgspec.field(default_factory=PersistentVolumeClaimStatus)
