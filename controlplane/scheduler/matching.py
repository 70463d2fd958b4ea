"""What pods say of nodes and of other pods, compiled: read once from the API's types, asked many times.

Everything here is frozen and hashable, so that pods that say the same share one set of counts. Texts that the API
server would have refused match nothing; nothing here raises for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from apiserver.api.core.node import Taint
from apiserver.api.core.scheduling import (
    Affinity,
    PodAffinityTerm,
    Toleration,
)
from apiserver.api.node_terms import NodeTerm, node_term
from apiserver.api.selectors import NOTHING, Labels, from_label_selector, from_labels

NO_SCHEDULE = "NoSchedule"
NO_EXECUTE = "NoExecute"
PREFER_NO_SCHEDULE = "PreferNoSchedule"
#: Labels of namespaces by their names.
Namespaces = Mapping[str, Mapping[str, str]]


class TaintMark(msgspec.Struct, frozen=True):
    """A taint of a node without its time."""

    key: str
    value: str
    effect: str

    @property
    def keeps_away(self) -> bool:
        """True when a pod that does not tolerate it must not be scheduled there."""
        return self.effect in (NO_SCHEDULE, NO_EXECUTE)


def marks_of(taints: Iterable[Taint]) -> tuple[TaintMark, ...]:
    return tuple(TaintMark(taint.key, taint.value, taint.effect) for taint in taints)


class Tolerated(msgspec.Struct, frozen=True):
    """A toleration without its seconds: how long it lasts is the node controller's business."""

    key: str
    exists: bool
    value: str
    effect: str

    def covers(self, taint: TaintMark) -> bool:
        if self.effect and self.effect != taint.effect:
            return False
        if self.key and self.key != taint.key:
            return False
        return self.exists or (bool(self.key) and self.value == taint.value)


def tolerated(tolerations: Iterable[Toleration]) -> tuple[Tolerated, ...]:
    """An operator nobody knows tolerates nothing, so it is left out."""
    return tuple(
        Tolerated(each.key, each.operator == "Exists", each.value, each.effect)
        for each in tolerations
        if each.operator in ("", "Equal", "Exists")
    )


def untolerated(taints: tuple[TaintMark, ...], tolerations: tuple[Tolerated, ...]) -> TaintMark | None:
    """The first taint that keeps away whoever has just these tolerations."""
    for taint in taints:
        if taint.keeps_away and not any(each.covers(taint) for each in tolerations):
            return taint
    return None


class NodeNeeds(msgspec.Struct, frozen=True, cache_hash=True):
    """Node selector and required node affinity: which nodes a pod may be on. `terms` None: no affinity asked for."""

    selector: Labels = Labels()
    terms: tuple[NodeTerm, ...] | None = None

    @property
    def anything(self) -> bool:
        return self.terms is None and self.selector.everything

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        if not self.selector.matches(labels):
            return False
        return self.terms is None or any(term.matches(name, labels) for term in self.terms)

    @property
    def names(self) -> frozenset[str] | None:
        """The only nodes that can match, when every term names some; else None."""
        if not self.terms:
            return None
        found = [term.names for term in self.terms]
        return None if None in found else frozenset().union(*(names for names in found if names))


class PodSelector(msgspec.Struct, frozen=True, cache_hash=True):
    """Other pods: by their labels, in these namespaces and in those whose labels match `namespace_labels`."""

    labels: Labels
    namespaces: frozenset[str] = frozenset()
    namespace_labels: Labels | None = None

    def matches(self, namespace: str, labels: Mapping[str, str], namespaces: Namespaces) -> bool:
        return self.labels.matches(labels) and (
            namespace in self.namespaces
            or (self.namespace_labels is not None and self.namespace_labels.matches(namespaces.get(namespace, {})))
        )


class PodTerm(msgspec.Struct, frozen=True, cache_hash=True):
    """Other pods and how near they are. `weight` of a wish: 1..100 for near, -1..-100 for far; 0 when it must hold."""

    selector: PodSelector
    topology_key: str
    weight: int = 0


def node_needs(selector: Mapping[str, str], affinity: Affinity | None) -> NodeNeeds:
    required = (
        affinity.node_affinity.required_during_scheduling_ignored_during_execution
        if affinity is not None and affinity.node_affinity is not None
        else None
    )
    terms = None if required is None else tuple(map(node_term, required.node_selector_terms))
    return NodeNeeds(selector=from_labels(selector), terms=terms)


def pod_term(term: PodAffinityTerm, *, namespace: str, weight: int = 0) -> PodTerm:
    """`namespace` is that of the pod that says so. The labels of matchLabelKeys are in the selector already: the API
    server puts them there when the pod is created."""
    namespaces = frozenset(term.namespaces)
    if not namespaces and term.namespace_selector is None:
        namespaces = frozenset((namespace,))
    selector = PodSelector(
        labels=labels_of(term.label_selector),
        namespaces=namespaces,
        namespace_labels=None if term.namespace_selector is None else labels_of(term.namespace_selector),
    )
    return PodTerm(selector, term.topology_key, weight)


def labels_of(selector: object) -> Labels:
    """A label selector of an object, compiled; None selects nothing, and so does what is no selector."""
    try:
        return from_label_selector(selector)  # type: ignore[arg-type]  # whatever it is: it says so itself
    except ValueError:
        return NOTHING
