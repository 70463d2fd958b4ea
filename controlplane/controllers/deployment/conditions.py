"""The conditions of a Deployment: their types and reasons (Kubernetes', which kubectl rollout status reads), and how a
list of them changes. No I/O; lists are made anew, never changed."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from apiserver.api.apps import DeploymentCondition

AVAILABLE, PROGRESSING, REPLICA_FAILURE = "Available", "Progressing", "ReplicaFailure"

MINIMUM_AVAILABLE, MINIMUM_UNAVAILABLE = "MinimumReplicasAvailable", "MinimumReplicasUnavailable"
CREATED, FOUND = "NewReplicaSetCreated", "FoundNewReplicaSet"
NOT_CREATED = "ReplicaSetCreateError"
UPDATED, COMPLETE = "ReplicaSetUpdated", "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"
PAUSED, RESUMED = "DeploymentPaused", "DeploymentResumed"

Conditions = Sequence[DeploymentCondition]


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What a condition is to say from `at` on."""

    type: str
    status: str
    reason: str
    message: str
    at: str


def find(conditions: Conditions, type_: str) -> DeploymentCondition | None:
    return next((each for each in conditions if each.type == type_), None)


def without(conditions: Conditions, type_: str) -> list[DeploymentCondition]:
    return [each for each in conditions if each.type != type_]


def put(conditions: Conditions, said: Said, *, renew: bool = False) -> list[DeploymentCondition]:
    """Nothing changes when status and reason are those there are, unless it is to `renew` the time of the update."""
    known = find(conditions, said.type)
    same_status = known is not None and known.status == said.status
    if known is not None and same_status and known.reason == said.reason and not renew:
        return list(conditions)
    condition = DeploymentCondition(
        type=said.type,
        status=said.status,
        reason=said.reason,
        message=said.message,
        last_update_time=said.at,
        last_transition_time=known.last_transition_time if known is not None and same_status else said.at,
    )
    return [*without(conditions, said.type), condition]
