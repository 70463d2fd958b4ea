"""What a scheduler decides by: its filters, its scores with their weights, and how much of a big cluster it looks at."""

from __future__ import annotations

import msgspec


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """percentage: Of the nodes that will do, how many are enough; 0 adapts to the size of the cluster as Kubernetes."""

    percentage: int = 0


def default_profile() -> Profile:
    """Ours and the users' own, with Kubernetes' weights. ValueError for plug-ins that cannot be used."""
    return Profile()
