"""Why a node does not do, in Kubernetes' words, and what would have to happen for it to do."""

from __future__ import annotations

from enum import Enum

import msgspec


class Remedy(Enum):
    """What may make a reason go away. A change of the pod itself always may."""

    NODE_ADD = "node added"
    NODE_REMOVE = "node removed"
    NODE_ALLOCATABLE = "node has more to give"
    NODE_LABEL = "labels of a node changed"
    NODE_TAINT = "taints of a node changed, or whether it takes pods"
    POD_ADD = "another pod came to a node"
    POD_LABEL = "labels of another pod changed"
    POD_DELETE = "another pod is gone or finished"
    NAMESPACE_LABEL = "labels of a namespace changed"
    CLAIM = "a PersistentVolumeClaim is new or changed"
    VOLUME = "a PersistentVolume is new or changed"
    STORAGE_CLASS = "a StorageClass is new or changed"


class Reason(msgspec.Struct, frozen=True, cache_hash=True):
    """Equal reasons of many nodes are told once, with their number.

    filter: Kubernetes' name of the filter, such as NodeResourcesFit.
    message: For people: what FailedScheduling events say.
    remedies: What is worth trying again for; with none, only a change of the pod or time.
    """

    filter: str
    message: str
    remedies: frozenset[Remedy] = frozenset()


#: What a filter says of a node: why not, or nothing when the pod fits there.
Verdict = tuple[Reason, ...]
FITS: Verdict = ()
