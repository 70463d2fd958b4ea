"""Recreate: all old pods end, and only then new ones come. Sizes only: no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from apiserver.api.apps import ReplicaSet
from apiserver.api.core.pod import Pod

from .rolling import Sizes
from .view import View, active, is_observed, size

PodsOf = Callable[[ReplicaSet], Iterable[Pod]]


def next_sizes(view: View, pods_of: PodsOf) -> Sizes:
    """One step. Empty: nothing to do now."""
    if old := active(view.old):
        return {each.metadata.name: 0 for each in old}
    new = view.new
    if new is None or size(new) == view.replicas or (size(new) < view.replicas and pods_run(view.old, pods_of)):
        return {}
    return {new.metadata.name: view.replicas}


def pods_run(replica_sets: Iterable[ReplicaSet], pods_of: PodsOf) -> bool:
    """Some pod of theirs has not ended yet, or may not have. A pod that is being deleted still runs."""
    for found in replica_sets:
        if size(found) or found.status.replicas or not is_observed(found):
            return True
        if any(pod.status.phase not in ("Failed", "Succeeded") for pod in pods_of(found)):
            return True
    return False
