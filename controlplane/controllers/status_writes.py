"""Writes to the status of pods by controllers that are about to take them away, or know that their node is gone.

A write names the uid and the version that was looked at, so that it never hits another pod of the same name, nor undoes
what the node's agent wrote meanwhile: then it is a Conflict, and whoever writes looks again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from apiserver.api.core.pod import Pod, PodCondition
from apiserver.client import Client

from .writes import guarded

DISRUPTION_TARGET = "DisruptionTarget"


def with_condition(conditions: Sequence[PodCondition], new: PodCondition, now: str) -> list[PodCondition]:
    """`new` in place of the one of its type, or last. When its status changes, it changes now."""
    old = next((each for each in conditions if each.type == new.type), None)
    changes = old is None or old.status != new.status
    new = msgspec.structs.replace(new, last_transition_time=now if changes or old is None else old.last_transition_time)
    if old is None:
        return [*conditions, new]
    return [new if each is old else each for each in conditions]


def disrupted(pod: Pod, reason: str, message: str, now: str) -> list[PodCondition] | None:
    """All conditions of a pod that is about to be deleted; None when they say so already."""
    new = PodCondition(type=DISRUPTION_TARGET, status="True", reason=reason, message=message)
    old = next((each for each in pod.status.conditions if each.type == DISRUPTION_TARGET), None)
    if old is not None and (old.status, old.reason, old.message) == (new.status, new.reason, new.message):
        return None
    return with_condition(pod.status.conditions, new, now)


async def write_pod_status(
    client: Client, pod: Pod, *, conditions: Sequence[PodCondition] | None = None, phase: str = ""
) -> Pod:
    """What changes of the status; the pod itself when nothing does. Raises Conflict when the pod is another by now."""
    status: dict[str, Any] = {}
    if conditions is not None:
        status["conditions"] = conditions
    if phase and phase != pod.status.phase:
        status["phase"] = phase
    if not status:
        return pod
    meta = pod.metadata
    patch = guarded(pod, status=status)
    return await client.patch(Pod, meta.name, patch, namespace=meta.namespace, subresource="status")
