"""What a score is: plain functions in a table row. Each gives every node that will do 0 to 100; weights add them up.

- *local*: `rate(template, node)` looks at one node alone; kept like a local filter's verdict. `scale` says what its
  numbers are: SCALED ones are 0..100 already; MORE_IS_BETTER are divided by the largest of the decision;
  FEWER_IS_BETTER likewise and turned around.
- *wide*: `prepare(cycle, slots)` rates all nodes that will do at once, in their order, 0 to 100; None when it has
  nothing to say of this pod (then all are the same to it). `cycle.snapshot.nodes[slot]` is a node.

Scores of users come by the entry point group `kmini.scheduler.scores` (controlplane/scheduler/plugins.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum

import msgspec

from controlplane.scheduler.filters.filter import Cycle
from controlplane.scheduler.node_info import NodeInfo
from controlplane.scheduler.pod_info import Template

SCORE_MAX = 100


class Scale(Enum):
    """What the numbers of a local score mean."""

    SCALED = "0..100"
    MORE_IS_BETTER = "more is better"
    FEWER_IS_BETTER = "fewer is better"


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table; just one of `rate` and `prepare` is given.

    weight: What it counts for unless the configuration says otherwise; Kubernetes' own. 0: not used.
    concerns: False when it has nothing to say. Asked for every decision; for local scores that are SCALED only when a
        template is new, so that it must go by the template alone.
    """

    name: str
    weight: int = 1
    rate: Callable[[Template, NodeInfo], int] | None = None
    scale: Scale = Scale.SCALED
    concerns: Callable[[Cycle], bool] = lambda cycle: True
    prepare: Callable[[Cycle, Sequence[int]], Sequence[int] | None] | None = None

    def __post_init__(self) -> None:
        if (self.rate is None) == (self.prepare is None):
            raise ValueError(f"score {self.name} needs either rate or prepare")


def scaled(numbers: Sequence[int], scale: Scale) -> list[int]:
    """Kubernetes' DefaultNormalizeScore: shares of the largest, whole numbers."""
    if scale is Scale.SCALED:
        return list(numbers)
    largest = max(numbers, default=0)
    if scale is Scale.MORE_IS_BETTER:
        return [SCORE_MAX * number // largest for number in numbers] if largest else list(numbers)
    return [SCORE_MAX - SCORE_MAX * number // largest for number in numbers] if largest else [SCORE_MAX] * len(numbers)
