"""Pods that must be near each other or apart, in both directions.

- Near: the node's place (for each term, by its label) must have a pod that all terms select. When no such pod is
  anywhere and the pod is one that its own terms select, it is the first of its group and may go wherever the labels
  are.
- Away: the node's place must have no pod that the term selects.
- And the pods that are there may demand that pods like this one stay away from their places.
"""

from __future__ import annotations

from collections.abc import Mapping

from controlplane.scheduler.matching import PodTerm
from controlplane.scheduler.node_info import NodeInfo
from controlplane.scheduler.pod_info import Template
from controlplane.scheduler.snapshot import Snapshot, holders, selected
from controlplane.scheduler.tallies import Away

from .filter import Check, Cycle
from .reason import FITS, Reason, Remedy, Verdict

NAME = "InterPodAffinity"
_NODES = frozenset((Remedy.NODE_ADD, Remedy.NODE_LABEL, Remedy.NAMESPACE_LABEL))
NOT_NEAR = (Reason(NAME, "node(s) didn't match pod affinity rules", _NODES | {Remedy.POD_ADD, Remedy.POD_LABEL}),)
NOT_AWAY = (
    Reason(NAME, "node(s) didn't match pod anti-affinity rules", _NODES | {Remedy.POD_DELETE, Remedy.POD_LABEL}),
)
UNWELCOME = (
    Reason(
        NAME,
        "node(s) didn't satisfy existing pods anti-affinity rules",
        _NODES | {Remedy.POD_DELETE, Remedy.POD_LABEL},
    ),
)
#: A label, and how many pods there are by its value.
_Counts = tuple[str, Mapping[str, int]]


def prepare(cycle: Cycle) -> Check | None:
    template, snapshot = cycle.template, cycle.snapshot
    unwelcome = _unwelcome(template, snapshot)
    if not (unwelcome or template.near or template.away):
        return None
    near = [
        (term.topology_key, snapshot.tally(selected(template.near, term.topology_key)).counts) for term in template.near
    ]
    first = bool(near) and not any(counts for _, counts in near) and _selects_itself(template, snapshot)
    away = [_counts(snapshot, (term,), term.topology_key) for term in template.away]

    def check(node: NodeInfo) -> Verdict:
        labels = node.labels
        for key, counts in near:
            value = labels.get(key)
            if value is None or not (first or value in counts):
                return NOT_NEAR
        if any(labels.get(key) in counts for key, counts in away):
            return NOT_AWAY
        if any(labels.get(key) in counts for key, counts in unwelcome):
            return UNWELCOME
        return FITS

    return check


def _counts(snapshot: Snapshot, terms: tuple[PodTerm, ...], key: str) -> _Counts:
    return key, snapshot.tally(selected(terms, key)).counts


def _unwelcome(template: Template, snapshot: Snapshot) -> list[_Counts]:
    """Where pods are that do not want one of this template near them."""
    away = (holding for holding in snapshot.heeded(template) if isinstance(holding, Away))
    found = [(holding.term.topology_key, snapshot.tally(holders(holding)).counts) for holding in away]
    return [(key, counts) for key, counts in found if counts]


def _selects_itself(template: Template, snapshot: Snapshot) -> bool:
    return all(
        term.selector.matches(template.namespace, template.labels, snapshot.namespaces) for term in template.near
    )
