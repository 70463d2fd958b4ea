"""What a scheduler decides by: its filters, its scores with their weights, how much of a big cluster it looks at."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from .filters.filter import Filter
from .filters.reason import FITS, Verdict
from .filters.table import FILTERS
from .node_info import NodeInfo
from .plugins import filters_of_users, scores_of_users
from .pod_info import Template
from .scores.score import Score
from .scores.table import SCORES

WEIGHT_MAX = 100


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """percentage: Of the nodes there are, how many that will do are enough; 0 adapts to their number as Kubernetes."""

    filters: tuple[Filter, ...] = FILTERS
    scores: tuple[Score, ...] = tuple(score for score in SCORES if score.weight)
    percentage: int = 0

    @property
    def local_ones_are_ours(self) -> bool:
        """Whether local filters and scores look at no more of a template than what it asks of a node (NodeAsks).
        Those of users may look at anything."""
        checks, rates = {each.check for each in FILTERS}, {each.rate for each in SCORES}
        return all(each.check in checks for each in self.filters if each.check) and all(
            each.rate in rates for each in self.scores if each.rate
        )

    @property
    def local_checks(self) -> list[Callable[[Template, NodeInfo], Verdict]]:
        """The filters that judge a node by itself."""
        return [_check(each) for each in self.filters if each.check is not None]

    @property
    def wide_filters(self) -> frozenset[str]:
        """Names of the filters that look at more than one node."""
        return frozenset(each.name for each in self.filters if each.prepare is not None)


def default_profile(weights: Mapping[str, int] | None = None, *, percentage: int = 0) -> Profile:
    """Ours and the users' own. `weights`: by name of the score, 0 to 100; those not named keep their own.

    ValueError for a score nobody knows or a weight out of bounds; PlugInError for plug-ins that cannot be used.
    """
    weights = weights or {}
    scores = SCORES + scores_of_users(SCORES)
    unknown = sorted(set(weights) - {score.name for score in scores})
    if unknown:
        raise ValueError(f"no score is named {unknown[0]}; there are {', '.join(score.name for score in scores)}")
    for name, weight in weights.items():
        if not 0 <= weight <= WEIGHT_MAX:
            raise ValueError(f"the weight of score {name} must be 0 to {WEIGHT_MAX}, not {weight}")
    if not 0 <= percentage <= 100:
        raise ValueError(f"the percentage of nodes must be 0 to 100, not {percentage}")
    weighed = (msgspec.structs.replace(each, weight=weights.get(each.name, each.weight)) for each in scores)
    return Profile(
        filters=FILTERS + filters_of_users(FILTERS),
        scores=tuple(each for each in weighed if each.weight),
        percentage=percentage,
    )


def _check(each: Filter) -> Callable[[Template, NodeInfo], Verdict]:
    check, concerns = each.check, each.concerns
    assert check is not None

    def checked(template: Template, node: NodeInfo) -> Verdict:
        return check(template, node) if concerns(template) else FITS

    return checked
