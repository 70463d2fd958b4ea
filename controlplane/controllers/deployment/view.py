"""A Deployment and its ReplicaSets at one moment, and what may be said of them for certain.

A ReplicaSet's status is as old as the spec it was worked out from. Until its controller has seen the newest spec there
may be pods the status does not count, or pods it counts that are about to go. So sizes are taken for the worst: to make
more pods, what may be there counts; to end some, only what is certain to stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from apiserver.api.apps import Deployment, ReplicaSet


class View(msgspec.Struct, frozen=True):
    """`new` has the Deployment's template; `old` are all others, oldest first."""

    deployment: Deployment
    new: ReplicaSet | None
    old: Sequence[ReplicaSet]

    @property
    def all(self) -> list[ReplicaSet]:
        return [*self.old, *([] if self.new is None else [self.new])]

    @property
    def replicas(self) -> int:
        """How many pods are wished for."""
        return self.deployment.spec.replicas or 0

    def others(self, than: ReplicaSet | None) -> list[ReplicaSet]:
        uid = "" if than is None else than.metadata.uid
        return [each for each in self.all if each.metadata.uid != uid]


def size(found: ReplicaSet) -> int:
    """How many pods it is to have."""
    return found.spec.replicas or 0


def is_observed(found: ReplicaSet) -> bool:
    """Its controller has seen what is asked of it now."""
    return found.status.observed_generation >= found.metadata.generation


def is_settled(found: ReplicaSet) -> bool:
    """And it has no more pods than it is to have."""
    return is_observed(found) and found.status.replicas <= size(found)


def pods_max(found: ReplicaSet) -> int | None:
    """More pods than that it does not have; None when that is not known."""
    return max(size(found), found.status.replicas) if is_observed(found) else None


def available(found: ReplicaSet) -> int:
    """At least so many pods are available and are to stay."""
    return min(size(found), found.status.available_replicas) if is_observed(found) else 0


def unready(found: ReplicaSet) -> int:
    """So many pods may be given up without losing one that is ready."""
    return max(0, size(found) - found.status.ready_replicas) if is_observed(found) else 0


def active(found: Iterable[ReplicaSet]) -> list[ReplicaSet]:
    return [each for each in found if size(each) > 0]


def by_age(found: Iterable[ReplicaSet]) -> list[ReplicaSet]:
    """Oldest first; names decide among those of one second."""
    return sorted(found, key=lambda each: (each.metadata.creation_timestamp or "", each.metadata.name))
