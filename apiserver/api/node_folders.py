"""PersistentVolumes that are a folder of one node: what the control plane, which makes the objects, and the node's
agent, which makes and removes the folder, know of each other.

The node finds its volumes by the label. It sets the finalizer before it makes the folder, so that whoever deletes the
volume waits for the folder to go.
"""

from __future__ import annotations

import hashlib

from .core.persistent_volumes import PersistentVolume, PersistentVolumeClaim
from .names import LABEL_CHARACTERS_MAX

PROVISIONER = "kmini.io/host-path"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
NODE_LABEL = "kmini.io/node"
FINALIZER = "kmini.io/folder"
VOLUMES_ANNOTATION = "kmini.io/volumes"  # of a Node: in which of its folders they are made
FOLDER_CHARACTERS_MAX = 255  # a name's, for Linux
_DIGEST_CHARACTERS = 12


def label_of(node: str) -> str:
    """The name itself when a label can hold it."""
    if len(node) <= LABEL_CHARACTERS_MAX:
        return node
    digest = hashlib.sha256(node.encode()).hexdigest()[:_DIGEST_CHARACTERS]
    return f"{node[: LABEL_CHARACTERS_MAX - _DIGEST_CHARACTERS - 1]}-{digest}"


def volume_name(claim: PersistentVolumeClaim) -> str:
    """Of the volume that is made for it: the same however often that is tried."""
    return f"pvc-{claim.metadata.uid}"


def folder_name(volume: str, namespace: str, claim: str) -> str:
    """The name of the volume comes first, so that none is there twice."""
    return f"{volume}_{namespace}_{claim}"[:FOLDER_CHARACTERS_MAX]


def own_folder(volume: PersistentVolume) -> str:
    """The path of the folder that was made for this very volume; "" when it is somebody else's, whatever the object
    says: that is never removed."""
    spec, meta = volume.spec, volume.metadata
    reference, source = spec.claim_ref, spec.host_path
    if meta.annotations.get(PROVISIONED_BY) != PROVISIONER or reference is None or source is None:
        return ""
    if meta.name != f"pvc-{reference.uid}":
        return ""
    parent, _, name = source.path.rpartition("/")
    own = folder_name(meta.name, reference.namespace, reference.name)
    is_path = parent.startswith("/") and not {"..", "."} & set(parent.split("/"))
    return source.path if is_path and name == own else ""
