"""Which taints a node should have for the state it is in. No I/O, no clock.

Keys and effects are Kubernetes' ("Taint Nodes by Condition"). Taints with other keys belong to others and stay.
"""

from __future__ import annotations

from collections.abc import Sequence

from apiserver.api.core.node import Node, Taint
from apiserver.api.tolerations import NO_EXECUTE, NO_SCHEDULE

from .conditions import FALSE, TRUE, UNKNOWN, readiness

_PREFIX = "node.kubernetes.io/"
NOT_READY = f"{_PREFIX}not-ready"
UNREACHABLE = f"{_PREFIX}unreachable"
UNSCHEDULABLE = f"{_PREFIX}unschedulable"
OUT_OF_SERVICE = f"{_PREFIX}out-of-service"

#: What keeps pods away, by condition and its status.
_OF_CONDITIONS = {
    ("Ready", FALSE): NOT_READY,
    ("Ready", UNKNOWN): UNREACHABLE,
    ("MemoryPressure", TRUE): f"{_PREFIX}memory-pressure",
    ("DiskPressure", TRUE): f"{_PREFIX}disk-pressure",
    ("PIDPressure", TRUE): f"{_PREFIX}pid-pressure",
    ("NetworkUnavailable", TRUE): f"{_PREFIX}network-unavailable",
}
OURS_NO_SCHEDULE = frozenset(_OF_CONDITIONS.values()) | {UNSCHEDULABLE}
#: The two that drive pods away because of the state the node is in.
LIFECYCLE = frozenset({NOT_READY, UNREACHABLE})


def no_schedule_keys(node: Node) -> list[str]:
    """What should keep new pods away from the node."""
    found = [
        key
        for condition in node.status.conditions
        if (key := _OF_CONDITIONS.get((condition.type, condition.status))) is not None
    ]
    return [*found, UNSCHEDULABLE] if node.spec.unschedulable else found


def no_execute_key(node: Node) -> str:
    """What should drive pods away from the node; "" for nothing."""
    return {FALSE: NOT_READY, UNKNOWN: UNREACHABLE}.get(readiness(node), "")


def no_execute_taints(node: Node | None) -> list[Taint]:
    return [] if node is None else [each for each in node.spec.taints if each.effect == NO_EXECUTE]


def is_lifecycle(taint: Taint) -> bool:
    return taint.key in LIFECYCLE and taint.effect == NO_EXECUTE


def with_taints(
    taints: Sequence[Taint], *, no_schedule: Sequence[str], no_execute: str, now: str
) -> list[Taint] | None:
    """The taints with ours as they should be; None when they are so. One that is there keeps the moment it came."""
    wanted = {(key, NO_SCHEDULE) for key in no_schedule}
    if no_execute:
        wanted.add((no_execute, NO_EXECUTE))
    kept = [each for each in taints if not _is_ours(each) or (each.key, each.effect) in wanted]
    there = {(each.key, each.effect) for each in kept}
    added = [Taint(key=key, effect=effect, time_added=now) for key, effect in sorted(wanted - there)]
    return [*kept, *added] if added or len(kept) < len(taints) else None


def _is_ours(taint: Taint) -> bool:
    return is_lifecycle(taint) or (taint.effect == NO_SCHEDULE and taint.key in OURS_NO_SCHEDULE)
