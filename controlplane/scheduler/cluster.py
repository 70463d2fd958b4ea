"""Keeps snapshot and queue as the informers show the cluster, and tells the queue what happened that may help a pod.

Handlers are called in place and never wait: once a change was handled, the next decision is made with it. A change that
tells the scheduler nothing (a pod's containers came up, a node's conditions) leaves the snapshot untouched, so that
what was worked out for a node holds on.
"""

from __future__ import annotations

import logging

from apiserver.api.core.namespace import Namespace
from apiserver.api.core.node import Node
from apiserver.api.core.persistent_volumes import PersistentVolume, PersistentVolumeClaim
from apiserver.api.core.pod import Pod
from apiserver.api.storage import StorageClass
from apiserver.client import Change
from controlplane.runtime.caches import Caches

from .assume import Assumptions
from .filters.reason import Remedy
from .hints import ClusterEvent
from .pod_info import PodInfo, Templates
from .queue import SchedulingQueue
from .snapshot import Snapshot

log = logging.getLogger("controlplane.scheduler")


class ClusterWatch:
    """`moment` grows with everything that may change a decision."""

    def __init__(
        self,
        caches: Caches,
        snapshot: Snapshot,
        queue: SchedulingQueue,
        assumptions: Assumptions,
        templates: Templates,
        *,
        scheduler_name: str,
    ) -> None:
        self.moment = 0
        self._snapshot = snapshot
        self._queue = queue
        self._assumptions = assumptions
        self._templates = templates
        self._scheduler_name = scheduler_name
        caches.namespaces.add_handler(self._namespace)
        caches.nodes.add_handler(self._node)
        caches.pods.add_handler(self._pod)
        caches.persistent_volume_claims.add_handler(self._claim)
        caches.persistent_volumes.add_handler(self._volume)
        caches.storage_classes.add_handler(self._storage_class)
        self.informers = (
            caches.namespaces,
            caches.nodes,
            caches.pods,
            caches.persistent_volume_claims,
            caches.persistent_volumes,
            caches.storage_classes,
        )

    def happened(self, event: ClusterEvent) -> None:
        self.moment += 1
        self._queue.happened(event)

    # --- pods -----------------------------------------------------------------------------------------

    def _pod(self, change: Change[Pod]) -> None:
        pod, uid = change.object, change.object.metadata.uid
        if change.type == "deleted":
            self._queue.remove(uid)
            self._leaves(uid)
            return
        info = self._templates.pod_info(pod)
        if info.finished:
            self._queue.remove(uid)
            self._leaves(uid)
        elif info.node_name:
            self._queue.remove(uid)
            self._is_on_node(info)
        elif info.scheduler_name != self._scheduler_name:
            return
        elif info.terminating:
            self._queue.remove(uid)
        else:
            self._queue.put(info)

    def _leaves(self, uid: str) -> None:
        known = self._snapshot.pod(uid)
        if known is not None:
            self._assumptions.gone(uid)
            self.room_on(known.node_name, known)

    def _is_on_node(self, info: PodInfo) -> None:
        known = self._snapshot.pod(info.uid)
        confirmed = known is not None and (
            (known.node_name, known.template, known.terminating) == (info.node_name, info.template, info.terminating)
        )
        if confirmed:  # it counts just as it did
            if self._assumptions.confirmed(info.uid):
                self.happened(ClusterEvent(kind=Remedy.POD_ADD, pod=info))
            return
        self._assumptions.confirm(info)
        if known is None:
            self.happened(ClusterEvent(kind=Remedy.POD_ADD, pod=info))
            return
        if known.node_name != info.node_name or known.template.requests != info.template.requests:
            self.room_on(known.node_name, known)
        self.happened(ClusterEvent(kind=Remedy.POD_LABEL, pod=info))

    def room_on(self, node: str, pod: PodInfo) -> None:
        """The pod no longer counts there."""
        self.happened(ClusterEvent(kind=Remedy.POD_DELETE, node=self._snapshot.node(node), pod=pod))

    # --- nodes ----------------------------------------------------------------------------------------

    def _node(self, change: Change[Node]) -> None:
        node, name = change.object, change.object.metadata.name
        if change.type == "deleted":
            self._snapshot.remove_node(name)
            self.happened(ClusterEvent(kind=Remedy.NODE_REMOVE))
            return
        remedies = _remedies(change.old, node)
        if change.old is not None and not remedies and node.status.images == change.old.status.images:
            return
        self._snapshot.set_node(node)
        self.moment += 1
        found = self._snapshot.node(name)
        for remedy in remedies:
            self.happened(ClusterEvent(kind=remedy, node=found))

    def _namespace(self, change: Change[Namespace]) -> None:
        meta = change.object.metadata
        if change.type == "deleted":
            self._snapshot.remove_namespace(meta.name)
        elif change.old is not None and change.old.metadata.labels == meta.labels:
            return
        else:
            self._snapshot.set_namespace(meta.name, meta.labels)
        self.happened(ClusterEvent(kind=Remedy.NAMESPACE_LABEL))

    # --- volumes --------------------------------------------------------------------------------------

    def _claim(self, change: Change[PersistentVolumeClaim]) -> None:
        meta = change.object.metadata
        self.happened(ClusterEvent(kind=Remedy.CLAIM, claim=f"{meta.namespace}/{meta.name}"))

    def _volume(self, change: Change[PersistentVolume]) -> None:
        self.happened(ClusterEvent(kind=Remedy.VOLUME))

    def _storage_class(self, change: Change[StorageClass]) -> None:
        self.happened(ClusterEvent(kind=Remedy.STORAGE_CLASS))


def _remedies(old: Node | None, new: Node) -> list[Remedy]:
    """What a change of a node may be good for."""
    if old is None:
        return [Remedy.NODE_ADD]
    found = []
    if new.status.allocatable != old.status.allocatable:
        found.append(Remedy.NODE_ALLOCATABLE)
    if new.metadata.labels != old.metadata.labels:
        found.append(Remedy.NODE_LABEL)
    if new.spec.taints != old.spec.taints or new.spec.unschedulable != old.spec.unschedulable:
        found.append(Remedy.NODE_TAINT)
    return found
