"""Storage that pods and PersistentVolumes can both name."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from apiserver.api.core.persistent_volumes import CSIPersistentVolumeSource
from apiserver.api.core.references import SecretReference
from apiserver.api.core.volume_sources import (
    AzureDiskVolumeSource,
    AzureFileVolumeSource,
    CephFSPersistentVolumeSource,
    CephFSVolumeSource,
    CinderPersistentVolumeSource,
    CinderVolumeSource,
    FCVolumeSource,
    FlexPersistentVolumeSource,
    FlexVolumeSource,
    FlockerVolumeSource,
    GlusterfsVolumeSource,
    HostPathVolumeSource,
    ISCSIPersistentVolumeSource,
    ISCSIVolumeSource,
    NFSVolumeSource,
    QuobyteVolumeSource,
    StorageOSPersistentVolumeSource,
    StorageOSVolumeSource,
)
from apiserver.api.fields import Causes
from apiserver.api.names import is_dns_label, is_dns_subdomain, not_in_range
from apiserver.api.validation import check

from .texts import in_range, named, one_of_or_absent, required, without_steps_back

HOST_PATH_TYPES = (
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
)
DRIVER_CHARACTERS_MAX = 63
INITIATOR_CHARACTERS_MAX = 64
INITIATOR_RULE = (
    f"Total length of <volume name>:<iscsi.targetPortal> must be under {INITIATOR_CHARACTERS_MAX} characters "
    "if iscsi.initiatorName is specified."
)
_TENANT_CHARACTERS_MAX = 64
_REGISTRY_RULE = "must be a host:port pair or multiple pairs separated by commas"
_RESERVED = "kubernetes.io and k8s.io namespaces are reserved"
_initiator_res = {
    "iqn": re.compile(r"iqn\.\d{4}-\d{2}\.[A-Za-z0-9.-]+:[^,;*&$|\s]+"),
    "eui": re.compile(r"eui.[A-Za-z0-9]{16}"),
    "naa": re.compile(r"naa.[A-Za-z0-9]{32}"),
}
_host_port_re = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*):[^:\[\]]*")

SourceRule = Callable[[Any, Causes, str], None]


def needs(*names: str) -> SourceRule:
    """These fields, by their Python names, must be there; nothing else is asked of the source."""

    def rule(source: msgspec.Struct, causes: Causes, path: str) -> None:
        for name, shown in zip(names, (_shown_name(source, each) for each in names), strict=True):
            required(causes, f"{path}.{shown}", getattr(source, name))

    return rule


def _shown_name(source: msgspec.Struct, name: str) -> str:
    return source.__struct_encode_fields__[source.__struct_fields__.index(name)]


def host_path(source: HostPathVolumeSource, causes: Causes, path: str) -> None:
    if required(causes, f"{path}.path", source.path):
        without_steps_back(causes, f"{path}.path", source.path)
        one_of_or_absent(causes, f"{path}.type", source.type, HOST_PATH_TYPES)


def nfs(source: NFSVolumeSource, causes: Causes, path: str) -> None:
    required(causes, f"{path}.server", source.server)
    required(causes, f"{path}.path", source.path)
    if not source.path.startswith("/"):
        causes.invalid(f"{path}.path", source.path, "must be an absolute path")


def _initiator(name: str, causes: Causes, path: str) -> None:
    expression = _initiator_res.get(name[:3])
    if expression is None:
        causes.invalid(path, name, "must be valid format starting with iqn, eui, or naa")
    elif not expression.fullmatch(name):
        causes.invalid(path, name, "must be valid format")


def iscsi(source: ISCSIVolumeSource | ISCSIPersistentVolumeSource, causes: Causes, path: str) -> None:
    required(causes, f"{path}.targetPortal", source.target_portal)
    if required(causes, f"{path}.iqn", source.iqn):
        _initiator(source.iqn, causes, f"{path}.iqn")
    in_range(causes, f"{path}.lun", source.lun, low=0, high=255)
    if (source.chap_auth_discovery or source.chap_auth_session) and source.secret_ref is None:
        causes.required(f"{path}.secretRef")
    if isinstance(source.secret_ref, SecretReference):
        required(causes, f"{path}.secretRef.name", source.secret_ref.name)
    if source.initiator_name is not None:
        _initiator(source.initiator_name, causes, f"{path}.initiatorname")


def is_too_long_for_initiator(volume_name: str, source: ISCSIVolumeSource | ISCSIPersistentVolumeSource) -> bool:
    """An initiator of one's own makes an interface that is named after volume and portal."""
    length = len(f"{volume_name}:{source.target_portal}")
    return source.initiator_name is not None and length > INITIATOR_CHARACTERS_MAX


def fc(source: FCVolumeSource, causes: Causes, path: str) -> None:
    if not source.target_wwns and not source.wwids:
        causes.required(f"{path}.targetWWNs", "must specify either targetWWNs or wwids, but not both")
    elif source.target_wwns and source.wwids:
        rule = "targetWWNs and wwids can not be specified simultaneously"
        causes.invalid(f"{path}.targetWWNs", source.target_wwns, rule)
    if source.target_wwns and source.lun is None:
        causes.required(f"{path}.lun", "lun is required if targetWWNs is specified")
    elif source.target_wwns and source.lun is not None:
        in_range(causes, f"{path}.lun", source.lun, low=0, high=255)


def cloud_disk(identity: str) -> SourceRule:
    """A disk with a name, and a partition of it."""

    def rule(source: Any, causes: Causes, path: str) -> None:
        required(causes, f"{path}.{_shown_name(source, identity)}", getattr(source, identity))
        if not 0 <= source.partition <= 255:
            causes.invalid(f"{path}.partition", source.partition, not_in_range(1, 255))

    return rule


def azure_disk(source: AzureDiskVolumeSource, causes: Causes, path: str) -> None:
    required(causes, f"{path}.diskName", source.disk_name)
    required(causes, f"{path}.diskURI", source.disk_uri)
    one_of_or_absent(causes, f"{path}.cachingMode", source.caching_mode, ("None", "ReadOnly", "ReadWrite"))
    one_of_or_absent(causes, f"{path}.kind", source.kind, ("Dedicated", "Managed", "Shared"))
    if source.kind == "Managed" and not source.disk_uri.startswith("/subscriptions/"):
        form = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
        causes.not_supported(f"{path}.diskURI", source.disk_uri, (form,))
    elif source.kind not in (None, "Managed") and not source.disk_uri.startswith("https://"):
        form = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"
        causes.not_supported(f"{path}.diskURI", source.disk_uri, (form,))


def azure_file(source: AzureFileVolumeSource, causes: Causes, path: str) -> None:
    required(causes, f"{path}.secretName", source.secret_name)
    required(causes, f"{path}.shareName", source.share_name)
    if getattr(source, "secret_namespace", None) == "":
        causes.required(f"{path}.secretNamespace")


def secret_ref(reference: Any, causes: Causes, path: str) -> None:
    """A Secret's name, and its namespace where the reference has one."""
    if reference is None:
        return
    required(causes, f"{path}.secretRef.name", reference.name)
    if hasattr(reference, "namespace"):
        required(causes, f"{path}.secretRef.namespace", reference.namespace)


def cinder(source: CinderVolumeSource | CinderPersistentVolumeSource, causes: Causes, path: str) -> None:
    required(causes, f"{path}.volumeID", source.volume_id)
    secret_ref(source.secret_ref, causes, path)


def cephfs(source: CephFSVolumeSource | CephFSPersistentVolumeSource, causes: Causes, path: str) -> None:
    required(causes, f"{path}.monitors", source.monitors)


def flex(source: FlexVolumeSource | FlexPersistentVolumeSource, causes: Causes, path: str) -> None:
    required(causes, f"{path}.driver", source.driver)
    for key in source.options:
        owner = "." + key.partition("/")[0].lower()
        if owner.endswith((".kubernetes.io", ".k8s.io")):
            causes.invalid(f"{path}.options[{key}]", key, _RESERVED)


def flocker(source: FlockerVolumeSource, causes: Causes, path: str) -> None:
    if not source.dataset_name and not source.dataset_uuid:
        causes.required(path, "one of datasetName and datasetUUID is required")
    elif source.dataset_name and source.dataset_uuid:
        causes.invalid(path, "resource", "datasetName and datasetUUID can not be specified simultaneously")
    if "/" in source.dataset_name:
        causes.invalid(f"{path}.datasetName", source.dataset_name, "must not contain '/'")


def glusterfs(source: GlusterfsVolumeSource, causes: Causes, path: str) -> None:
    required(causes, f"{path}.endpoints", source.endpoints)
    required(causes, f"{path}.path", source.path)
    namespace = getattr(source, "endpoints_namespace", None)
    if namespace == "":
        rule = "if the endpointnamespace is set, it must be a valid namespace name"
        causes.invalid(f"{path}.endpointsNamespace", namespace, rule)
    elif namespace:
        check(is_dns_label, namespace, causes, f"{path}.endpointsNamespace")


def quobyte(source: QuobyteVolumeSource, causes: Causes, path: str) -> None:
    if not source.registry:
        causes.required(f"{path}.registry", _REGISTRY_RULE)
    elif len(source.tenant) > _TENANT_CHARACTERS_MAX:
        rule = f"must be a UUID and may not exceed a length of {_TENANT_CHARACTERS_MAX} characters"
        causes.required(f"{path}.tenant", rule)
    elif not all(_host_port_re.fullmatch(pair) for pair in source.registry.split(",")):
        causes.invalid(f"{path}.registry", source.registry, _REGISTRY_RULE)
    required(causes, f"{path}.volume", source.volume)


def storageos(source: StorageOSVolumeSource | StorageOSPersistentVolumeSource, causes: Causes, path: str) -> None:
    named(is_dns_label, source.volume_name, causes, f"{path}.volumeName")
    if source.volume_namespace:
        check(is_dns_label, source.volume_namespace, causes, f"{path}.volumeNamespace")
    secret_ref(source.secret_ref, causes, path)


def csi_driver(name: str, causes: Causes, path: str) -> None:
    required(causes, path, name)
    if len(name) > DRIVER_CHARACTERS_MAX:
        causes.too_long(path, DRIVER_CHARACTERS_MAX)
    for problem in is_dns_subdomain(name.lower()):
        causes.invalid(path, name, problem)


def csi_persistent(source: CSIPersistentVolumeSource, causes: Causes, path: str) -> None:
    csi_driver(source.driver, causes, f"{path}.driver")
    required(causes, f"{path}.volumeHandle", source.volume_handle)
    for name, reference in (
        ("controllerPublishSecretRef", source.controller_publish_secret_ref),
        ("controllerExpandSecretRef", source.controller_expand_secret_ref),
        ("nodePublishSecretRef", source.node_publish_secret_ref),
        ("nodeExpandSecretRef", source.node_expand_secret_ref),
    ):
        if reference is not None:
            named(is_dns_subdomain, reference.name, causes, f"{path}.{name}.name")
            named(is_dns_label, reference.namespace, causes, f"{path}.{name}.namespace")


#: Sources both have: attribute and rule. Fields of the Python name are those of the JSON name.
SHARED: dict[str, SourceRule] = {
    "host_path": host_path,
    "gce_persistent_disk": cloud_disk("pd_name"),
    "aws_elastic_block_store": cloud_disk("volume_id"),
    "nfs": nfs,
    "iscsi": iscsi,
    "glusterfs": glusterfs,
    "flocker": flocker,
    "rbd": needs("monitors", "image"),
    "cinder": cinder,
    "cephfs": cephfs,
    "quobyte": quobyte,
    "fc": fc,
    "flex_volume": flex,
    "azure_file": azure_file,
    "vsphere_volume": needs("volume_path"),
    "photon_persistent_disk": needs("pd_id"),
    "portworx_volume": needs("volume_id"),
    "azure_disk": azure_disk,
    "storageos": storageos,
    "scale_io": needs("gateway", "system", "volume_name"),
}


def validate_one_source(holder: msgspec.Struct, rules: dict[str, SourceRule], causes: Causes, path: str) -> None:
    """Exactly one of the fields named by `rules` is set, and its rule holds. Further ones are forbidden."""
    found = False
    for attribute, rule in rules.items():
        source = getattr(holder, attribute)
        if source is None:
            continue
        here = f"{path}.{_shown_name(holder, attribute)}"
        if found:
            causes.forbidden(here, "may not specify more than 1 volume type")
        else:
            rule(source, causes, here)
        found = True
    if not found:
        causes.required(path, "must specify a volume type")
