"""persistentVolumeClaim and ephemeral: the volume behind a claim, once the two belong to each other beyond doubt.

A volume is somebody's data: it is shown to the pods of the one claim that it names by uid, on the nodes that reach it,
and to nobody else. Volumes here are folders of the node: hostPath and local.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path

import msgspec

from apiserver.api.core.persistent_volumes import PersistentVolume, PersistentVolumeClaim
from apiserver.api.core.pod import Pod
from apiserver.api.core.volumes import Volume
from apiserver.api.node_folders import FINALIZER, own_folder
from apiserver.api.node_terms import node_term
from apiserver.client import Client
from nodeagent.references import References

from .failures import CannotMount
from .host_path import host_path

_OWN_FOLDER_MODE = 0o777  # whoever runs in its pods, as in an emptyDir
_one_at_a_time = threading.Lock()


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """`grouped`: it takes on the pod's fsGroup, which folders that people made for themselves do not."""

    volume: PersistentVolume
    read_only: bool
    grouped: bool


async def claimed(pod: Pod, wanted: Volume, references: References, node: str) -> Claimed:
    """Raises ApiError, CannotMount."""
    claim = await _claim(pod, wanted, references)
    name, namespace = claim.metadata.name, claim.metadata.namespace
    if claim.metadata.deletion_timestamp is not None:  # nobody may count on what is about to be removed
        raise CannotMount(f'PVC "{namespace}/{name}" is being deleted')
    if claim.status.phase != "Bound" or not claim.spec.volume_name:
        raise CannotMount(f'PVC "{namespace}/{name}" is not bound')
    volume = await references.volume(claim.spec.volume_name)
    if volume is None:
        raise CannotMount(f'failed to get PV "{claim.spec.volume_name}": not found')
    reference = volume.spec.claim_ref
    if reference is None or reference.uid != claim.metadata.uid:
        raise CannotMount(f'PV "{volume.metadata.name}" is not bound to PVC "{namespace}/{name}"')
    if volume.spec.volume_mode == "Block":
        raise CannotMount(f"volume {wanted.name} has volumeMode Block, which is not supported here")
    await _reachable(volume, references, node)
    source = wanted.persistent_volume_claim
    return Claimed(
        volume=volume,
        read_only=(source is not None and source.read_only) or volume.spec.access_modes == ["ReadOnlyMany"],
        grouped=volume.spec.local is not None or bool(own_folder(volume)),
    )


async def mark(client: Client, volume: PersistentVolume) -> None:
    """Before its folder is made: whoever deletes the volume waits for this node from now on. Raises ApiError."""
    meta = volume.metadata
    if FINALIZER in meta.finalizers:
        return
    if meta.deletion_timestamp is not None:
        raise CannotMount(f'PV "{meta.name}" is being deleted')
    finalizers = [*meta.finalizers, FINALIZER]
    change = {"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version, "finalizers": finalizers}}
    await client.patch(PersistentVolume, meta.name, change)


async def _claim(pod: Pod, wanted: Volume, references: References) -> PersistentVolumeClaim:
    source = wanted.persistent_volume_claim
    name = source.claim_name if source is not None else f"{pod.metadata.name}-{wanted.name}"
    claim = await references.claim(pod.metadata.namespace, name)
    if claim is None:
        raise CannotMount(f'persistentvolumeclaim "{name}" not found')
    owners = [each.uid for each in claim.metadata.owner_references if each.controller]
    if source is None and owners != [pod.metadata.uid]:
        raise CannotMount(f'PVC "{name}" was not created for pod "{pod.metadata.name}" (pod is not owner)')
    return claim


async def _reachable(volume: PersistentVolume, references: References, node: str) -> None:
    """The scheduler sees to it, but not for pods that name their node themselves: on another node the same path would
    be an empty folder, as if all data were lost."""
    affinity = volume.spec.node_affinity
    if affinity is None or affinity.required is None:
        return
    found = await references.node(node)
    labels: Mapping[str, str] = found.metadata.labels if found is not None else {}
    if not any(node_term(each).matches(node, labels) for each in affinity.required.node_selector_terms):
        raise CannotMount(
            f'PV "{volume.metadata.name}" cannot be reached from node "{node}": its node affinity differs'
        )


def place_of(volume: PersistentVolume) -> Path:
    """Its folder, made if it may be. Raises CannotMount, OSError."""
    source, local = volume.spec.host_path, volume.spec.local
    if source is not None:
        own = own_folder(volume)
        return _own_folder(own) if own else host_path(source.path, source.type or "")
    if local is not None:
        return host_path(local.path, "Directory")
    raise CannotMount(f'PV "{volume.metadata.name}": only hostPath and local volumes can be mounted here')


def _own_folder(path: str) -> Path:
    """Complete when it has its name: from then on its mode is its pods' business."""
    place = Path(path)
    making = place.with_name(f".{place.name[1:]}")
    with _one_at_a_time:
        if not os.path.lexists(place):
            making.mkdir(parents=True, exist_ok=True)
            making.chmod(_OWN_FOLDER_MODE)
            making.rename(place)
    if place.is_symlink():
        raise CannotMount(f"{path} is a link: what it leads to was not made for this volume")
    return host_path(path, "Directory")
