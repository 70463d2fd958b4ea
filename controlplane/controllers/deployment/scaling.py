"""The wished number changed, or the Deployment is paused: the ReplicaSets grow or shrink without rolling on.

Several of them are scaled in proportion to their sizes, so that a roll-out that goes wrong halfway stays as small a
part as it was (Kubernetes, Deployment: "Proportional scaling"). Sizes only: no I/O.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from apiserver.api.apps import ReplicaSet

from .recreate import PodsOf, pods_run
from .rolling import Sizes, room_beside
from .sizes import ROLLING_UPDATE, bounds_of
from .view import View, active, available, by_age, is_observed, is_settled, size

DESIRED_REPLICAS = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"


def is_scaled(view: View) -> bool:
    """Some ReplicaSet was last given a size for another wished number."""
    for found in active(view.all):
        desired = noted(found, DESIRED_REPLICAS)
        if desired is not None and desired != view.replicas:
            return True
    return False


def noted(found: ReplicaSet, annotation: str) -> int | None:
    """The number an annotation holds."""
    text = found.metadata.annotations.get(annotation, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 11 else None


def notes(view: View) -> dict[str, str]:
    """What a ReplicaSet is given with its size."""
    return {
        DESIRED_REPLICAS: str(view.replicas),
        MAX_REPLICAS: str(view.replicas + bounds_of(view.deployment).surge),
    }


def is_proportional(view: View) -> bool:
    """Several ReplicaSets have pods: only a rolling update gets there by intention."""
    return len(active(view.all)) > 1 and not _is_saturated(view)


def can_scale(view: View) -> bool:
    """False for a Recreate halfway: it goes on instead, which leads to the wished number too."""
    return not is_proportional(view) or view.deployment.spec.strategy.type == ROLLING_UPDATE


def next_sizes(view: View, pods_of: PodsOf) -> Sizes | None:
    """The sizes to be written, those that stay among them; None: wait for other pods to be counted, or to end."""
    found = active(view.all)
    if len(found) <= 1:
        return _scale_one(view, found[0] if found else _newest(view), pods_of)
    if _is_saturated(view):
        return {each.metadata.name: 0 for each in active(view.old)}
    return _proportional(view, found)


def _newest(view: View) -> ReplicaSet | None:
    if view.new is not None:
        return view.new
    return by_age(view.old)[-1] if view.old else None


def _scale_one(view: View, found: ReplicaSet | None, pods_of: PodsOf) -> Sizes | None:
    if found is None:
        return {}
    if view.replicas > size(found):
        rolls = view.deployment.spec.strategy.type == ROLLING_UPDATE
        if room_beside(view, found) < view.replicas or (not rolls and pods_run(view.others(found), pods_of)):
            return None
    return {found.metadata.name: view.replicas}


def _is_saturated(view: View) -> bool:
    """The new ReplicaSet has all the pods that are wished for, and they are available."""
    new = view.new
    return (
        new is not None
        and size(new) == view.replicas == available(new)
        and noted(new, DESIRED_REPLICAS) == view.replicas
    )


def _proportional(view: View, found: Sequence[ReplicaSet]) -> Sizes | None:
    if not all(is_settled(each) for each in view.all):
        return None
    total = view.replicas + bounds_of(view.deployment).surge if view.replicas else 0
    to_add = total - sum(size(each) for each in found)
    # the largest first; among equals the newest grows, and the oldest shrinks
    ordered = by_age(found)
    if to_add > 0:
        ordered.reverse()
    ordered.sort(key=size, reverse=True)
    sizes = {each.metadata.name: size(each) for each in ordered}
    left = to_add
    for each in ordered:
        part = _fraction(view, each, total)
        part = max(0, min(part, left)) if to_add > 0 else min(0, max(part, left))
        sizes[each.metadata.name] += part
        left -= part
    largest = ordered[0].metadata.name
    sizes[largest] = max(0, sizes[largest] + left)
    return _keep_available(view, ordered, sizes) if to_add < 0 else sizes


def _fraction(view: View, found: ReplicaSet, total: int) -> int:
    """By how much it changes when it keeps its part of the whole."""
    if view.replicas == 0:
        return -size(found)
    before = noted(found, MAX_REPLICAS) or view.deployment.status.replicas
    return math.floor(size(found) * total / before + 0.5) - size(found) if before else 0


def _keep_available(view: View, found: Sequence[ReplicaSet], sizes: Sizes) -> Sizes:
    """Rounding must not cost an available pod that the bounds ask for while one that is not ready stays."""
    least = view.replicas - bounds_of(view.deployment).unavailable
    missing = least - sum(min(sizes[each.metadata.name], available(each)) for each in found)
    for taker in found:
        for giver in found:
            lost = available(taker) - sizes[taker.metadata.name]
            moved = min(missing, lost, sizes[giver.metadata.name] - giver.status.ready_replicas)
            if moved > 0 and is_observed(giver):
                sizes[taker.metadata.name] += moved
                sizes[giver.metadata.name] -= moved
                missing -= moved
    return sizes
