"""Pods that must be near each other or apart, in both directions.

- Near: the node's place (for each term, by its label) must have a pod that all terms select. When no such pod is
  anywhere and the pod is one that its own terms select, it is the first of its group and may go wherever the labels
  are.
- Away: the node's place must have no pod that the term selects.
- And the pods that are there may demand that pods like this one stay away from their places.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from controlplane.scheduler.pod_info import Template
from controlplane.scheduler.snapshot import Snapshot, holders, selected
from controlplane.scheduler.tallies import Away

from .filter import Cycle, Rule
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


def prepare(cycle: Cycle) -> Sequence[Rule] | None:
    template, snapshot = cycle.template, cycle.snapshot
    return [*_near(template, snapshot), *_away(template, snapshot), *_unwelcome(template, snapshot)] or None


def _near(template: Template, snapshot: Snapshot) -> Iterator[Rule]:
    terms = template.near
    found = [(term.topology_key, snapshot.tally(selected(terms, term.topology_key)).counts) for term in terms]
    first = bool(found) and not any(counts for _, counts in found) and _selects_itself(template, snapshot)
    for key, counts in found:
        verdicts: dict[str | None, Verdict] = dict.fromkeys(counts, FITS)
        verdicts[None] = NOT_NEAR
        yield Rule(key, verdicts, FITS if first else NOT_NEAR)


def _away(template: Template, snapshot: Snapshot) -> Iterator[Rule]:
    for term in template.away:
        counts = snapshot.tally(selected((term,), term.topology_key)).counts
        yield Rule(term.topology_key, dict.fromkeys(counts, NOT_AWAY), FITS)


def _unwelcome(template: Template, snapshot: Snapshot) -> Iterator[Rule]:
    """Where pods are that do not want one of this template near them."""
    for holding in snapshot.heeded(template):
        if isinstance(holding, Away):
            counts = snapshot.tally(holders(holding)).counts
            yield Rule(holding.term.topology_key, dict.fromkeys(counts, UNWELCOME), FITS)


def _selects_itself(template: Template, snapshot: Snapshot) -> bool:
    return all(
        term.selector.matches(template.namespace, template.labels, snapshot.namespaces) for term in template.near
    )
