"""One decision: which node a pod goes to, or why it goes to none. Pure: no clock, no I/O; chance is given in.

The order: filters that refuse every node at once; filters node by node, in the table's order, until enough nodes are
found; scores of those; the best wins, and chance decides between equals. As Kubernetes does, a big cluster is not
looked through whole: about half of 1,000 nodes, a tenth of 5,000 and at least 100, beginning where the last decision
stopped.

Results that depend on the template and one node alone are kept per template (verdicts.py) and made anew for nodes that
changed. A decision with them equals one without.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from random import Random

import msgspec

from .filters import node_affinity, node_name
from .filters.filter import Check, Cycle, PodVolumes, Refused, Rule
from .filters.reason import FITS, Reason, Verdict
from .node_info import NodeInfo
from .pod_info import NodeAsks, PodInfo, Template
from .profile import Profile
from .scores.score import Scale, scaled
from .snapshot import Snapshot
from .verdicts import Verdicts

#: Templates whose results are kept; those not decided the longest are dropped beyond that.
TEMPLATES_MAX = 128
#: Fewer nodes than that are always looked through whole, and at least as many are found: Kubernetes'.
FEASIBLE_MIN = 100
_PERCENTAGE_MIN = 5
#: Nodes are looked at in steps of as many as are still needed, but no fewer than that.
STEP_MIN = 16


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """`node`: where the pod goes; None when no node will do.

    reasons: Why not, by name of the node; of every node when none will do. refused: what is in the way on all of them.
    nodes: How many there are; `evaluated` were looked at, and of those `feasible` would do.
    scores: Weighted sums of those by name; by_score: the parts of the chosen one by name of the score. Those two, and
        the reasons when a node was found, only when an explanation was asked for.
    """

    node: str | None
    reasons: Mapping[str, Verdict] = {}
    refused: Reason | None = None
    nodes: int = 0
    evaluated: int = 0
    feasible: int = 0
    scores: Mapping[str, int] = {}
    by_score: Mapping[str, int] = {}

    @property
    def all_reasons(self) -> list[Reason]:
        """Each once for every node it is told of."""
        if self.refused is not None:
            return [self.refused]
        return [reason for verdict in self.reasons.values() for reason in verdict]


class Decider:
    """Decides on one snapshot, again and again while it changes, keeping what still holds. For one event loop."""

    def __init__(self, snapshot: Snapshot, profile: Profile, random: Random) -> None:
        self._snapshot = snapshot
        self._profile = profile
        self._random = random
        self._kept: OrderedDict[Template | NodeAsks, Verdicts] = OrderedDict()
        self._shares = profile.local_ones_are_ours
        self._start = 0

    def decide(self, pod: PodInfo, *, volumes: PodVolumes | None = None, explain: bool = False) -> Decision:
        """`explain`: look at every node, tell all reasons of each, and the scores; of equal nodes the first by name."""
        cycle = Cycle(pod, self._snapshot, volumes)
        total = len(self._snapshot.nodes)
        if not total:
            return Decision(node=None)
        try:
            checks = self._wide_checks(cycle)
        except Refused as refused:
            return Decision(node=None, refused=refused.reason, nodes=total)
        verdicts = self._verdicts(cycle)
        if explain:
            return self._explained(cycle, verdicts, checks)
        feasible, evaluated = self._search(cycle, verdicts, checks)
        if not feasible:
            return self._none(cycle, verdicts, checks, evaluated)
        return Decision(
            node=self._best(cycle, verdicts, feasible), nodes=total, evaluated=evaluated, feasible=len(feasible)
        )

    # --- looking for nodes that will do ---------------------------------------------------------------

    def _wide_checks(self, cycle: Cycle) -> list[Check | Rule]:
        """What the wide filters have to say, in their order. Refused when one of them refuses every node."""
        found: list[Check | Rule] = []
        for each in self._profile.filters:
            said = each.prepare(cycle) if each.prepare is not None else None
            if said is not None:
                found += [said] if callable(said) else said
        return found

    def _verdicts(self, cycle: Cycle) -> Verdicts:
        key = cycle.template.asks if self._shares else cycle.template
        verdicts = self._kept.get(key)
        if verdicts is None:
            verdicts = self._kept[key] = Verdicts(cycle, self._profile)
            if len(self._kept) > TEMPLATES_MAX:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(key)
        verdicts.fit(len(self._snapshot.nodes))
        return verdicts

    def _search(self, cycle: Cycle, verdicts: Verdicts, checks: Sequence[Check | Rule]) -> tuple[list[int], int]:
        """Slots of nodes that will do, until there are enough; and how many were looked at."""
        total = len(self._snapshot.nodes)
        enough = nodes_enough(total, self._profile.percentage)
        named = self._named(cycle)
        if named is not None:
            return self._sift(verdicts, checks, named), len(named)
        start = self._start % total
        slots = [*range(start, total), *range(start)]
        found: list[int] = []
        looked = 0
        while looked < total and len(found) < enough:
            step = max(enough - len(found), STEP_MIN)
            found += self._sift(verdicts, checks, slots[looked : looked + step])
            looked = min(looked + step, total)
        self._start = (start + looked) % total
        return found, looked

    def _sift(self, verdicts: Verdicts, checks: Sequence[Check | Rule], slots: Sequence[int]) -> list[int]:
        """Those of the slots whose nodes will do. One filter after the other, each over all nodes: that is faster."""
        nodes, generations = self._snapshot.nodes, self._snapshot.generations
        stamps, local = verdicts.stamps, verdicts.verdicts
        for slot in [slot for slot in slots if stamps[slot] != generations[slot]]:
            verdicts.renew(slot, nodes[slot])
        found = [slot for slot in slots if not local[slot]]
        for check in checks:
            if isinstance(check, Rule):
                values, get, otherwise = self._snapshot.column(check.key), check.verdicts.get, check.otherwise
                found = [slot for slot in found if not get(values[slot], otherwise)]
            else:
                found = [slot for slot in found if not check(nodes[slot])]
        return found

    def _named(self, cycle: Cycle) -> list[int] | None:
        """The places of the only nodes that the pod may go to by name; None when it names none."""
        names: Iterable[str] | None = (cycle.pod.node_name,) if cycle.pod.node_name else cycle.template.needs.names
        if names is None:
            return None
        found = (self._snapshot.node(name) for name in sorted(names))
        return [info.slot for info in found if info is not None]

    def _none(self, cycle: Cycle, verdicts: Verdicts, checks: Sequence[Check | Rule], evaluated: int) -> Decision:
        """The decision that no node will do, with the first reason of each."""
        nodes = self._snapshot.nodes
        named = self._named(cycle)
        other = node_name.OTHER_NODE if cycle.pod.node_name else node_affinity.NO_MATCH
        reasons: dict[str, Verdict] = {} if named is None else {info.name: other for info in nodes}
        for slot in range(len(nodes)) if named is None else named:
            info = nodes[slot]
            reasons[info.name] = verdicts.verdicts[slot] or next(
                filter(None, (_judged(check, info) for check in checks))
            )
        return Decision(node=None, reasons=reasons, nodes=len(nodes), evaluated=evaluated)

    # --- the best of them -----------------------------------------------------------------------------

    def _best(self, cycle: Cycle, verdicts: Verdicts, slots: list[int]) -> str:
        nodes = self._snapshot.nodes
        if len(slots) == 1:
            return nodes[slots[0]].name
        fixed = verdicts.fixed
        totals = list(map(fixed.__getitem__, slots))
        for weight, numbers in self._compared(cycle, verdicts, slots).values():
            totals = [total + weight * number for total, number in zip(totals, numbers, strict=True)]
        most = max(totals)
        if totals.count(most) == 1:
            return nodes[slots[totals.index(most)]].name
        best = [slot for slot, total in zip(slots, totals, strict=True) if total == most]
        return nodes[best[self._random.randrange(len(best))]].name

    def _compared(self, cycle: Cycle, verdicts: Verdicts, slots: Sequence[int]) -> dict[str, tuple[int, Sequence[int]]]:
        """Weight and 0..100 of each node, by name of the score: of the scores that look at more than one node."""
        found: dict[str, tuple[int, Sequence[int]]] = {}
        for score in self._profile.scores:
            if (score.rate is not None and score.scale is Scale.SCALED) or not score.concerns(cycle):
                continue
            if score.prepare is not None:
                numbers = score.prepare(cycle, slots)
            else:
                numbers = scaled(verdicts.numbers(score, slots, self._snapshot.nodes), score.scale)
            if numbers is not None:
                found[score.name] = (score.weight, numbers)
        return found

    # --- explaining -----------------------------------------------------------------------------------

    def _explained(self, cycle: Cycle, verdicts: Verdicts, checks: Sequence[Check | Rule]) -> Decision:
        nodes, local = self._snapshot.nodes, self._profile.local_checks
        reasons: dict[str, Verdict] = {}
        for info in nodes:
            said = [check(cycle.template, info) for check in local] + [_judged(check, info) for check in checks]
            reasons[info.name] = sum(said, FITS)
        slots = [info.slot for info in sorted(nodes, key=lambda info: info.name) if not reasons[info.name]]
        for slot in slots:
            verdicts.renew(slot, nodes[slot])
        compared = self._compared(cycle, verdicts, slots) if slots else {}
        alone = {
            score.name: (score.weight, [score.rate(cycle.template, nodes[slot]) for slot in slots])
            for score in self._profile.scores
            if score.rate is not None and score.scale is Scale.SCALED and score.concerns(cycle)
        }
        parts = {
            name: [weight * number for number in numbers] for name, (weight, numbers) in (alone | compared).items()
        }
        totals = [sum(numbers[index] for numbers in parts.values()) for index in range(len(slots))]
        best = totals.index(max(totals)) if totals else 0
        return Decision(
            node=nodes[slots[best]].name if slots else None,
            reasons={name: verdict for name, verdict in reasons.items() if verdict},
            nodes=len(nodes),
            evaluated=len(nodes),
            feasible=len(slots),
            scores={nodes[slot].name: total for slot, total in zip(slots, totals, strict=True)},
            by_score={name: numbers[best] for name, numbers in parts.items()} if slots else {},
        )


def _judged(check: Check | Rule, node: NodeInfo) -> Verdict:
    return check.verdict(node) if isinstance(check, Rule) else check(node)


def nodes_enough(nodes: int, percentage: int) -> int:
    """How many that will do are enough, of so many: Kubernetes' percentageOfNodesToScore, 0 for its own choice."""
    if nodes < FEASIBLE_MIN or percentage >= 100:
        return nodes
    share = percentage or max(50 - nodes // 125, _PERCENTAGE_MIN)
    return max(nodes * share // 100, FEASIBLE_MIN)


def message(decision: Decision) -> str:
    """Of an event or condition: "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable."."""
    if not decision.nodes:
        return "no nodes available to schedule pods"
    if decision.refused is not None:
        return f"0/{decision.nodes} nodes are available: {decision.refused.message}."
    counts = Counter(reason.message for reason in decision.all_reasons)
    told = sorted(f"{number} {text}" for text, number in counts.items())
    return f"0/{decision.nodes} nodes are available: {', '.join(told)}."
