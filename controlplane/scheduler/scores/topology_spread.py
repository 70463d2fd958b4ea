"""Nodes in places with fewer of the pods that should be spread: constraints that need not hold (ScheduleAnyway).

A pod that has no constraint at all is spread with the pods of its controller, over nodes and zones, as Kubernetes does
by itself. A node's number is, over the constraints, the pods in its place times the logarithm of how many places there
are (so that a few zones are not drowned by many nodes); the fewer the better. A node without the labels gets 0, but for
the constraints that nobody wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from math import log
from operator import add

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
    sums = _sums(cycle, wishes, keys, rated)
    scores = _scores(sums)
    if len(rated) == len(slots):
        return None if len(set(scores.values())) <= 1 else list(map(scores.__getitem__, sums))
    by_slot = dict(zip(rated, sums, strict=True))
    return [scores[by_slot[slot]] if slot in by_slot else 0 for slot in slots]


def _scores(sums: Sequence[float]) -> dict[float, int]:
    """The score of each sum there is: many nodes have the same."""
    numbers = {value: round(value) for value in set(sums)}
    most, least = max(numbers.values(), default=0), min(numbers.values(), default=0)
    if not most:
        return dict.fromkeys(numbers, SCORE_MAX)
    return {value: SCORE_MAX * (most + least - number) // most for value, number in numbers.items()}


def _sums(cycle: Cycle, wishes: Sequence[Spread], keys: tuple[str, ...], slots: Sequence[int]) -> list[float]:
    """Over all constraints, for each node."""
    snapshot, template = cycle.snapshot, cycle.template
    sums = [0.0] * len(slots)
    for wish in wishes:
        sums = list(map(add, sums, _part(snapshot, wish, snapshot.tally(counted(template, wish, keys)), slots)))
    return sums


def _part(snapshot: Snapshot, wish: Spread, tally: Tally, slots: Sequence[int]) -> list[float]:
    """One constraint's part for each node. A node is a place of its own, whatever it calls itself."""
    column = snapshot.column(wish.topology_key)
    values = list(map(column.__getitem__, slots))
    distinct = set(values)
    places: Sequence[str | None] = values
    counts, number = tally.counts, len(distinct)
    if wish.topology_key == HOSTNAME:
        places = list(map(snapshot.names.__getitem__, slots))
        counts, number = tally.on_node, len(slots)
    weight, base = log(number + 2), float(wish.max_skew - 1)
    by_place: dict[str | None, float] = {place: count * weight + base for place, count in counts.items()}
    found = list(map(by_place.get, places, repeat(base)))
    if None in distinct:
        found = [0.0 if value is None else part for value, part in zip(values, found, strict=True)]
    return found
