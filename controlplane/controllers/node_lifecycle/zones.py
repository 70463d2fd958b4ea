"""How many nodes of a zone may be given up, and how fast: who loses most of a zone at once is cut off himself.

States and rates are Kubernetes' ("Nodes: rate limits on eviction"). What must hold: while no node anywhere seems alive,
nothing is evicted at all; a zone that has lost most of its nodes goes on at the secondary rate if it is large, and not
at all if it is small.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import NamedTuple

from apiserver.api.core.node import Node

from .conditions import is_ready

REGION = "topology.kubernetes.io/region"
ZONE = "topology.kubernetes.io/zone"
_LOST_MIN = 3  # fewer nodes than this are no disruption of a zone, whatever share they are


class ZoneState(StrEnum):
    NORMAL = "Normal"
    PARTIAL = "PartialDisruption"
    FULL = "FullDisruption"


class Rates(NamedTuple):
    """Nodes a second, and when which one counts."""

    normal: float = 0.1
    secondary: float = 0.01
    unhealthy_share: float = 0.55
    large_nodes: int = 50

    def of(self, state: ZoneState, nodes: int) -> float:
        if state is not ZoneState.PARTIAL:
            return self.normal  # full: of one zone among others; of all, `Zones.holding` says no
        return self.secondary if nodes > self.large_nodes else 0.0


class Count(NamedTuple):
    """`alive`: those that say so and are heard of; the others are lost."""

    alive: int
    lost: int

    def state(self, unhealthy_share: float) -> ZoneState:
        if self.lost and not self.alive:
            return ZoneState.FULL
        if self.lost >= _LOST_MIN and self.lost / (self.lost + self.alive) >= unhealthy_share:
            return ZoneState.PARTIAL
        return ZoneState.NORMAL


def zone_of(node: Node) -> str:
    """Region and zone; nodes without either are one zone."""
    labels = node.metadata.labels
    return f"{labels.get(REGION, '')}/{labels.get(ZONE, '')}"


class Bucket:
    """One at once, and then `rate` a second, by a monotonic clock."""

    def __init__(self, monotonic: Callable[[], float], rate: float) -> None:
        self._monotonic = monotonic
        self._rate = rate
        self._left = 1.0
        self._at = monotonic()

    def set_rate(self, rate: float) -> None:
        self._refill()
        self._rate = rate

    def take(self) -> bool:
        self._refill()
        if self._rate <= 0.0 or self._left < 1.0:
            return False
        self._left -= 1.0
        return True

    def _refill(self) -> None:
        now = self._monotonic()
        self._left = min(1.0, self._left + (now - self._at) * self._rate)
        self._at = now


class Zones:
    """`holding`: no node seems alive, so none is given up. `disrupted`: none says it is ready, so what was given up is
    taken back."""

    def __init__(self, monotonic: Callable[[], float], rates: Rates) -> None:
        self._monotonic = monotonic
        self._rates = rates
        self._buckets: dict[str, Bucket] = {}
        self.states: dict[str, ZoneState] = {}
        self.counts: dict[str, Count] = {}
        self.holding = True  # until somebody has looked
        self.disrupted = False

    def update(self, nodes: Iterable[Node], is_suspect: Callable[[Node], bool]) -> bool:
        """`is_suspect`: a node that says it is ready, but was not heard of for a while. True: a disruption is over."""
        alive: dict[str, int] = defaultdict(int)
        total: dict[str, int] = defaultdict(int)
        any_ready = False
        for node in nodes:
            zone = zone_of(node)
            ready = is_ready(node)
            any_ready = any_ready or ready
            total[zone] += 1
            alive[zone] += ready and not is_suspect(node)
        self.counts = {zone: Count(alive[zone], number - alive[zone]) for zone, number in total.items()}
        share = self._rates.unhealthy_share
        self.states = {zone: count.state(share) for zone, count in self.counts.items()}
        self._set_rates()
        was_disrupted, self.disrupted = self.disrupted, bool(total) and not any_ready
        self.holding = not any(alive.values())
        return was_disrupted and not self.disrupted

    def _set_rates(self) -> None:
        for zone in [zone for zone in self._buckets if zone not in self.counts]:
            del self._buckets[zone]
        for zone, state in self.states.items():
            rate = self._rates.of(state, sum(self.counts[zone]))
            bucket = self._buckets.get(zone)
            if bucket is None:
                self._buckets[zone] = Bucket(self._monotonic, rate)
            else:
                bucket.set_rate(rate)

    def may_give_up(self, node: Node) -> bool:
        """Whether one more node of its zone may be given up now. Yes uses up a place."""
        bucket = self._buckets.get(zone_of(node))
        return not self.holding and bucket is not None and bucket.take()
