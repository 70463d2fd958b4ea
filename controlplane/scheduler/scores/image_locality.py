"""Nodes that have the pod's images already, by their size.

As Kubernetes: what is on few nodes counts for less, so that not all pods go where the first one pulled; less than
23 MiB is nothing, 1,000 MiB per container is all.
"""

from __future__ import annotations

from collections.abc import Sequence

from controlplane.scheduler.filters.filter import Cycle

from .score import SCORE_MAX

NAME = "ImageLocality"
LEAST_BYTES = 23 * 1024 * 1024
MOST_BYTES_PER_CONTAINER = 1000 * 1024 * 1024


def prepare(cycle: Cycle, slots: Sequence[int]) -> Sequence[int] | None:
    snapshot, images = cycle.snapshot, cycle.template.images
    present = [
        (image, snapshot.image_nodes[image] / len(snapshot.nodes)) for image in images if image in snapshot.image_nodes
    ]
    if not present:
        return None
    most = MOST_BYTES_PER_CONTAINER * len(images)
    rated = []
    for slot in slots:
        has = snapshot.nodes[slot].images
        size = sum(int(has[image] * share) for image, share in present if image in has)
        size = min(max(size, LEAST_BYTES), most)
        rated.append(SCORE_MAX * (size - LEAST_BYTES) // (most - LEAST_BYTES))
    return rated
