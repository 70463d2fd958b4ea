"""The class of service of a pod: who is stopped last when a node runs out of memory."""

from __future__ import annotations

from collections.abc import Sequence

from apiserver.api.base import ResourceList
from apiserver.api.core.containers import ResourceRequirements
from apiserver.api.core.pod import PodSpec
from apiserver.api.quantity import ZERO, Quantity, parse

GUARANTEED, BURSTABLE, BEST_EFFORT = "Guaranteed", "Burstable", "BestEffort"
_COUNTED = ("cpu", "memory")


def _positive(amounts: ResourceList) -> dict[str, Quantity]:
    parsed = {name: parse(amounts[name]) for name in _COUNTED if name in amounts}
    return {name: amount for name, amount in parsed.items() if amount > ZERO}


def _add(totals: dict[str, Quantity], amounts: dict[str, Quantity]) -> None:
    for name, amount in amounts.items():
        totals[name] = totals.get(name, ZERO) + amount


def qos_class(spec: PodSpec) -> str:
    """Guaranteed: every container has limits for CPU and memory, and requests are the same. BestEffort: nothing is
    asked for. Burstable: all else. Defaults and canonical amounts must be in place.
    """
    parts: Sequence[ResourceRequirements]
    if spec.resources is not None and (spec.resources.requests or spec.resources.limits):
        parts = (spec.resources,)
    else:
        parts = [each.resources for each in (*spec.containers, *spec.init_containers)]
    requests: dict[str, Quantity] = {}
    limits: dict[str, Quantity] = {}
    all_limited = True
    for part in parts:
        limited = _positive(part.limits)
        _add(requests, _positive(part.requests))
        _add(limits, limited)
        all_limited = all_limited and len(limited) == len(_COUNTED)
    if not requests and not limits:
        return BEST_EFFORT
    return GUARANTEED if all_limited and requests == limits else BURSTABLE
