"""Topology spread constraints that must hold: no place gets far more of the counted pods than the emptiest one has.

A node fits when the pods in its place, and the new one if it is counted itself, are at most `maxSkew` more than in the
place that has fewest. Counted are pods that are not being deleted, on nodes that have the labels of all constraints and
that the policies do not leave out. With fewer places than `minDomains` the fewest count as 0.
"""

from __future__ import annotations

from collections.abc import Sequence

from controlplane.scheduler.pod_info import Spread, Template
from controlplane.scheduler.tallies import Matching, Place, Siblings, Tally, TallyKey

from .filter import Cycle, Rule
from .reason import FITS, Reason, Remedy, Verdict

NAME = "PodTopologySpread"
_NODES = {Remedy.NODE_ADD, Remedy.NODE_LABEL}
SKEWED = (
    Reason(
        NAME,
        "node(s) didn't match pod topology spread constraints",
        frozenset(
            _NODES | {Remedy.NODE_REMOVE, Remedy.NODE_TAINT, Remedy.POD_ADD, Remedy.POD_LABEL, Remedy.POD_DELETE}
        ),
    ),
)
NO_LABEL = (
    Reason(NAME, "node(s) didn't match pod topology spread constraints (missing required label)", frozenset(_NODES)),
)


def counted(template: Template, spread: Spread, keys: tuple[str, ...]) -> TallyKey:
    """The counts of one constraint; `keys` are the labels that a node must have to count."""
    what = Siblings(template.owner) if spread.pods is None else Matching((spread.pods,))
    needs = template.needs if spread.honor_affinity and not template.needs.anything else None
    tolerations = template.tolerations if spread.honor_taints else None
    return TallyKey(what, Place(spread.topology_key, keys, needs, tolerations), live=True)


def prepare(cycle: Cycle) -> Sequence[Rule] | None:
    template = cycle.template
    if not template.spread:
        return None
    keys = tuple(spread.topology_key for spread in template.spread)
    return [_rule(spread, cycle.snapshot.tally(counted(template, spread, keys))) for spread in template.spread]


def _rule(spread: Spread, tally: Tally) -> Rule:
    least = tally.least if len(tally.places.domains) >= spread.min_domains else 0
    most = spread.max_skew + least - spread.self_counts
    verdicts: dict[str | None, Verdict] = {
        value: FITS if count <= most else SKEWED for value, count in tally.counts.items()
    }
    verdicts[None] = NO_LABEL
    return Rule(spread.topology_key, verdicts, FITS)
