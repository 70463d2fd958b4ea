"""scheduling.k8s.io/v1: PriorityClass, a name for how important a pod is."""

from __future__ import annotations

from .base import Int32, always
from .meta import TopObject


class PriorityClass(TopObject):
    """A name for how important a pod is.

    value: The priority; more is more important. Cannot be changed.
    global_default: True for the one class that pods get which name none.
    description: What the class is for.
    preemption_policy: PreemptLowerPriority pushes out others when there is no room; Never waits. Cannot be changed.
    """

    value: Int32 = always(0)
    global_default: bool = False
    description: str = ""
    preemption_policy: str | None = None
