"""How far a roll-out may stray: maxSurge and maxUnavailable as numbers of pods.

Percentages of the wished number: surge is rounded up, unavailable down. When both come out as 0 nothing could ever
move, so one pod may be unavailable then (Kubernetes, Deployment: "Max Unavailable", "Max Surge").
"""

from __future__ import annotations

from typing import NamedTuple

from apiserver.api.apps import Deployment
from apiserver.api.base import IntOrString

ROLLING_UPDATE = "RollingUpdate"


class Bounds(NamedTuple):
    """Pods above and below the wished number."""

    surge: int = 0
    unavailable: int = 0


def share(value: IntOrString | None, total: int, *, up: bool) -> int:
    """A number as it is, a percentage of `total`; never below 0."""
    if value is None:
        return 0
    if isinstance(value, int):
        return max(0, value)
    hundredths = int(value.removesuffix("%")) * total
    return -(-hundredths // 100) if up else hundredths // 100


def bounds_of(deployment: Deployment) -> Bounds:
    """Nothing but a rolling update may stray."""
    strategy, replicas = deployment.spec.strategy, deployment.spec.replicas or 0
    rolling = strategy.rolling_update
    if strategy.type != ROLLING_UPDATE or rolling is None:
        return Bounds()
    surge = share(rolling.max_surge, replicas, up=True)
    unavailable = share(rolling.max_unavailable, replicas, up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return Bounds(surge, min(unavailable, replicas))
