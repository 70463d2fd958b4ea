"""How many pods of a kind there are in each place: the counts behind pod affinity and topology spread.

A `Tally` counts pods (with a weight) by the value of one label of the nodes they are on, over those nodes that count at
all. The snapshot keeps each one up to date pod by pod, so that a decision looks into a small map instead of at ten
thousand pods. `What` says which pods count and how much; `Place` says which label, and which nodes.
"""

from __future__ import annotations

import msgspec

from .matching import Namespaces, NodeNeeds, PodSelector, PodTerm, Tolerated, untolerated
from .node_info import NodeInfo
from .pod_info import Template


class Matching(msgspec.Struct, frozen=True, cache_hash=True, tag=True):
    """Pods that all of the selectors match."""

    selectors: tuple[PodSelector, ...]

    def weight(self, template: Template, namespaces: Namespaces) -> int:
        matched = all(each.matches(template.namespace, template.labels, namespaces) for each in self.selectors)
        return 1 if matched else 0

    @property
    def by_namespace_labels(self) -> bool:
        return any(each.namespace_labels is not None for each in self.selectors)


class Siblings(msgspec.Struct, frozen=True, cache_hash=True, tag=True):
    """Pods of one controller."""

    owner: str

    def weight(self, template: Template, namespaces: Namespaces) -> int:
        return 1 if template.owner == self.owner else 0

    by_namespace_labels = False


class Near(msgspec.Struct, frozen=True, cache_hash=True, tag=True):
    """Pods that demand to be near those that the term selects."""

    term: PodTerm

    def weight(self, template: Template, namespaces: Namespaces) -> int:
        return template.near.count(self.term)

    by_namespace_labels = False


class Away(msgspec.Struct, frozen=True, cache_hash=True, tag=True):
    """Pods that demand to be away from those that the term selects."""

    term: PodTerm

    def weight(self, template: Template, namespaces: Namespaces) -> int:
        return template.away.count(self.term)

    by_namespace_labels = False


class Wishing(msgspec.Struct, frozen=True, cache_hash=True, tag=True):
    """Pods that wish to be near (or away from) those that the term selects, each as much as it wishes."""

    term: PodTerm

    def weight(self, template: Template, namespaces: Namespaces) -> int:
        return template.wishes.count(self.term) * self.term.weight

    by_namespace_labels = False


What = Matching | Siblings | Near | Away | Wishing
#: Terms of pods that are on nodes, which a pod that comes must heed.
Holding = Near | Away | Wishing


class Place(msgspec.Struct, frozen=True, cache_hash=True):
    """Nodes by the value of the label `topology_key`. A node without it, or without one of `keys`, does not count; nor
    does one that `needs` does not match, or one with a taint that `tolerations` (unless None) do not cover."""

    topology_key: str
    keys: tuple[str, ...] = ()
    needs: NodeNeeds | None = None
    tolerations: tuple[Tolerated, ...] | None = None

    def value(self, node: NodeInfo) -> str | None:
        """None for a node that does not count."""
        labels = node.labels
        if node.node is None or self.topology_key not in labels or any(key not in labels for key in self.keys):
            return None
        if self.needs is not None and not self.needs.matches(node.name, labels):
            return None
        if self.tolerations is not None and untolerated(node.taints, self.tolerations) is not None:
            return None
        return labels[self.topology_key]


class TallyKey(msgspec.Struct, frozen=True, cache_hash=True):
    """`live`: pods that are being deleted do not count."""

    what: What
    place: Place
    live: bool = False


class Places:
    """Which place each node that counts is in. Shared by all tallies over the same `Place`."""

    __slots__ = ("domains", "place", "tallies", "values")

    def __init__(self, place: Place) -> None:
        self.place = place
        #: By name of the node.
        self.values: dict[str, str] = {}
        #: How many nodes each place has; never 0.
        self.domains: dict[str, int] = {}
        self.tallies: dict[TallyKey, Tally] = {}

    def set_node(self, node: NodeInfo) -> None:
        """The node is new, gone or has other labels or taints."""
        name = node.name
        before, after = self.values.get(name), self.place.value(node)
        if before == after:
            return
        for tally in self.tallies.values():
            tally.moved(name, before, after)
        if before is not None:
            del self.values[name]
            self.domains[before] -= 1
            if not self.domains[before]:
                del self.domains[before]
        if after is not None:
            self.values[name] = after
            self.domains[after] = self.domains.get(after, 0) + 1


class Tally:
    """`counts` is by place, `on_node` by name of the node, whether it counts or not; both have what is not 0. `places`
    knows all places there are."""

    __slots__ = ("counts", "key", "on_node", "places")

    def __init__(self, key: TallyKey, places: Places) -> None:
        self.key = key
        self.places = places
        self.counts: dict[str, int] = {}
        self.on_node: dict[str, int] = {}

    @property
    def least(self) -> int:
        """In the place that has fewest."""
        if len(self.counts) < len(self.places.domains):
            return 0
        return min(self.counts.values(), default=0)

    def add(self, node_name: str, weight: int) -> None:
        _change(self.on_node, node_name, weight)
        value = self.places.values.get(node_name)
        if value is not None:
            _change(self.counts, value, weight)

    def moved(self, node_name: str, before: str | None, after: str | None) -> None:
        """The node counts for another place from now on, or for none."""
        here = self.on_node.get(node_name)
        if here is None:
            return
        if before is not None:
            _change(self.counts, before, -here)
        if after is not None:
            _change(self.counts, after, here)


def _change(counts: dict[str, int], key: str, by: int) -> None:
    left = counts.get(key, 0) + by
    if left:
        counts[key] = left
    else:
        counts.pop(key, None)
