"""Does a roll-out get on? The Progressing condition, against progressDeadlineSeconds. No I/O.

Each step forward renews the condition's lastUpdateTime; when that is older than the deadline, the roll-out counts as
failed. Nothing is undone: whoever waits for it is told.
"""

from __future__ import annotations

import msgspec

from apiserver.api.apps import DeploymentCondition, DeploymentStatus
from controlplane.runtime.clock import Clock

from .conditions import COMPLETE, CREATED, FOUND, PROGRESSING, TIMED_OUT, UPDATED, Conditions, Said, find, put, without
from .status import has_deadline, is_complete, status_of, with_failures
from .view import View

#: A timestamp is cut off to the second: a look right at the deadline would come too early.
_MARGIN_S = 1.0


def rollout_status(view: View, clock: Clock, *, created: bool = False) -> DeploymentStatus:
    """The whole status of a Deployment that rolls out. `created`: its new ReplicaSet has just been made."""
    now = clock.now_text()
    status = status_of(view, now)
    conditions: Conditions = status.conditions
    if not has_deadline(view):
        conditions = without(conditions, PROGRESSING)
    else:
        conditions = _with_new(view, conditions, created, now)
        known = find(conditions, PROGRESSING)
        done_before = known is not None and known.reason == COMPLETE and status.replicas == status.updated_replicas
        if not done_before:
            conditions = _with_progress(view, status, conditions, clock)
    return msgspec.structs.replace(status, conditions=with_failures(view, conditions))


def next_look_s(view: View, status: DeploymentStatus, clock: Clock) -> float | None:
    """Seconds until the deadline may have passed; None when there is nothing to wait for."""
    known = find(status.conditions, PROGRESSING)
    if known is None or not has_deadline(view) or view.deployment.spec.paused:
        return None
    if is_complete(view, status) or known.reason in (TIMED_OUT, COMPLETE) or not known.last_update_time:
        return None
    left = (view.deployment.spec.progress_deadline_seconds or 0) - clock.age_s(known.last_update_time)
    return max(0.0, left) + _MARGIN_S


def _with_new(view: View, conditions: Conditions, created: bool, now: str) -> Conditions:
    """A roll-out begins with its ReplicaSet. What was said when another one was complete is over."""
    if view.new is None:
        return conditions
    name = view.new.metadata.name
    if created:
        return put(conditions, _going_on(CREATED, f'Created new replica set "{name}"', now))
    known = find(conditions, PROGRESSING)
    if known is None or (known.reason == COMPLETE and known.message != _complete(view)):
        return put(conditions, _going_on(FOUND, f'Found new replica set "{name}"', now))
    return conditions


def _with_progress(
    view: View, status: DeploymentStatus, conditions: Conditions, clock: Clock
) -> list[DeploymentCondition]:
    now = clock.now_text()
    if is_complete(view, status):
        return put(conditions, _going_on(COMPLETE, _complete(view), now))
    if _got_on(view.deployment.status, status):
        return put(conditions, _going_on(UPDATED, f"{_subject(view)} is progressing.", now), renew=True)
    if _is_late(view, conditions, clock):
        message = f"{_subject(view)} has timed out progressing."
        return put(conditions, Said(type=PROGRESSING, status="False", reason=TIMED_OUT, message=message, at=now))
    return list(conditions)


def _going_on(reason: str, message: str, now: str) -> Said:
    return Said(type=PROGRESSING, status="True", reason=reason, message=message, at=now)


def _complete(view: View) -> str:
    return f"{_subject(view)} has successfully progressed."


def _subject(view: View) -> str:
    if view.new is None:
        return f'Deployment "{view.deployment.metadata.name}"'
    return f'ReplicaSet "{view.new.metadata.name}"'


def _got_on(before: DeploymentStatus, after: DeploymentStatus) -> bool:
    """More new pods, fewer old ones, or more that are ready."""
    return (
        after.updated_replicas > before.updated_replicas
        or after.replicas - after.updated_replicas < before.replicas - before.updated_replicas
        or after.ready_replicas > before.ready_replicas
        or after.available_replicas > before.available_replicas
    )


def _is_late(view: View, conditions: Conditions, clock: Clock) -> bool:
    known = find(conditions, PROGRESSING)
    if known is None or known.reason == COMPLETE:
        return False
    if known.reason == TIMED_OUT:
        return True
    deadline = view.deployment.spec.progress_deadline_seconds or 0
    return bool(known.last_update_time) and clock.age_s(known.last_update_time or "") > deadline
