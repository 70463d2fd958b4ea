"""Which taints of a node a pod's tolerations let it live with, and for how long.

The rules: kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .core.node import Taint
from .core.scheduling import Toleration

NO_SCHEDULE = "NoSchedule"
NO_EXECUTE = "NoExecute"


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """An empty effect matches every effect, an empty key with Exists every key."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator == "Exists":
        return True
    return toleration.operator in ("", "Equal") and bool(toleration.key) and toleration.value == taint.value


def tolerated_s(tolerations: Sequence[Toleration], taints: Iterable[Taint]) -> float | None:
    """Seconds a pod may stay where these NoExecute taints are: 0 when one of them is not tolerated, None for ever.

    Of several tolerations that are used the shortest counts, as in Kubernetes.
    """
    shortest: float | None = None
    for taint in taints:
        matching = [each for each in tolerations if tolerates(each, taint)]
        if not matching:
            return 0.0
        for each in matching:
            if each.toleration_seconds is not None:
                seconds = float(max(0, each.toleration_seconds))
                shortest = seconds if shortest is None else min(shortest, seconds)
    return shortest
