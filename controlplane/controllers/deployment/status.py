"""What a Deployment's status says of its ReplicaSets: counts, availability, failures, pause. No I/O."""

from __future__ import annotations

from apiserver.api.apps import DeploymentCondition, DeploymentStatus

from .conditions import (
    AVAILABLE,
    MINIMUM_AVAILABLE,
    MINIMUM_UNAVAILABLE,
    PAUSED,
    PROGRESSING,
    REPLICA_FAILURE,
    RESUMED,
    TIMED_OUT,
    Conditions,
    Said,
    find,
    put,
    without,
)
from .sizes import bounds_of
from .view import View, size

NO_DEADLINE = 2**31 - 1


def has_deadline(view: View) -> bool:
    return view.deployment.spec.progress_deadline_seconds not in (None, NO_DEADLINE)


def status_of(view: View, now: str) -> DeploymentStatus:
    """Without anything about progress but a pause."""
    found = view.all
    available_now = sum(each.status.available_replicas for each in found)
    deployment = view.deployment
    return DeploymentStatus(
        observed_generation=deployment.metadata.generation,
        replicas=sum(each.status.replicas for each in found),
        updated_replicas=0 if view.new is None else view.new.status.replicas,
        ready_replicas=sum(each.status.ready_replicas for each in found),
        available_replicas=available_now,
        unavailable_replicas=max(0, sum(map(size, found)) - available_now),
        collision_count=deployment.status.collision_count,
        conditions=_with_availability(view, available_now, _with_pause(view, deployment.status.conditions, now), now),
    )


def is_complete(view: View, status: DeploymentStatus) -> bool:
    """Every pod is of the newest template and available, and there are no others."""
    return (
        status.updated_replicas == status.replicas == status.available_replicas == view.replicas
        and status.observed_generation >= view.deployment.metadata.generation
    )


def with_failures(view: View, conditions: Conditions) -> list[DeploymentCondition]:
    """What the ReplicaSets could not do; the newest has the first word."""
    for found in (view.new, *view.old):
        for condition in found.status.conditions if found is not None else ():
            if condition.type == REPLICA_FAILURE:
                said = Said(
                    type=REPLICA_FAILURE,
                    status=condition.status,
                    reason=condition.reason,
                    message=condition.message,
                    at=condition.last_transition_time or "",
                )
                return put(conditions, said)
    return without(conditions, REPLICA_FAILURE)


def _with_availability(view: View, available_now: int, conditions: Conditions, now: str) -> list[DeploymentCondition]:
    if available_now >= view.replicas - bounds_of(view.deployment).unavailable:
        status, reason, message = "True", MINIMUM_AVAILABLE, "Deployment has minimum availability."
    else:
        status, reason, message = "False", MINIMUM_UNAVAILABLE, "Deployment does not have minimum availability."
    return put(conditions, Said(type=AVAILABLE, status=status, reason=reason, message=message, at=now))


def _with_pause(view: View, conditions: Conditions, now: str) -> Conditions:
    """The clock of progress stands still while paused. A deadline that has passed already stays told."""
    known = find(conditions, PROGRESSING)
    reason = "" if known is None else known.reason
    if not has_deadline(view) or reason == TIMED_OUT:
        return conditions
    if view.deployment.spec.paused and reason != PAUSED:
        said = Said(type=PROGRESSING, status="Unknown", reason=PAUSED, message="Deployment is paused", at=now)
    elif not view.deployment.spec.paused and reason == PAUSED:
        said = Said(type=PROGRESSING, status="Unknown", reason=RESUMED, message="Deployment is resumed", at=now)
    else:
        return conditions
    return put(conditions, said)
