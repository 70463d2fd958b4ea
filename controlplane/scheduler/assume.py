"""Pods on their way to a node count there from the moment it is decided, long before the cluster shows them there.

A pod is assumed, and then either confirmed (the informer shows it on a node, whichever) or forgotten (its binding
certainly did not happen, or the pod is gone). Time alone forgets nothing: as long as nobody knows how a binding ended,
the room is kept.
"""

from __future__ import annotations

from .pod_info import PodInfo
from .snapshot import Snapshot


class Assumptions:
    """Every pod with a node enters and leaves the snapshot here."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._assumed: dict[str, str] = {}  # uid -> node

    def __len__(self) -> int:
        return len(self._assumed)

    def __contains__(self, uid: object) -> bool:
        return uid in self._assumed

    def node_of(self, uid: str) -> str:
        """ "" for a pod that is not assumed."""
        return self._assumed.get(uid, "")

    def assume(self, info: PodInfo, node: str) -> None:
        """Raises ValueError for one that is on a node already, or assumed to be."""
        if info.uid in self._assumed or info.node_name:
            raise ValueError(f"pod {info.namespace}/{info.name} has a node already")
        self._assumed[info.uid] = node
        self._snapshot.add_pod(info.on(node))

    def forget(self, uid: str) -> bool:
        """Whether it was assumed, and the room is free again. One that was confirmed stays."""
        if self._assumed.pop(uid, None) is None:
            return False
        self._snapshot.remove_pod(uid)
        return True

    def confirm(self, info: PodInfo) -> None:
        """The cluster shows the pod on a node."""
        self._assumed.pop(info.uid, None)
        self._snapshot.add_pod(info)

    def confirmed(self, uid: str) -> bool:
        """The same, of a pod that counts already as the cluster shows it. Whether it was assumed until now."""
        return self._assumed.pop(uid, None) is not None

    def gone(self, uid: str) -> None:
        """The cluster shows the pod no more, or finished."""
        self._assumed.pop(uid, None)
        self._snapshot.remove_pod(uid)
