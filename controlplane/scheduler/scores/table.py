"""The table of scores, with Kubernetes' weights. Packing nodes full is here too, with the weight 0: a choice."""

from __future__ import annotations

from . import image_locality, node_affinity, pod_affinity, resources, taints, topology_spread
from .score import Scale, Score

SCORES: tuple[Score, ...] = (
    Score(name=taints.NAME, weight=3, rate=taints.rate, scale=Scale.FEWER_IS_BETTER, concerns=taints.concerns),
    Score(
        name=node_affinity.NAME,
        weight=2,
        rate=node_affinity.rate,
        scale=Scale.MORE_IS_BETTER,
        concerns=node_affinity.concerns,
    ),
    Score(name=topology_spread.NAME, weight=2, prepare=topology_spread.prepare),
    Score(name=pod_affinity.NAME, weight=2, prepare=pod_affinity.prepare),
    Score(name=resources.LEAST, weight=1, rate=resources.least_allocated),
    Score(name=resources.MOST, weight=0, rate=resources.most_allocated),
    Score(name=resources.BALANCED, weight=1, rate=resources.balanced_allocation, concerns=resources.asks_for_something),
    Score(name=image_locality.NAME, weight=1, prepare=image_locality.prepare),
)
