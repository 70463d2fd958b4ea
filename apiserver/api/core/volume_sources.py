"""core/v1: storage that a pod may mount by itself or through a PersistentVolume.

Where both exist they differ in how they name the Secret (in the pod's namespace, or in any), so each pair has a base.
"""

from __future__ import annotations

from apiserver.api.base import Int32, Object, StringMap, always

from .references import LocalObjectReference, ObjectReference, SecretReference


class HostPathVolumeSource(Object):
    """A file or folder of the node.

    path: Path on the node.
    type: What must be there or is made: DirectoryOrCreate, Directory, FileOrCreate, File, Socket, ...; empty: no check.
    """

    path: str = always("")
    type: str | None = None


class NFSVolumeSource(Object):
    """A folder of an NFS server.

    server: Name or address of the server.
    path: Path the server exports.
    read_only: True when nothing may be written.
    """

    server: str = always("")
    path: str = always("")
    read_only: bool = False


class FCVolumeSource(Object):
    """A Fibre Channel disk, by target and lun or by world wide identifiers.

    target_wwns: World wide names of the target.
    lun: Number of the disk at the target.
    fs_type: File system of the disk.
    read_only: True when nothing may be written.
    wwids: World wide identifiers of the disk.
    """

    target_wwns: list[str] = []
    lun: Int32 | None = None
    fs_type: str = ""
    read_only: bool = False
    wwids: list[str] = []


class _ISCSI(Object):
    """An iSCSI disk.

    target_portal: Address of the portal, with the port when it is not 3260.
    iqn: Qualified name of the target.
    lun: Number of the disk at the target.
    iscsi_interface: Interface to use; default when left out.
    fs_type: File system of the disk.
    read_only: True when nothing may be written.
    portals: More portals of the same target.
    chap_auth_discovery: True when discovery uses CHAP.
    chap_auth_session: True when sessions use CHAP.
    secret_ref: Secret with the CHAP credentials.
    initiator_name: Name of the initiator.
    """

    target_portal: str = always("")
    iqn: str = always("")
    lun: Int32 = always(0)
    iscsi_interface: str = ""
    fs_type: str = ""
    read_only: bool = False
    portals: list[str] = []
    chap_auth_discovery: bool = False
    chap_auth_session: bool = False
    initiator_name: str | None = None


class ISCSIVolumeSource(_ISCSI):
    """An iSCSI disk."""

    secret_ref: LocalObjectReference | None = None


class ISCSIPersistentVolumeSource(_ISCSI):
    """An iSCSI disk."""

    secret_ref: SecretReference | None = None


class GCEPersistentDiskVolumeSource(Object):
    """A disk of Google's cloud.

    pd_name: Name of the disk.
    fs_type: File system of the disk.
    partition: Partition to mount; the whole disk when 0.
    read_only: True when nothing may be written.
    """

    pd_name: str = always("")
    fs_type: str = ""
    partition: Int32 = 0
    read_only: bool = False


class AWSElasticBlockStoreVolumeSource(Object):
    """A disk of Amazon's cloud.

    volume_id: ID of the disk.
    fs_type: File system of the disk.
    partition: Partition to mount; the whole disk when 0.
    read_only: True when nothing may be written.
    """

    volume_id: str = always("")
    fs_type: str = ""
    partition: Int32 = 0
    read_only: bool = False


class AzureDiskVolumeSource(Object):
    """A disk of Microsoft's cloud.

    disk_name: Name of the disk.
    disk_uri: URI of the disk.
    caching_mode: None, ReadOnly or ReadWrite (when left out).
    fs_type: File system of the disk; ext4 when left out.
    read_only: True when nothing may be written.
    kind: Shared (when left out), Dedicated or Managed.
    """

    disk_name: str = always("")
    disk_uri: str = always("")
    caching_mode: str | None = None
    fs_type: str | None = None
    read_only: bool | None = None
    kind: str | None = None


class AzureFileVolumeSource(Object):
    """A file share of Microsoft's cloud.

    secret_name: Secret with the account's name and key.
    share_name: Name of the share.
    read_only: True when nothing may be written.
    """

    secret_name: str = always("")
    share_name: str = always("")
    read_only: bool = False


class AzureFilePersistentVolumeSource(AzureFileVolumeSource):
    """A file share of Microsoft's cloud.

    secret_namespace: Namespace of the Secret; the claim's when absent.
    """

    secret_namespace: str | None = None


class _Cinder(Object):
    """A disk of OpenStack.

    volume_id: ID of the disk.
    fs_type: File system of the disk.
    read_only: True when nothing may be written.
    secret_ref: Secret with what is needed to connect.
    """

    volume_id: str = always("")
    fs_type: str = ""
    read_only: bool = False


class CinderVolumeSource(_Cinder):
    """A disk of OpenStack."""

    secret_ref: LocalObjectReference | None = None


class CinderPersistentVolumeSource(_Cinder):
    """A disk of OpenStack."""

    secret_ref: SecretReference | None = None


class _CephFS(Object):
    """A folder of a Ceph file system.

    monitors: Addresses of the monitors.
    path: Path in the file system; / when empty.
    user: User to log in as; admin when empty.
    secret_file: File with the user's key.
    secret_ref: Secret with the user's key.
    read_only: True when nothing may be written.
    """

    monitors: list[str] = always([])
    path: str = ""
    user: str = ""
    secret_file: str = ""
    read_only: bool = False


class CephFSVolumeSource(_CephFS):
    """A folder of a Ceph file system."""

    secret_ref: LocalObjectReference | None = None


class CephFSPersistentVolumeSource(_CephFS):
    """A folder of a Ceph file system."""

    secret_ref: SecretReference | None = None


class _RBD(Object):
    """A Ceph block device.

    monitors: Addresses of the monitors.
    image: Image to map.
    fs_type: File system of the image.
    pool: Pool of the image; rbd when left out.
    user: User to log in as; admin when left out.
    keyring: File with the user's key; /etc/ceph/keyring when left out.
    secret_ref: Secret with the user's key.
    read_only: True when nothing may be written.
    """

    monitors: list[str] = always([])
    image: str = always("")
    fs_type: str = ""
    pool: str = ""
    user: str = ""
    keyring: str = ""
    read_only: bool = False


class RBDVolumeSource(_RBD):
    """A Ceph block device."""

    secret_ref: LocalObjectReference | None = None


class RBDPersistentVolumeSource(_RBD):
    """A Ceph block device."""

    secret_ref: SecretReference | None = None


class GlusterfsVolumeSource(Object):
    """A Glusterfs volume.

    endpoints: Endpoints object that names the servers.
    path: Name of the volume.
    read_only: True when nothing may be written.
    """

    endpoints: str = always("")
    path: str = always("")
    read_only: bool = False


class GlusterfsPersistentVolumeSource(GlusterfsVolumeSource):
    """A Glusterfs volume.

    endpoints_namespace: Namespace of the Endpoints; the claim's when absent.
    """

    endpoints_namespace: str | None = None


class _Flex(Object):
    """A volume of an exec-based plug-in.

    driver: Name of the driver.
    fs_type: File system of the volume.
    secret_ref: Secret given to the driver.
    read_only: True when nothing may be written.
    options: Options for the driver.
    """

    driver: str = always("")
    fs_type: str = ""
    read_only: bool = False
    options: StringMap = {}


class FlexVolumeSource(_Flex):
    """A volume of an exec-based plug-in."""

    secret_ref: LocalObjectReference | None = None


class FlexPersistentVolumeSource(_Flex):
    """A volume of an exec-based plug-in."""

    secret_ref: SecretReference | None = None


class FlockerVolumeSource(Object):
    """A Flocker dataset.

    dataset_name: Name of the dataset.
    dataset_uuid: UUID of the dataset.
    """

    dataset_name: str = ""
    dataset_uuid: str = ""


class QuobyteVolumeSource(Object):
    """A Quobyte volume.

    registry: Addresses of the registries.
    volume: Name of the volume.
    read_only: True when nothing may be written.
    user: User files are accessed as.
    group: Group files are accessed as.
    tenant: Tenant that owns the volume.
    """

    registry: str = always("")
    volume: str = always("")
    read_only: bool = False
    user: str = ""
    group: str = ""
    tenant: str = ""


class VsphereVirtualDiskVolumeSource(Object):
    """A vSphere disk.

    volume_path: Path of the disk.
    fs_type: File system of the disk.
    storage_policy_name: Name of the storage policy.
    storage_policy_id: ID of the storage policy.
    """

    volume_path: str = always("")
    fs_type: str = ""
    storage_policy_name: str = ""
    storage_policy_id: str = ""


class PhotonPersistentDiskVolumeSource(Object):
    """A Photon Controller disk.

    pd_id: ID of the disk.
    fs_type: File system of the disk.
    """

    pd_id: str = always("")
    fs_type: str = ""


class PortworxVolumeSource(Object):
    """A Portworx volume.

    volume_id: ID of the volume.
    fs_type: File system of the volume.
    read_only: True when nothing may be written.
    """

    volume_id: str = always("")
    fs_type: str = ""
    read_only: bool = False


class _ScaleIO(Object):
    """A ScaleIO volume.

    gateway: Address of the gateway.
    system: Name of the system.
    secret_ref: Secret with the user's credentials.
    ssl_enabled: True when the gateway is spoken to over TLS.
    protection_domain: Name of the protection domain.
    storage_pool: Name of the storage pool.
    storage_mode: ThickProvisioned or ThinProvisioned (when left out).
    volume_name: Name of the volume.
    fs_type: File system of the volume; xfs when left out.
    read_only: True when nothing may be written.
    """

    gateway: str = always("")
    system: str = always("")
    ssl_enabled: bool = False
    protection_domain: str = ""
    storage_pool: str = ""
    storage_mode: str = ""
    volume_name: str = ""
    fs_type: str = ""
    read_only: bool = False


class ScaleIOVolumeSource(_ScaleIO):
    """A ScaleIO volume."""

    secret_ref: LocalObjectReference | None = None


class ScaleIOPersistentVolumeSource(_ScaleIO):
    """A ScaleIO volume."""

    secret_ref: SecretReference | None = None


class _StorageOS(Object):
    """A StorageOS volume.

    volume_name: Name of the volume.
    volume_namespace: Namespace of the volume in StorageOS; the pod's when empty.
    fs_type: File system of the volume.
    read_only: True when nothing may be written.
    secret_ref: Secret with the credentials.
    """

    volume_name: str = ""
    volume_namespace: str = ""
    fs_type: str = ""
    read_only: bool = False


class StorageOSVolumeSource(_StorageOS):
    """A StorageOS volume."""

    secret_ref: LocalObjectReference | None = None


class StorageOSPersistentVolumeSource(_StorageOS):
    """A StorageOS volume."""

    secret_ref: ObjectReference | None = None
