"""Nodes in places with fewer of the pods that should be spread: constraints that need not hold (ScheduleAnyway).

A pod that has no constraint at all is spread with the pods of its controller, over nodes and zones, as Kubernetes does
by itself. A node's number is, over the constraints, the pods in its place times the logarithm of how many places there
are (so that a few zones are not drowned by many nodes); the fewer the better. A node without the labels gets 0, but for
the constraints that nobody wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log

from controlplane.scheduler.filters.filter import Cycle
from controlplane.scheduler.filters.topology_spread import counted
from controlplane.scheduler.pod_info import HOSTNAME, Spread
from controlplane.scheduler.snapshot import Snapshot
from controlplane.scheduler.tallies import Tally

from .score import SCORE_MAX

NAME = "PodTopologySpread"


def prepare(cycle: Cycle, slots: Sequence[int]) -> Sequence[int] | None:
    wishes = cycle.template.spread_wishes
    if not wishes:
        return None
    keys = () if cycle.template.spread_by_default else tuple(wish.topology_key for wish in wishes)
    rated = slots
    for key in keys:
        values = cycle.snapshot.column(key)
        rated = [slot for slot in rated if values[slot] is not None]
    numbers = _numbers(cycle, wishes, keys, rated)
    most, least = max(numbers, default=0), min(numbers, default=0)
    scores = {number: SCORE_MAX * (most + least - number) // most if most else SCORE_MAX for number in set(numbers)}
    if len(rated) == len(slots):
        return None if most == least else [scores[number] for number in numbers]
    by_slot = dict(zip(rated, numbers, strict=True))
    return [scores[by_slot[slot]] if slot in by_slot else 0 for slot in slots]


def _numbers(cycle: Cycle, wishes: Sequence[Spread], keys: tuple[str, ...], slots: Sequence[int]) -> list[int]:
    """The sum over all constraints for each node."""
    snapshot, template = cycle.snapshot, cycle.template
    parts = [_part(snapshot, wish, snapshot.tally(counted(template, wish, keys)), slots) for wish in wishes]
    return [round(sum(numbers)) for numbers in zip(*parts, strict=True)]


def _part(snapshot: Snapshot, wish: Spread, tally: Tally, slots: Sequence[int]) -> list[float]:
    """One constraint's part for each node. A node is a place of its own, whatever it calls itself."""
    column = snapshot.column(wish.topology_key)
    values = [column[slot] for slot in slots]
    places: Sequence[str | None] = values
    counts, number = tally.counts, len(set(values))
    if wish.topology_key == HOSTNAME:
        places = [snapshot.names[slot] for slot in slots]
        counts, number = tally.on_node, len(slots)
    weight, base = log(number + 2), float(wish.max_skew - 1)
    by_place: dict[str | None, float] = {place: count * weight + base for place, count in counts.items()}
    found = [by_place.get(place, base) for place in places]
    if None in values:
        found = [0.0 if value is None else part for value, part in zip(values, found, strict=True)]
    return found
