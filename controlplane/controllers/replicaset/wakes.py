"""Which ReplicaSets a change concerns, and what it says of writes that were awaited.

What cannot change anything a ReplicaSet counts wakes nobody: a thousand pods report many things.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apiserver.api.apps import ReplicaSet
from apiserver.api.core.pod import Pod
from apiserver.api.meta import OwnerReference
from apiserver.client import Change
from controlplane.controllers.claims import BY_SELECTOR, by_selector, controller_of, selecting
from controlplane.runtime import Request
from controlplane.runtime.caches import Caches

from .expectations import Books
from .pod_state import ready_condition


class Wakes:
    """Functions for Sources: called in place, they never wait."""

    def __init__(self, caches: Caches, books: Books) -> None:
        caches.replica_sets.add_index(BY_SELECTOR, by_selector)
        self._replica_sets = caches.replica_sets.cache
        self._books = books

    def of_pod(self, change: Change[Pod]) -> Iterable[Request]:
        pod, old = change.object, change.old
        controller = controller_of(pod)
        woken: dict[Request, None] = {}
        for owner in (controller, controller_of(old) if old is not None else None):
            request = _request(pod, owner)
            if request is None or owner is None:
                continue
            expectations = self._books.known(request, owner.uid)
            if expectations is not None:
                expectations.observe(change)
            woken[request] = None
        if change.type == "updated" and old is not None and _seen_by_owner(old) == _seen_by_owner(pod):
            return ()
        if controller is None and change.type != "deleted":
            woken.update(dict.fromkeys(selecting(self._replica_sets, pod)))
        return woken

    def of_replica_set(self, change: Change[ReplicaSet]) -> Iterable[Request]:
        """Not what we wrote ourselves, nor what others noted on it."""
        new, old = change.object, change.old
        if change.type == "updated" and old is not None and _wish(old) == _wish(new):
            expectations = self._books.known(Request.of(new), new.metadata.uid)
            if expectations is not None and expectations.written == new.status:
                return ()
        return (Request.of(new),)


def _request(pod: Pod, owner: OwnerReference | None) -> Request | None:
    if owner is None or owner.kind != "ReplicaSet" or not owner.api_version.startswith("apps/"):
        return None
    return Request(pod.metadata.namespace, owner.name)


def _seen_by_owner(pod: Pod) -> tuple[Any, ...]:
    meta = pod.metadata
    ready = ready_condition(pod)
    return (
        meta.labels,
        meta.owner_references,
        meta.deletion_timestamp is None,
        pod.status.phase,
        ready and ready.last_transition_time,
    )


def _wish(found: ReplicaSet) -> tuple[Any, ...]:
    meta = found.metadata
    return meta.generation, meta.deletion_timestamp, meta.uid
