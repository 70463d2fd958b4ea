"""core/v1: what a pod can mount into its containers."""

from __future__ import annotations

import msgspec

from apiserver.api.base import Int32, Int64, Object, Quantity, StringMap, always
from apiserver.api.meta import LabelSelector, ObjectMeta

from .containers import ObjectFieldSelector, ResourceFieldSelector
from .persistent_volumes import PersistentVolumeClaimSpec
from .references import LocalObjectReference
from .volume_sources import (
    AWSElasticBlockStoreVolumeSource,
    AzureDiskVolumeSource,
    AzureFileVolumeSource,
    CephFSVolumeSource,
    CinderVolumeSource,
    FCVolumeSource,
    FlexVolumeSource,
    FlockerVolumeSource,
    GCEPersistentDiskVolumeSource,
    GlusterfsVolumeSource,
    HostPathVolumeSource,
    ISCSIVolumeSource,
    NFSVolumeSource,
    PhotonPersistentDiskVolumeSource,
    PortworxVolumeSource,
    QuobyteVolumeSource,
    RBDVolumeSource,
    ScaleIOVolumeSource,
    StorageOSVolumeSource,
    VsphereVirtualDiskVolumeSource,
)


class EmptyDirVolumeSource(Object):
    """A folder that starts empty and is gone with the pod.

    medium: Memory, HugePages or HugePages-<size>; the node's disk when empty.
    size_limit: Most it may hold; no limit when absent.
    """

    medium: str = ""
    size_limit: Quantity | None = None


class GitRepoVolumeSource(Object):
    """A clone of a git repository; kept for old manifests.

    repository: URL to clone.
    revision: Commit to check out.
    directory: Folder in the volume to clone into.
    """

    repository: str = always("")
    revision: str = ""
    directory: str = ""


class KeyToPath(Object):
    """Which file a key becomes.

    key: The key.
    path: Path of the file in the volume; relative and without `..`.
    mode: Permission bits of the file; the volume's default_mode when absent.
    """

    key: str = always("")
    path: str = always("")
    mode: Int32 | None = None


class SecretVolumeSource(Object):
    """The keys of a Secret as files.

    secret_name: Name of the Secret.
    items: Keys to show and where; all under their own names when empty.
    default_mode: Permission bits of the files; 0644 when left out.
    optional: True when the pod may start without it.
    """

    secret_name: str = ""
    items: list[KeyToPath] = []
    default_mode: Int32 | None = None
    optional: bool | None = None


class ConfigMapVolumeSource(LocalObjectReference):
    """The keys of a ConfigMap as files.

    name: Name of the ConfigMap.
    items: Keys to show and where; all under their own names when empty.
    default_mode: Permission bits of the files; 0644 when left out.
    optional: True when the pod may start without it.
    """

    items: list[KeyToPath] = []
    default_mode: Int32 | None = None
    optional: bool | None = None


class SecretProjection(LocalObjectReference):
    """The keys of a Secret, in a projected volume.

    name: Name of the Secret.
    items: Keys to show and where; all under their own names when empty.
    optional: True when the pod may start without it.
    """

    items: list[KeyToPath] = []
    optional: bool | None = None


class ConfigMapProjection(LocalObjectReference):
    """The keys of a ConfigMap, in a projected volume.

    name: Name of the ConfigMap.
    items: Keys to show and where; all under their own names when empty.
    optional: True when the pod may start without it.
    """

    items: list[KeyToPath] = []
    optional: bool | None = None


class DownwardAPIVolumeFile(Object):
    """A file with something about the pod in it.

    path: Path of the file in the volume; relative and without `..`.
    field_ref: A field of the pod.
    resource_field_ref: A request or limit of a container.
    mode: Permission bits of the file; the volume's default_mode when absent.
    """

    path: str = always("")
    field_ref: ObjectFieldSelector | None = None
    resource_field_ref: ResourceFieldSelector | None = None
    mode: Int32 | None = None


class DownwardAPIVolumeSource(Object):
    """Files with things about the pod.

    items: The files.
    default_mode: Permission bits of the files; 0644 when left out.
    """

    items: list[DownwardAPIVolumeFile] = []
    default_mode: Int32 | None = None


class DownwardAPIProjection(Object):
    """Files with things about the pod, in a projected volume.

    items: The files.
    """

    items: list[DownwardAPIVolumeFile] = []


class ServiceAccountTokenProjection(Object):
    """A token of the pod's service account, renewed before it ends.

    audience: Who will accept the token; the API server when empty.
    expiration_seconds: Seconds the token lives; 3600 when left out, at least 600.
    path: Path of the file in the volume.
    """

    audience: str = ""
    expiration_seconds: Int64 | None = None
    path: str = always("")


class ClusterTrustBundleProjection(Object):
    """Trust anchors of ClusterTrustBundles as a PEM file.

    name: One bundle; not together with signer_name.
    signer_name: All bundles of a signer.
    label_selector: Those of them with these labels.
    optional: True when the pod may start without them.
    path: Path of the file in the volume.
    """

    name: str | None = None
    signer_name: str | None = None
    label_selector: LabelSelector | None = None
    optional: bool | None = None
    path: str = always("")


class VolumeProjection(Object):
    """One part of a projected volume; exactly one field is set.

    secret: Keys of a Secret.
    downward_api: Things about the pod.
    config_map: Keys of a ConfigMap.
    service_account_token: A token of the pod's service account.
    cluster_trust_bundle: Trust anchors.
    """

    secret: SecretProjection | None = None
    downward_api: DownwardAPIProjection | None = None
    config_map: ConfigMapProjection | None = None
    service_account_token: ServiceAccountTokenProjection | None = None
    cluster_trust_bundle: ClusterTrustBundleProjection | None = None


class ProjectedVolumeSource(Object):
    """Several sources in one folder.

    sources: What the folder is made of.
    default_mode: Permission bits of the files; 0644 when left out.
    """

    sources: list[VolumeProjection] = always([])
    default_mode: Int32 | None = None


class PersistentVolumeClaimVolumeSource(Object):
    """The volume that a claim of the same namespace is bound to.

    claim_name: Name of the claim.
    read_only: True when nothing may be written.
    """

    claim_name: str = always("")
    read_only: bool = False


class CSIVolumeSource(Object):
    """A volume that a CSI driver makes for this pod alone.

    driver: Name of the driver.
    read_only: True when nothing may be written.
    fs_type: File system of the volume.
    volume_attributes: Settings for the driver.
    node_publish_secret_ref: Secret given to the driver for mounting.
    """

    driver: str = always("")
    read_only: bool | None = None
    fs_type: str | None = None
    volume_attributes: StringMap = {}
    node_publish_secret_ref: LocalObjectReference | None = None


class PersistentVolumeClaimTemplate(Object):
    """The claim that is made for a pod.

    metadata: Labels and annotations of the claim.
    spec: Spec of the claim.
    """

    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: PersistentVolumeClaimSpec = msgspec.field(default_factory=PersistentVolumeClaimSpec)


class EphemeralVolumeSource(Object):
    """A claim that lives as long as the pod.

    volume_claim_template: The claim that is made.
    """

    volume_claim_template: PersistentVolumeClaimTemplate | None = None


class ImageVolumeSource(Object):
    """The files of an OCI image or artifact, read-only.

    reference: Image to pull.
    pull_policy: Always, IfNotPresent or Never; Always when left out and the tag is latest.
    """

    reference: str = ""
    pull_policy: str = ""


class VolumeSource(Object):
    """What a volume is; exactly one field is set.

    host_path: A file or folder of the node.
    empty_dir: A folder that starts empty and is gone with the pod.
    gce_persistent_disk: A disk of Google's cloud.
    aws_elastic_block_store: A disk of Amazon's cloud.
    git_repo: A clone of a git repository; kept for old manifests.
    secret: The keys of a Secret as files.
    nfs: A folder of an NFS server.
    iscsi: An iSCSI disk.
    glusterfs: A Glusterfs volume.
    persistent_volume_claim: The volume that a claim is bound to.
    rbd: A Ceph block device.
    flex_volume: A volume of an exec-based plug-in.
    cinder: A disk of OpenStack.
    cephfs: A folder of a Ceph file system.
    flocker: A Flocker dataset.
    downward_api: Files with things about the pod.
    fc: A Fibre Channel disk.
    azure_file: A file share of Microsoft's cloud.
    config_map: The keys of a ConfigMap as files.
    vsphere_volume: A vSphere disk.
    quobyte: A Quobyte volume.
    azure_disk: A disk of Microsoft's cloud.
    photon_persistent_disk: A Photon Controller disk.
    projected: Several sources in one folder.
    portworx_volume: A Portworx volume.
    scale_io: A ScaleIO volume.
    storageos: A StorageOS volume.
    csi: A volume that a CSI driver makes for this pod alone.
    ephemeral: A claim that lives as long as the pod.
    image: The files of an OCI image or artifact.
    """

    host_path: HostPathVolumeSource | None = None
    empty_dir: EmptyDirVolumeSource | None = None
    gce_persistent_disk: GCEPersistentDiskVolumeSource | None = None
    aws_elastic_block_store: AWSElasticBlockStoreVolumeSource | None = None
    git_repo: GitRepoVolumeSource | None = None
    secret: SecretVolumeSource | None = None
    nfs: NFSVolumeSource | None = None
    iscsi: ISCSIVolumeSource | None = None
    glusterfs: GlusterfsVolumeSource | None = None
    persistent_volume_claim: PersistentVolumeClaimVolumeSource | None = None
    rbd: RBDVolumeSource | None = None
    flex_volume: FlexVolumeSource | None = None
    cinder: CinderVolumeSource | None = None
    cephfs: CephFSVolumeSource | None = None
    flocker: FlockerVolumeSource | None = None
    downward_api: DownwardAPIVolumeSource | None = None
    fc: FCVolumeSource | None = None
    azure_file: AzureFileVolumeSource | None = None
    config_map: ConfigMapVolumeSource | None = None
    vsphere_volume: VsphereVirtualDiskVolumeSource | None = None
    quobyte: QuobyteVolumeSource | None = None
    azure_disk: AzureDiskVolumeSource | None = None
    photon_persistent_disk: PhotonPersistentDiskVolumeSource | None = None
    projected: ProjectedVolumeSource | None = None
    portworx_volume: PortworxVolumeSource | None = None
    scale_io: ScaleIOVolumeSource | None = msgspec.field(default=None, name="scaleIO")
    storageos: StorageOSVolumeSource | None = None
    csi: CSIVolumeSource | None = None
    ephemeral: EphemeralVolumeSource | None = None
    image: ImageVolumeSource | None = None


class Volume(VolumeSource):
    """Something a pod's containers can mount.

    name: Name, unique in the pod; mounts refer to it.
    """

    name: str = always("")
