"""Nodes near the pods that are wished for and far from those that are not, in both directions.

Every place has a sum: for each wish of the pod, how many pods there it selects times its weight (less than 0 for those
to be away from); for each wish of the pods there that selects this one, its weight; for each demand of theirs to be
near this one, 1. A node's number is the sum of its places; the lowest of the decision becomes 0, the highest 100.
"""

from __future__ import annotations

from collections.abc import Sequence

from controlplane.scheduler.filters.filter import Cycle
from controlplane.scheduler.snapshot import holders, selected
from controlplane.scheduler.tallies import Away

from .score import SCORE_MAX

NAME = "InterPodAffinity"
#: What a demand of pods that are there counts for: Kubernetes' hardPodAffinityWeight.
DEMAND_WEIGHT = 1


def prepare(cycle: Cycle, slots: Sequence[int]) -> Sequence[int] | None:
    sums = _sums(cycle)
    if not sums:
        return None
    numbers = [0] * len(slots)
    for key, by_value in sums.items():
        values, get = cycle.snapshot.column(key), by_value.get
        numbers = [number + get(values[slot], 0) for number, slot in zip(numbers, slots, strict=True)]
    least, most = min(numbers), max(numbers)
    if least == most:
        return None
    return [int(SCORE_MAX * ((number - least) / (most - least))) for number in numbers]


def _sums(cycle: Cycle) -> dict[str, dict[str | None, int]]:
    """By label and its value."""
    template, snapshot = cycle.template, cycle.snapshot
    parts = [
        (wish.topology_key, snapshot.tally(selected((wish,), wish.topology_key)), wish.weight)
        for wish in template.wishes
    ]
    for holding in snapshot.heeded(template):
        if not isinstance(holding, Away):  # a tally of wishes is weighted already
            parts.append((holding.term.topology_key, snapshot.tally(holders(holding)), DEMAND_WEIGHT))
    sums: dict[str, dict[str | None, int]] = {}
    for key, tally, weight in parts:
        if tally.counts:
            by_value = sums.setdefault(key, {})
            for value, count in tally.counts.items():
                by_value[value] = by_value.get(value, 0) + weight * count
    return sums
