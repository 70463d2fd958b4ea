"""What a ReplicaSet's status says, worked out from its pods."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from apiserver.api.apps import ReplicaSet, ReplicaSetCondition, ReplicaSetStatus
from apiserver.api.core.pod import Pod
from controlplane.runtime.clock import Clock
from controlplane.runtime.pace import Pace

from .pod_state import available_in_s

REPLICA_FAILURE = "ReplicaFailure"


class Tally(msgspec.Struct):
    """Counts of pods. `next_available_s`: when the next one that is ready counts as available, if one is to come."""

    replicas: int = 0
    fully_labeled: int = 0
    ready: int = 0
    available: int = 0
    next_available_s: float | None = None


class Failure(msgspec.Struct, frozen=True):
    """FailedCreate or FailedDelete, and what the API said."""

    reason: str
    message: str


async def tally(owner: ReplicaSet, pods: Iterable[Pod], *, clock: Clock, pace: Pace) -> Tally:
    counts = Tally()
    wanted = owner.spec.template.metadata.labels.items()
    for pod in pods:
        await pace.breathe()
        counts.replicas += 1
        counts.fully_labeled += wanted <= pod.metadata.labels.items()
        wait_s = available_in_s(pod, owner.spec.min_ready_seconds, clock)
        if wait_s is None:
            continue
        counts.ready += 1
        if wait_s <= 0:
            counts.available += 1
        elif counts.next_available_s is None or wait_s < counts.next_available_s:
            counts.next_available_s = wait_s
    return counts


def status_of(
    owner: ReplicaSet, counts: Tally, failure: Failure | None, *, managed: bool, clock: Clock
) -> ReplicaSetStatus:
    """`managed`: pods could be created and deleted this time, so that no `failure` means that all is well again."""
    conditions = owner.status.conditions
    known = any(condition.type == REPLICA_FAILURE for condition in conditions)
    if failure is not None and not known:
        condition = ReplicaSetCondition(
            type=REPLICA_FAILURE,
            status="True",
            last_transition_time=clock.now_text(),
            reason=failure.reason,
            message=failure.message,
        )
        conditions = [*conditions, condition]
    elif failure is None and known and managed:
        conditions = [condition for condition in conditions if condition.type != REPLICA_FAILURE]
    return ReplicaSetStatus(
        replicas=counts.replicas,
        fully_labeled_replicas=counts.fully_labeled,
        ready_replicas=counts.ready,
        available_replicas=counts.available,
        observed_generation=owner.metadata.generation,
        conditions=conditions,
    )
