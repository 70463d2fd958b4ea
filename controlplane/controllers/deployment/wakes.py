"""Which Deployments a change concerns. Functions for Sources: called in place, they never wait."""

from __future__ import annotations

from collections.abc import Iterable

from apiserver.api.apps import ReplicaSet
from apiserver.api.core.pod import Pod
from apiserver.api.meta import TopObject
from apiserver.client import Change
from controlplane.controllers.claims import BY_SELECTOR, by_selector, controller_of, selecting
from controlplane.runtime import Request
from controlplane.runtime.caches import Caches


class Wakes:
    def __init__(self, caches: Caches) -> None:
        caches.deployments.add_index(BY_SELECTOR, by_selector)
        self._deployments = caches.deployments.cache
        self._replica_sets = caches.replica_sets.cache

    def of_replica_set(self, change: Change[ReplicaSet]) -> Iterable[Request]:
        found, old = change.object, change.old
        woken = dict.fromkeys(_owner(found))
        if old is not None:
            woken.update(dict.fromkeys(_owner(old)))
        if controller_of(found) is None and change.type != "deleted":
            woken.update(dict.fromkeys(selecting(self._deployments, found)))
        return woken

    def of_pod(self, change: Change[Pod]) -> Iterable[Request]:
        """The end of a pod is what Recreate waits for; everything else a ReplicaSet's status tells."""
        if change.type != "deleted":
            return ()
        owner = controller_of(change.object)
        if owner is None or owner.kind != "ReplicaSet":
            return ()
        found = self._replica_sets.get(owner.name, namespace=change.object.metadata.namespace)
        return () if found is None else _owner(found)


def _owner(obj: TopObject) -> Iterable[Request]:
    owner = controller_of(obj)
    if owner is None or owner.kind != "Deployment" or not owner.api_version.startswith("apps/"):
        return ()
    return (Request(obj.metadata.namespace, owner.name),)
