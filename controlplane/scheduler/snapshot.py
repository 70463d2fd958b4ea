"""The cluster as the scheduler sees it: nodes, the pods on them, and what is counted of those. Changed bit by bit.

Pods that are only meant to go to a node (assumed) are put in like those that are there. A decision reads; nothing here
waits, so what a decision reads does not change under it. What must always hold: the snapshot after any changes equals
one made anew from the nodes, pods and namespaces there are.

`nodes`, `names` and `generations` lie side by side, and so do the columns of labels: a node's number (its slot) is its
place in them. Whoever keeps results by slot compares the generation with the one the result was made at. A node that
goes gives its slot to the last one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from weakref import WeakKeyDictionary

from apiserver.api.core.node import Node

from .matching import PodTerm
from .node_info import NodeInfo
from .pod_info import PodInfo, Template
from .tallies import Away, Holding, Matching, Near, Place, Places, Tally, TallyKey, Wishing

#: Counts kept; those not asked for the longest are dropped beyond that and made anew when they are asked for again.
TALLIES_MAX = 1_024
#: Labels whose values are kept side by side; beyond that all are made anew when they are asked for again.
COLUMNS_MAX = 64


class _Presence:
    """A template that has pods on nodes: how many, and which tallies they count in with which weight."""

    __slots__ = ("pods", "template", "weights")

    def __init__(self, template: Template) -> None:
        self.template = template
        self.pods = 0
        self.weights: dict[TallyKey, tuple[Tally, int]] = {}


class Snapshot:
    """For one event loop, or none at all."""

    def __init__(self) -> None:
        self.nodes: list[NodeInfo] = []
        self.names: list[str] = []
        self.generations: list[int] = []
        #: Labels of namespaces by name.
        self.namespaces: dict[str, Mapping[str, str]] = {}
        #: On how many nodes an image is, by name.
        self.image_nodes: dict[str, int] = {}
        #: How many nodes have a taint that asks pods to stay away without forbidding them to come.
        self.nodes_wishing_away = 0
        self._generation = 0
        self._by_name: dict[str, NodeInfo] = {}
        self._pod_nodes: dict[str, str] = {}
        self._presences: dict[Template, _Presence] = {}
        self._columns: dict[str, list[str | None]] = {}
        self._tallies: OrderedDict[TallyKey, Tally] = OrderedDict()
        self._places: dict[Place, Places] = {}
        #: Terms of the pods on nodes, each with the number of templates that have it.
        self._terms: dict[Holding, int] = {}
        self._heeded: WeakKeyDictionary[Template, tuple[Holding, ...]] = WeakKeyDictionary()

    # --- reading --------------------------------------------------------------------------------------

    def node(self, name: str) -> NodeInfo | None:
        """None when there is no such node, whatever pods are said to be on it."""
        info = self._by_name.get(name)
        return info if info is not None and info.node is not None else None

    def pod(self, uid: str) -> PodInfo | None:
        name = self._pod_nodes.get(uid)
        return None if name is None else self._by_name[name].pods[uid]

    @property
    def pods(self) -> int:
        """How many pods take room on nodes."""
        return len(self._pod_nodes)

    def column(self, label: str) -> Sequence[str | None]:
        """The label's value of each node, by slot."""
        column = self._columns.get(label)
        if column is None:
            if len(self._columns) == COLUMNS_MAX:
                self._columns.clear()
            column = self._columns[label] = [info.labels.get(label) for info in self.nodes]
        return column

    def tally(self, key: TallyKey) -> Tally:
        """The counts, from now on kept up to date."""
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = self._counted(key)
            if len(self._tallies) > TALLIES_MAX:
                self._drop(next(iter(self._tallies)))
        else:
            self._tallies.move_to_end(key)
        return tally

    def heeded(self, template: Template) -> tuple[Holding, ...]:
        """What pods on nodes demand or wish that concerns a pod of the template: terms that select it."""
        found = self._heeded.get(template)
        if found is None:
            found = tuple(
                holding
                for holding in self._terms
                if holding.term.selector.matches(template.namespace, template.labels, self.namespaces)
            )
            self._heeded[template] = found
        return found

    # --- changing -------------------------------------------------------------------------------------

    def set_node(self, node: Node) -> None:
        """The node is new or changed. ValueError when an amount of it is none; nothing is changed then."""
        name = node.metadata.name
        info = self._by_name.get(name) or NodeInfo(name)
        before = (info.node is not None, info.labels, info.taints)
        self._count_node(info, -1)
        try:
            info.set_node(node)  # changes all or nothing
        finally:
            self._count_node(info, +1)
        self._by_name[name] = info
        if info.slot < 0:
            info.slot = len(self.nodes)
            self.nodes.append(info)
            self.names.append(name)
            self.generations.append(0)
            for column in self._columns.values():
                column.append(None)
        self._touch(info)
        info.object_generation = info.generation
        if before != (True, info.labels, info.taints):
            self._place(info)

    def remove_node(self, name: str) -> None:
        """Pods that are still on it stay known: when it comes back they count again."""
        info = self._by_name.get(name)
        if info is None or info.node is None:
            return
        self._count_node(info, -1)
        info.set_node(None)
        last, slot = self.nodes[-1], info.slot
        for column in (self.nodes, self.names, self.generations, *self._columns.values()):
            column[slot] = column[-1]  # type: ignore[index]  # lists of different things
            column.pop()  # type: ignore[attr-defined]  # as above
        last.slot = slot
        info.slot = -1
        self._place(info)
        self._forget_if_empty(info)

    def set_namespace(self, name: str, labels: Mapping[str, str]) -> None:
        if self.namespaces.get(name) != labels:
            self.namespaces[name] = dict(labels)
            self._namespaces_changed()

    def remove_namespace(self, name: str) -> None:
        if self.namespaces.pop(name, None) is not None:
            self._namespaces_changed()

    def add_pod(self, pod: PodInfo) -> None:
        """A pod that takes room on `pod.node_name`, assumed or real. It replaces what was known of the same uid."""
        known = self.pod(pod.uid)
        if known is not None and _counts_alike(known, pod):
            self._by_name[pod.node_name].pods[pod.uid] = pod
            return
        self.remove_pod(pod.uid)
        info = self._by_name.get(pod.node_name)
        if info is None:
            info = self._by_name[pod.node_name] = NodeInfo(pod.node_name)
        info.add(pod)
        self._pod_nodes[pod.uid] = pod.node_name
        presence = self._presences.get(pod.template) or self._appear(pod.template)
        presence.pods += 1
        self._add(presence, pod, +1)
        self._touch(info)

    def remove_pod(self, uid: str) -> PodInfo | None:
        """The pod is gone or finished, or does not go where it was meant to. None when it was not known."""
        name = self._pod_nodes.pop(uid, None)
        if name is None:
            return None
        info = self._by_name[name]
        pod = info.remove(uid)
        presence = self._presences[pod.template]
        presence.pods -= 1
        self._add(presence, pod, -1)
        if not presence.pods:
            self._disappear(presence)
        self._touch(info)
        self._forget_if_empty(info)
        return pod

    # --- counting -------------------------------------------------------------------------------------

    def _touch(self, info: NodeInfo) -> None:
        self._generation += 1
        info.generation = self._generation
        if info.slot >= 0:
            self.generations[info.slot] = self._generation

    def _add(self, presence: _Presence, pod: PodInfo, sign: int) -> None:
        name, live = pod.node_name, not pod.terminating
        for tally, weight in presence.weights.values():
            if live or not tally.key.live:
                tally.add(name, sign * weight)

    def _appear(self, template: Template) -> _Presence:
        presence = self._presences[template] = _Presence(template)
        for tally in self._tallies.values():
            self._weigh(presence, tally)
        for holding in holdings(template):
            known = self._terms.get(holding, 0)
            self._terms[holding] = known + 1
            if not known:
                self._heeded.clear()
        return presence

    def _disappear(self, presence: _Presence) -> None:
        del self._presences[presence.template]
        for holding in holdings(presence.template):
            self._terms[holding] -= 1
            if not self._terms[holding]:
                del self._terms[holding]
                self._heeded.clear()

    def _weigh(self, presence: _Presence, tally: Tally) -> int:
        weight = tally.key.what.weight(presence.template, self.namespaces)
        if weight:
            presence.weights[tally.key] = (tally, weight)
        return weight

    def _counted(self, key: TallyKey) -> Tally:
        tally = Tally(key, self._places_of(key.place))
        tally.places.tallies[key] = tally
        weights = {presence.template: self._weigh(presence, tally) for presence in self._presences.values()}
        if any(weights.values()):
            for info in self._by_name.values():
                for pod in info.pods.values():
                    weight = weights[pod.template]
                    if weight and not (key.live and pod.terminating):
                        tally.add(info.name, weight)
        return tally

    def _places_of(self, place: Place) -> Places:
        places = self._places.get(place)
        if places is None:
            places = self._places[place] = Places(place)
            for info in self.nodes:
                places.set_node(info)
        return places

    def _drop(self, key: TallyKey) -> None:
        places = self._tallies.pop(key).places
        del places.tallies[key]
        if not places.tallies:
            del self._places[places.place]
        for presence in self._presences.values():
            presence.weights.pop(key, None)

    def _place(self, info: NodeInfo) -> None:
        if info.slot >= 0:
            for label, column in self._columns.items():
                column[info.slot] = info.labels.get(label)
        for places in self._places.values():
            places.set_node(info)

    def _namespaces_changed(self) -> None:
        self._heeded.clear()
        for key in [key for key in self._tallies if key.what.by_namespace_labels]:
            self._drop(key)

    def _count_node(self, info: NodeInfo, sign: int) -> None:
        if info.node is None:
            return
        self.nodes_wishing_away += sign * info.wishes_away
        for image in info.images:
            left = self.image_nodes.get(image, 0) + sign
            if left:
                self.image_nodes[image] = left
            else:
                self.image_nodes.pop(image, None)

    def _forget_if_empty(self, info: NodeInfo) -> None:
        if info.node is None and not info.pods:
            self._by_name.pop(info.name, None)


def _counts_alike(one: PodInfo, other: PodInfo) -> bool:
    """Most changes of a pod are of no interest here: no result is thrown away for them."""
    return one.template is other.template and one.node_name == other.node_name and one.terminating == other.terminating


def holdings(template: Template) -> set[Holding]:
    """What pods of the template ask of those that come after them."""
    found: set[Holding] = {Near(term) for term in template.near}
    found |= {Away(term) for term in template.away}
    return found | {Wishing(term) for term in template.wishes}


def holders(holding: Holding) -> TallyKey:
    """Counts the pods that ask for it."""
    return TallyKey(holding, Place(holding.term.topology_key))


def selected(terms: tuple[PodTerm, ...], topology_key: str) -> TallyKey:
    """Counts the pods that all of the terms select."""
    return TallyKey(Matching(tuple(term.selector for term in terms)), Place(topology_key))
