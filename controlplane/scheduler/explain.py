"""One decision: which node a pod goes to, or why it goes to none. Pure: no clock, no I/O; chance is given in.

The order: filters that refuse every node at once; filters node by node, in the table's order, until enough nodes are
found; scores of those; the best wins, and chance decides between equals. As Kubernetes does, a big cluster is not looked
through whole: about half of 1,000 nodes, a tenth of 5,000 and at least 100, beginning where the last decision stopped.

Results that depend on the template and one node alone are kept per template (verdicts.py) and made anew for nodes that
changed. A decision with them equals one without.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

import msgspec

from .filters.filter import PodVolumes
from .filters.reason import Reason, Verdict
from .pod_info import PodInfo
from .profile import Profile
from .snapshot import Snapshot


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """`node`: where the pod goes; None when no node will do.

    reasons: Why not, by name of the node, of those that were looked at. refused: what is in the way on every node.
    evaluated: how many nodes were looked at; of them `feasible` would do; `nodes` there are in all.
    scores: weighted sums by name of the node; by_score: the parts of the chosen node's by name of the score. Both only
    when asked for.
    """

    node: str | None
    reasons: Mapping[str, Verdict] = {}
    refused: Reason | None = None
    nodes: int = 0
    evaluated: int = 0
    feasible: int = 0
    scores: Mapping[str, int] = {}
    by_score: Mapping[str, int] = {}


class Decider:
    """Decides for one snapshot after another change of it, keeping what still holds. For one event loop."""

    def __init__(self, snapshot: Snapshot, profile: Profile, random: Random) -> None:
        raise NotImplementedError

    def decide(self, pod: PodInfo, *, volumes: PodVolumes | None = None, explain: bool = False) -> Decision:
        """`explain`: look at every node, tell all reasons of each, and the scores."""
        raise NotImplementedError


def message(decision: Decision) -> str:
    """Of an event or condition: "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable."."""
    raise NotImplementedError
