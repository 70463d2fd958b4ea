"""Where a container shows the pod's volumes."""

from __future__ import annotations

from collections.abc import Mapping

from apiserver.api.core.containers import Container, VolumeMount
from apiserver.api.core.volumes import Volume
from apiserver.api.fields import Causes

from .texts import descending, leads_back, required

PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")
RECURSIVE_READ_ONLY = ("Disabled", "Enabled", "IfPossible")
_NOT_IN_IMAGES = "not allowed in image volume sources"


def _sub_paths(mount: VolumeMount, volume: Volume | None, causes: Causes, path: str, list_path: str) -> None:
    for name, value in (("subPath", mount.sub_path), ("subPathExpr", mount.sub_path_expr)):
        if value and volume is not None and volume.image:
            causes.invalid(f"{path}.{name}", value, _NOT_IN_IMAGES)
        if value:
            descending(causes, f"{list_path}.{name}", value)
    if mount.sub_path and mount.sub_path_expr:
        rule = "subPathExpr and subPath are mutually exclusive"
        causes.invalid(f"{path}.subPathExpr", mount.sub_path_expr, rule)


def _recursive_read_only(mount: VolumeMount, causes: Causes, path: str) -> None:
    if mount.recursive_read_only not in RECURSIVE_READ_ONLY:
        causes.not_supported(path, mount.recursive_read_only, RECURSIVE_READ_ONLY)
    elif mount.recursive_read_only != "Disabled":
        if not mount.read_only:
            causes.forbidden(path, "may only be specified when readOnly is true")
        if mount.mount_propagation not in (None, "None"):
            causes.forbidden(path, "may only be specified when mountPropagation is None or not specified")


def _propagation(mode: str, container: Container, causes: Causes, path: str) -> None:
    if mode not in PROPAGATIONS:
        causes.not_supported(path, mode, PROPAGATIONS)
    privileged = container.security_context is not None and container.security_context.privileged
    if mode == "Bidirectional" and not privileged:
        causes.forbidden(path, "Bidirectional mount propagation is available only to privileged containers")


def validate_mounts(container: Container, volumes: Mapping[str, Volume], causes: Causes, path: str) -> None:
    """`path` is the list's; some rules of Kubernetes name the list and not the entry."""
    devices = {device.name: device.device_path for device in container.volume_devices}
    device_paths = set(devices.values())
    taken: set[str] = set()
    for index, mount in enumerate(container.volume_mounts):
        here = f"{path}[{index}]"
        required(causes, f"{here}.name", mount.name)
        volume = volumes.get(mount.name)
        if volume is None:
            causes.not_found(f"{here}.name", mount.name)
        required(causes, f"{here}.mountPath", mount.mount_path)
        if mount.mount_path in taken:
            causes.invalid(f"{here}.mountPath", mount.mount_path, "must be unique")
        taken.add(mount.mount_path)
        if mount.name in devices:
            causes.invalid(f"{here}.name", mount.name, "must not already exist in volumeDevices")
        if mount.mount_path in device_paths:
            rule = "must not already exist as a path in volumeDevices"
            causes.invalid(f"{here}.mountPath", mount.mount_path, rule)
        _sub_paths(mount, volume, causes, here, path)
        if mount.mount_propagation is not None:
            _propagation(mount.mount_propagation, container, causes, f"{path}.mountPropagation")
        if mount.recursive_read_only is not None:
            _recursive_read_only(mount, causes, f"{path}.recursiveReadOnly")


def validate_devices(container: Container, volumes: Mapping[str, Volume], causes: Causes, path: str) -> None:
    mounts = {mount.name: mount.mount_path for mount in container.volume_mounts}
    mount_paths = set(mounts.values())
    names: set[str] = set()
    paths: set[str] = set()
    for index, device in enumerate(container.volume_devices):
        here = f"{path}[{index}]"
        required(causes, f"{here}.name", device.name)
        if device.name in names:
            causes.invalid(f"{here}.name", device.name, "must be unique")
        names.add(device.name)
        volume = volumes.get(device.name)
        if volume is None:
            causes.not_found(f"{here}.name", device.name)
        elif volume.persistent_volume_claim is None and volume.ephemeral is None:
            rule = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            causes.invalid(f"{here}.name", device.name, rule)
        required(causes, f"{here}.devicePath", device.device_path)
        if device.device_path in paths:
            causes.invalid(f"{here}.devicePath", device.device_path, "must be unique")
        paths.add(device.device_path)
        if leads_back(device.device_path):
            causes.invalid(f"{here}.devicePath", device.device_path, "can not contain backsteps ('..')")
        if device.name in mounts:
            causes.invalid(f"{here}.name", device.name, "must not already exist in volumeMounts")
        if device.device_path in mount_paths:
            rule = "must not already exist as a path in volumeMounts"
            causes.invalid(f"{here}.devicePath", device.device_path, rule)
